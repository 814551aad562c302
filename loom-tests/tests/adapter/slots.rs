//! tell_slot ‖ ready: every slot is found after it was told, with what it was told for.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::schedule::Schedule;
use crate::sync::Fact;
use crate::{asleep, drive, explore};

/// Two threads tell of a slot each, which the driver finds.
fn two_slots(preemptions: Option<usize>, slots: [usize; 2]) {
    explore(preemptions, move || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(asleep(&witness));
        let facts = Arc::new([Fact::new(), Fact::new()]);
        let tellers = [0, 1].map(|at| {
            let (schedule, facts) = (schedule.clone(), facts.clone());
            thread::spawn(move || {
                facts[at].write(7);
                schedule.tell_slot(slots[at]);
            })
        });
        let mut found = [false; 2];
        drive(&witness, &schedule, |events| {
            for index in schedule.ready(events) {
                let at = slots.iter().position(|it| *it == index).unwrap();
                assert_eq!(facts[at].read(), 7);
                assert!(!found[at], "found twice");
                found[at] = true;
            }
            found == [true; 2]
        });
        for teller in tellers {
            teller.join().unwrap();
        }
    });
}

#[test]
fn two_slots_of_one_word() {
    two_slots(Some(3), [0, 1]);
}

#[test]
fn two_slots_of_two_words() {
    two_slots(Some(3), [0, usize::BITS as usize]);
}

/// A slot is told again while the driver looks: it looks again.
#[test]
fn told_again() {
    explore(None, || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(Schedule::new());
        let told = Arc::new(AtomicUsize::new(0));
        let teller = {
            let (schedule, told) = (schedule.clone(), told.clone());
            thread::spawn(move || {
                for time in [1, 2] {
                    told.store(time, SeqCst);
                    schedule.tell_slot(3);
                }
            })
        };
        let mut seen = 0;
        drive(&witness, &schedule, |events| {
            for index in schedule.ready(events) {
                assert_eq!(index, 3);
                seen = told.load(SeqCst);
            }
            seen == 2
        });
        teller.join().unwrap();
    });
}
