//! complete ‖ drop of the pending request: the id is freed once, whoever is last, and a held one is counted
//! once. Two threads, or three.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, PendingMap, Policy, Witness};

use crate::check;

#[test]
fn complete_and_drop_revoked() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let requests = Arc::new(PendingMap::<_, ()>::new(1, Policy::revoke_now()));
        let (id, mut pending) = requests.insert().unwrap();
        assert!(witness.poll(&mut pending).is_pending());
        let reader = {
            let (requests, reply) = (requests.clone(), witness.payload(1));
            thread::spawn(move || drop(requests.complete(id, reply)))
        };
        drop(pending);
        reader.join().unwrap();
        assert_eq!(requests.len(), 0);
        witness.assert_nothing_left();
    });
}

/// Whether the id was held or not, it is free when both are done; and it was reported if it was held.
#[test]
fn complete_and_drop_held() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let reports = std::sync::Arc::new(AtomicUsize::new(0));
        let policy = {
            let reports = reports.clone();
            Policy::hold_reporting(1, move |held| {
                assert_eq!(held, 1);
                reports.fetch_add(1, SeqCst);
            })
        };
        let requests = Arc::new(PendingMap::<_, ()>::new(1, policy));
        let (id, mut pending) = requests.insert().unwrap();
        assert!(witness.poll(&mut pending).is_pending());
        let reader = {
            let (requests, reply) = (requests.clone(), witness.payload(1));
            thread::spawn(move || requests.complete(id, reply).is_ok())
        };
        drop(pending);
        let delivered = reader.join().unwrap();
        assert!(!delivered || reports.load(SeqCst) == 0);
        assert_eq!((requests.len(), requests.held()), (0, 0));
        witness.assert_nothing_left();

        drop(requests.insert().unwrap());
        assert_eq!(requests.held(), 1, "the count is as before");
    });
}

/// Two answers to a held id, one of them by hand.
#[test]
fn complete_and_release() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let requests = Arc::new(PendingMap::<_, ()>::new(1, Policy::hold_until_completed()));
        let (id, pending) = requests.insert().unwrap();
        drop(pending);
        let reader = {
            let (requests, reply) = (requests.clone(), witness.payload(1));
            thread::spawn(move || assert!(requests.complete(id, reply).is_err()))
        };
        requests.release(id);
        reader.join().unwrap();
        assert_eq!((requests.len(), requests.held()), (0, 0));
        witness.assert_nothing_left();

        drop(requests.insert().unwrap());
        assert_eq!(requests.held(), 1, "the count is as before");
    });
}

/// The map ‖ its last request: nobody answers a held id any more, and the memory goes all the same.
#[test]
fn map_drop_and_drop_held() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let requests =
            PendingMap::<u32, ()>::new(1, Policy::hold_reporting(1, |held| assert_eq!(held, 1)));
        let (_, mut pending) = requests.insert().unwrap();
        assert!(witness.poll(&mut pending).is_pending());
        let caller = thread::spawn(move || drop(pending));
        drop(requests);
        caller.join().unwrap();
        witness.assert_nothing_left();
    });
}
