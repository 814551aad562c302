//! A number, or a source, that serves again ‖ a late reply to its last request: the next request does not
//! get it. Two threads.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{InsertError, KeyedPendingMap, Kind, PendingMap, Policy, Witness};

use crate::check;

/// An assigned id comes once, however often its source serves.
#[test]
fn late_reply_and_next_request() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let requests = Arc::new(PendingMap::<_, ()>::new(1, Policy::revoke_now()));
        let (first, pending) = requests.insert().unwrap();
        let reader = {
            let (requests, reply) = (requests.clone(), witness.payload(1));
            thread::spawn(move || drop(requests.complete(first, reply)))
        };
        drop(pending);
        if let Ok((second, mut pending)) = requests.insert() {
            assert_ne!(first, second);
            requests.complete(second, witness.payload(2)).unwrap();
            assert_eq!(pending.try_take().unwrap().unwrap().number(), 2);
        }
        reader.join().unwrap();
        assert_eq!(requests.len(), 0);
        witness.assert_nothing_left();
    });
}

/// A number that the caller chose is not free before the other side has answered. There is a source to
/// spare, so that it is the number that is refused.
#[test]
fn late_reply_and_next_request_of_the_number() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let requests = Arc::new(KeyedPendingMap::<u16, _, ()>::new(
            2,
            Policy::hold_until_completed(),
        ));
        let first = requests.insert(7).unwrap();
        let reader = {
            let (requests, reply) = (requests.clone(), witness.payload(1));
            thread::spawn(move || drop(requests.complete(7, reply)))
        };
        drop(first);
        match requests.insert(7) {
            Ok(mut second) => {
                assert!(second.try_take().is_none(), "the late reply");
                requests.complete(7, witness.payload(2)).unwrap();
                assert_eq!(second.try_take().unwrap().unwrap().number(), 2);
            }
            Err(error) => assert_eq!(error, InsertError::Duplicate),
        }
        reader.join().unwrap();
        assert!(!requests.contains(7));
        assert_eq!((requests.len(), requests.held()), (0, 0));
        witness.assert_nothing_left();
    });
}

/// Two callers with one number: one has it.
#[test]
fn two_requests_of_one_number() {
    check(None, || {
        let requests = Arc::new(KeyedPendingMap::<u16, u32, ()>::new(
            2,
            Policy::revoke_now(),
        ));
        let other = {
            let requests = requests.clone();
            thread::spawn(move || requests.insert(7).ok())
        };
        let one = requests.insert(7).ok();
        let other = other.join().unwrap();
        assert_eq!(one.is_some() as u8 + other.is_some() as u8, 1);
        assert_eq!(requests.len(), 1);
        requests.complete(7, 1).unwrap();
        let mut winner = one.or(other).unwrap();
        assert_eq!(winner.try_take(), Some(Ok(1)));
        assert_eq!(requests.len(), 0);
    });
}
