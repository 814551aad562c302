//! Ids that nobody waits for, and that the other side may still answer.
//!
//! scylladb/scylla-rust-driver#304, #329, #367: orphaned stream ids.

use std::sync::{Arc, Mutex, OnceLock};

use completion_core::{InsertError, Policy, Rejection};

use super::{Requests, cause, for_each_map};
use crate::support::{Ledger, Payload, caught, unwind, widths};

for_each_map! {
    a_held_id_is_taken_until_it_is_answered
    a_held_id_is_given_up_by_hand
    held_ids_are_reported_when_they_reach_the_threshold
    nothing_is_held_under_revoke_now
    a_report_may_use_the_map
    a_report_may_drop_the_map
    a_report_may_panic
}

/// What reports said.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<usize>>>);

impl Reports {
    fn policy(&self, threshold: usize) -> Policy {
        let reports = self.clone();
        Policy::hold_reporting(threshold, move |held| reports.0.lock().unwrap().push(held))
    }

    fn taken(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn a_held_id_is_taken_until_it_is_answered<M: Requests>() {
    type Answer<M> = fn(&M, <M as Requests>::Id, &Ledger);
    let answers: [Answer<M>; 3] = [
        |requests, id, ledger| {
            let late = requests.complete(id, ledger.payload(7)).unwrap_err();
            assert_eq!(late.reason(), Rejection::Closed);
            assert_eq!(late.into_payload().tag(), 7);
        },
        |requests, id, ledger| {
            let late = requests.fail(id, ledger.payload(7)).unwrap_err();
            assert_eq!(late.reason(), Rejection::Closed);
            assert_eq!(late.into_payload().tag(), 7);
        },
        |requests, id, _| {
            let late = requests.cancel(id).unwrap_err();
            assert_eq!(late.reason(), Rejection::Closed);
        },
    ];
    let ledger = Ledger::new();
    for answer in answers {
        for close in [false, true] {
            let requests = M::make(2, Policy::hold_until_completed());
            let (id, mut pending) = requests.insert().unwrap();
            let (_, _other) = requests.insert().unwrap();
            assert_eq!(requests.held(), 0);
            if close {
                assert!(pending.close());
                assert_eq!(requests.held(), 1);
                assert!(pending.try_take().unwrap().is_err());
            }
            drop(pending);
            assert_eq!((requests.len(), requests.held()), (2, 1));
            assert_eq!(requests.insert().unwrap_err(), InsertError::Full);
            answer(&requests, id, &ledger);
            assert_eq!((requests.len(), requests.held()), (1, 0));
            assert!(requests.insert().is_ok());
            assert!(requests.complete(id, ledger.payload(8)).is_err());
        }
    }
    assert_eq!(ledger.live(), 0);
}

fn a_held_id_is_given_up_by_hand<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::hold_until_completed());
    let (id, mut pending) = requests.insert().unwrap();
    assert!(!requests.release(id), "somebody waits");
    assert!(pending.try_take().is_none());
    drop(pending);
    assert!(requests.release(id));
    assert!(!requests.release(id));
    assert_eq!((requests.len(), requests.held()), (0, 0));

    // The next request on the same source is another's.
    let (next, pending) = requests.insert().unwrap();
    drop(pending);
    assert!(!requests.release(id));
    assert_eq!(requests.held(), 1);
    assert!(requests.release(next));

    // One that is answered, and not taken yet, is not held.
    let (id, pending) = requests.insert().unwrap();
    requests.complete(id, ledger.payload(1)).unwrap();
    assert!(!requests.release(id));
    assert_eq!(pending.wait().unwrap().tag(), 1);
}

fn held_ids_are_reported_when_they_reach_the_threshold<M: Requests>() {
    let ledger = Ledger::new();
    let reports = Reports::default();
    let requests = M::make(8, reports.policy(2));
    let mut waiting: Vec<_> = (0..5).map(|_| requests.insert().unwrap()).collect();

    let (first, pending) = waiting.pop().unwrap();
    drop(pending);
    assert_eq!(reports.taken(), []);
    let (second, mut pending) = waiting.pop().unwrap();
    pending.close();
    assert_eq!(reports.taken(), [2]);
    drop(pending);
    drop(waiting.pop());
    assert_eq!(requests.held(), 3);
    assert_eq!(reports.taken(), [], "it was reached already");

    assert!(requests.complete(first, ledger.payload(1)).is_err());
    assert!(requests.release(second));
    assert_eq!(requests.held(), 1);
    drop(waiting.pop());
    assert_eq!(reports.taken(), [2], "reached again");

    // Answered before it was dropped: not held.
    let (id, pending) = waiting.pop().unwrap();
    requests.complete(id, ledger.payload(2)).unwrap();
    drop(pending);
    requests.fail_all(cause(&ledger, 9));
    assert_eq!((requests.len(), requests.held()), (0, 0));
    assert_eq!((reports.taken(), ledger.live()), (vec![], 0));

    let requests = M::make(8, reports.policy(0));
    drop(requests.insert().unwrap());
    assert_eq!(reports.taken(), [1], "0 is taken for 1");
}

