//! tell ‖ a driver that runs, goes to sleep or sleeps: it is woken once, and only if it sleeps; what the event is about is
//! there when it is taken.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::schedule::Schedule;
use crate::sync::Fact;
use crate::{asleep, drive, explore};

#[test]
fn tell_and_sleep() {
    explore(None, || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(Schedule::new());
        let fact = Arc::new(Fact::new());
        let teller = {
            let (schedule, fact) = (schedule.clone(), fact.clone());
            thread::spawn(move || {
                fact.write(7);
                schedule.tell_cancel();
            })
        };
        drive(&witness, &schedule, |events| events.cancel());
        assert_eq!(fact.read(), 7);
        teller.join().unwrap();
        assert!(witness.wakes() <= 1);
    });
}

/// The driver sleeps: one of the two wakes it.
#[test]
fn two_tell_a_sleeper() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let other = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        schedule.tell_connection();
        other.join().unwrap();
        assert_eq!(witness.wakes(), 1);
        let events = schedule.take();
        assert!(events.cancel() && events.connection() && !events.queue());
        assert!(schedule.sleep(), "everything was taken");
    });
}

/// The driver runs, unasked: nobody wakes it, and it does not go to sleep over an event.
#[test]
fn two_tell_a_runner() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        schedule.begin(&witness.waker());
        let other = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        schedule.tell_connection();
        let first = schedule.take();
        other.join().unwrap();
        assert_eq!(witness.wakes(), 0);
        assert!(first.connection());
        assert_ne!(schedule.sleep(), !first.cancel());
        assert_ne!(schedule.take().cancel(), first.cancel());
    });
}

/// Two tell a driver that goes to sleep in between, and perhaps again.
#[test]
fn two_tell_and_sleep() {
    explore(Some(3), || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(Schedule::new());
        let teller = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        let other = {
            let schedule = schedule.clone();
            thread::spawn(move || assert!(!schedule.tell_settings()))
        };
        let (mut cancel, mut settings) = (false, false);
        drive(&witness, &schedule, |events| {
            assert!(!(cancel && events.cancel()), "taken twice");
            cancel |= events.cancel();
            settings |= events.settings();
            cancel && settings
        });
        teller.join().unwrap();
        other.join().unwrap();
        assert!(witness.wakes() <= 2);
    });
}

/// The driver is polled unasked, by another task: the event finds the new waker, or is found.
#[test]
fn tell_and_new_waker() {
    explore(None, || {
        let [old, new] = [Kind::A, Kind::B].map(|kind| Arc::new(Witness::new(kind)));
        let schedule = Arc::new(asleep(&old));
        let teller = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        drive(&new, &schedule, |events| events.cancel());
        teller.join().unwrap();
        assert!(old.wakes() + new.wakes() <= 1);
        old.assert_no_wakers();
        drop(schedule);
        new.assert_no_wakers();
    });
}

/// The driver's marks do not cost an event.
#[test]
fn tell_and_mark() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let teller = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        schedule.mark_spent();
        assert!(schedule.marks().unusable());
        schedule.mark_draining();
        assert!(schedule.marks().draining());
        teller.join().unwrap();
        assert!(schedule.take().cancel());
        assert!(schedule.marks().draining() && !schedule.marks().closed());
    });
}

/// An event that comes while others are taken is taken with them or next time, and once.
#[test]
fn tell_and_take() {
    explore(None, || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(asleep(&witness));
        schedule.tell_cancel();
        let teller = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_connection())
        };
        let first = schedule.take();
        assert!(first.cancel());
        teller.join().unwrap();
        let second = schedule.take();
        assert!(!second.cancel());
        assert_ne!(first.connection(), second.connection());
        assert_eq!(witness.wakes(), 1);
    });
}
