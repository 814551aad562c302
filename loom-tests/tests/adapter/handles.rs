//! Handles come and go ‖ the driver: the last one tells it, and all that was done with any is there.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Payload, Witness};

use crate::inbox::Inbox;
use crate::sync::Fact;
use crate::{asleep, drive, explore};

#[test]
fn two_drop_and_sleep() {
    explore(Some(3), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let inbox = Arc::new(Inbox::<Payload>::new(1));
        let facts = Arc::new([Fact::new(), Fact::new()]);
        inbox.add_handle();
        let clients = [0, 1].map(|at| {
            let (schedule, inbox, facts) = (schedule.clone(), inbox.clone(), facts.clone());
            thread::spawn(move || {
                facts[at].write(7);
                inbox.drop_handle(&schedule);
            })
        });
        drive(&witness, &schedule, |_| !inbox.has_handles());
        assert_eq!([facts[0].read(), facts[1].read()], [7, 7]);
        for client in clients {
            client.join().unwrap();
        }
        assert!(witness.wakes() <= 1);
    });
}

/// One makes a handle of its own while the other goes.
#[test]
fn clone_and_drop() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let inbox = Arc::new(Inbox::<Payload>::new(1));
        inbox.add_handle();
        let other = {
            let (schedule, inbox) = (schedule.clone(), inbox.clone());
            thread::spawn(move || inbox.drop_handle(&schedule))
        };
        inbox.add_handle();
        inbox.drop_handle(&schedule);
        assert!(inbox.has_handles());
        other.join().unwrap();
        assert_eq!(witness.wakes(), 0);
        inbox.drop_handle(&schedule);
        assert!(!inbox.has_handles());
        assert_eq!(witness.wakes(), 1);
    });
}

/// The driver closes when no handle is left, but not before it has seen what came with the last.
#[test]
fn submit_drop_and_sleep() {
    explore(Some(3), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let inbox = Arc::new(Inbox::new(1));
        let client = {
            let (schedule, inbox, witness) = (schedule.clone(), inbox.clone(), witness.clone());
            thread::spawn(move || {
                assert!(inbox.places.try_take());
                assert!(!inbox.submit(witness.payload(1), &schedule));
                inbox.drop_handle(&schedule);
            })
        };
        let mut seen = 0;
        drive(&witness, &schedule, |_| {
            let over = !inbox.has_handles();
            while inbox.pop().is_some() {
                seen += 1;
            }
            over
        });
        assert_eq!(seen, 1);
        client.join().unwrap();
    });
}