fn nothing_is_held_under_revoke_now<M: Requests>() {
    let requests = M::make(2, Policy::revoke_now());
    for _ in 0..widths::token_rounds(10, 2) {
        let (id, pending) = requests.insert().unwrap();
        drop(pending);
        assert_eq!((requests.len(), requests.held()), (0, 0));
        assert!(!requests.release(id));
    }
}

/// A map whose reports run `act` on it.
fn reporting<M: Requests>(act: fn(&M)) -> Arc<M> {
    let place = Arc::new(OnceLock::<std::sync::Weak<M>>::new());
    let requests = {
        let place = Arc::clone(&place);
        M::make(
            4,
            Policy::hold_reporting(1, move |held| {
                assert_eq!(held, 1);
                let requests = place.get().unwrap().upgrade().unwrap();
                assert_eq!(requests.held(), 1);
                act(&requests);
            }),
        )
    };
    let requests = Arc::new(requests);
    place.set(Arc::downgrade(&requests)).unwrap();
    requests
}

fn a_report_may_use_the_map<M: Requests>() {
    let ledger = Ledger::new();
    // A connection that is replaced.
    let requests = reporting::<M>(|requests| {
        let ledger = Ledger::new();
        assert!(requests.fail_all(move || ledger.payload(9)));
        assert_eq!(requests.insert().unwrap_err(), InsertError::Closed);
    });
    let (_, other) = requests.insert().unwrap();
    let (id, pending) = requests.insert().unwrap();
    drop(pending);
    assert_eq!((requests.len(), requests.held()), (1, 0));
    assert!(other.wait().is_err());
    assert!(requests.complete(id, ledger.payload(1)).is_err());
    assert_eq!(requests.len(), 0);

    // Another request, from within; and one that is given up, below the next threshold.
    let requests = reporting::<M>(|requests| {
        let (id, mut pending) = requests.insert().unwrap();
        let ledger = Ledger::new();
        requests.complete(id, ledger.payload(1)).unwrap();
        assert_eq!(pending.try_take().unwrap().unwrap().tag(), 1);
        drop(requests.insert().unwrap());
        assert_eq!(requests.held(), 2);
    });
    let (id, pending) = requests.insert().unwrap();
    drop(pending);
    assert_eq!((requests.len(), requests.held()), (2, 2));
    assert!(requests.release(id));
    assert_eq!((requests.len(), requests.held()), (1, 1));
}

fn a_report_may_drop_the_map<M: Requests>() {
    for alone in [false, true] {
        let place = Arc::new(Mutex::new(None::<M>));
        let policy = {
            let place = Arc::clone(&place);
            Policy::hold_reporting(1, move |_held| {
                let witness = Arc::clone(&place);
                let before = Arc::strong_count(&witness);
                let requests = place.lock().unwrap().take();
                drop(requests);
                assert_eq!(Arc::strong_count(&witness), before, "it still runs");
            })
        };
        let requests = M::make(4, policy);
        let other = (!alone).then(|| requests.insert().unwrap().1);
        let (_, pending) = requests.insert().unwrap();
        *place.lock().unwrap() = Some(requests);
        drop(pending);
        assert!(place.lock().unwrap().is_none());
        assert!(other.is_none_or(|other| other.wait().is_err()));
        assert_eq!(Arc::strong_count(&place), 1, "the report is gone");
    }
}

fn a_report_may_panic<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(2, Policy::hold_reporting(1, |_held| unwind()));
    for close in [false, true] {
        let (id, mut pending) = requests.insert().unwrap();
        let done = caught(|| {
            if close {
                pending.close();
            }
            drop(pending);
        });
        assert!(done.is_none());
        assert_eq!((requests.len(), requests.held()), (1, 1));
        let late: Payload = requests
            .complete(id, ledger.payload(1))
            .unwrap_err()
            .into_payload();
        drop(late);
        assert_eq!((requests.len(), requests.held()), (0, 0));
    }
    assert_eq!(ledger.live(), 0);
}
