//! insert ‖ `fail_all`: the request is refused, or ends with the cause; nobody waits for ever. Two threads,
//! one source.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{
    CompletionError, InsertError, KeyedPendingMap, Kind, Pending, PendingMap, Policy, Witness,
};

use crate::check;

const CAUSE: u32 = 9;

fn ends(witness: &Witness, inserted: Result<Pending<u32, u32>, InsertError>) {
    match inserted {
        Ok(pending) => {
            let outcome = witness.block_on(pending);
            assert_eq!(outcome, Err(CompletionError::Failed(CAUSE)));
        }
        Err(error) => assert_eq!(error, InsertError::Closed),
    }
}

fn assigned(policy: fn() -> Policy) {
    check(None, move || {
        let witness = Arc::new(Witness::new(Kind::A));
        let requests = Arc::new(PendingMap::new(1, policy()));
        let inserter = {
            let (witness, requests) = (witness.clone(), requests.clone());
            thread::spawn(move || ends(&witness, requests.insert().map(|(_, pending)| pending)))
        };
        assert!(requests.fail_all(|| CAUSE));
        inserter.join().unwrap();
        assert_eq!(requests.insert().unwrap_err(), InsertError::Closed);
        assert_eq!((requests.len(), requests.held()), (0, 0));
        witness.assert_nothing_left();
    });
}

#[test]
fn insert_and_fail_all() {
    assigned(Policy::revoke_now);
}

#[test]
fn insert_held_and_fail_all() {
    assigned(Policy::hold_until_completed);
}

#[test]
fn insert_by_key_and_fail_all() {
    check(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let requests = Arc::new(KeyedPendingMap::<u16, _, _>::new(1, Policy::revoke_now()));
        let inserter = {
            let (witness, requests) = (witness.clone(), requests.clone());
            thread::spawn(move || ends(&witness, requests.insert(7)))
        };
        assert!(requests.fail_all(|| CAUSE));
        inserter.join().unwrap();
        assert!(!requests.contains(7));
        assert_eq!(requests.len(), 0);
        witness.assert_nothing_left();
    });
}

/// The only source is held, so `fail_all` itself frees it while somebody waits for it. At most three
/// preemptions.
#[test]
fn insert_that_waits_and_fail_all() {
    check(Some(3), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let requests = Arc::new(PendingMap::new(1, Policy::hold_until_completed()));
        drop(requests.insert().unwrap());
        assert_eq!(requests.held(), 1);
        let inserter = {
            let (witness, requests) = (witness.clone(), requests.clone());
            thread::spawn(move || {
                let inserted = witness.block_on(requests.insert_async());
                ends(&witness, inserted.map(|(_, pending)| pending));
            })
        };
        assert!(requests.fail_all(|| CAUSE));
        inserter.join().unwrap();
        assert_eq!((requests.len(), requests.held()), (0, 0));
        witness.assert_nothing_left();
    });
}
