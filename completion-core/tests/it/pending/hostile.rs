//! Wakers and payloads that use the map from within: nothing of theirs runs under its lock, so each does
//! everything that there is to do, and the test ends. And they may panic.
//!
//! tokio#5429, tokio#5471, tokio#5578: re-entry under a lock; tokio#3689: a panic in a clone.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use completion_core::{InsertError, Policy};

use super::{Requests, cause, for_each_map};
use crate::support::{Ledger, Payload, Probe, Trap, caught, poll, unwind};

for_each_map! {
    foreign_code_may_use_the_map
    foreign_code_may_panic
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Complete,
    Fail,
    Cancel,
    Drop,
    Close,
    FailAll,
    DropAnswered,
    Repoll,
    RepollInClone,
    Late,
    HandOver,
}

const STEPS: [Step; 11] = [
    Step::Complete,
    Step::Fail,
    Step::Cancel,
    Step::Drop,
    Step::Close,
    Step::FailAll,
    Step::DropAnswered,
    Step::Repoll,
    Step::RepollInClone,
    Step::Late,
    Step::HandOver,
];

/// Where foreign code runs in this step.
fn trap<'a>(step: Step, probe: &'a Probe, ledger: &'a Ledger) -> &'a Trap {
    match step {
        Step::Complete | Step::Fail | Step::Cancel | Step::FailAll | Step::HandOver => {
            &probe.on_wake
        }
        Step::Drop | Step::Close | Step::Repoll => &probe.on_drop,
        Step::RepollInClone => &probe.on_clone,
        Step::DropAnswered | Step::Late => &ledger.on_drop,
    }
}

/// Runs the step, on a map of two with one request that was polled.
fn run<M: Requests>(step: Step, requests: &Arc<M>, act: impl FnOnce() + Send + 'static) {
    let (probe, other, ledger) = (Probe::new(), Probe::new(), Ledger::new());
    let mut waiting = Box::pin(requests.insert_async());
    let (id, mut pending) = requests.insert().unwrap();
    let waker = probe.waker();
    assert!(poll(&mut pending, &waker).is_pending());
    drop(waker);
    let late = match step {
        Step::DropAnswered => {
            requests.complete(id, ledger.payload(1)).unwrap();
            None
        }
        Step::HandOver => {
            let lent = requests.insert().unwrap();
            let waker = probe.waker();
            assert!(poll(&mut waiting, &waker).is_pending());
            drop(waker);
            Some(lent)
        }
        _ => None,
    };
    trap(step, &probe, &ledger).arm(act);
    caught(|| match step {
        Step::Complete => requests.complete(id, ledger.payload(1)).unwrap(),
        Step::Fail => requests.fail(id, ledger.payload(1)).unwrap(),
        Step::Cancel => requests.cancel(id).unwrap(),
        Step::Drop | Step::DropAnswered => drop(pending),
        Step::Close => assert!(pending.close()),
        Step::FailAll => assert!(requests.fail_all(cause(&Ledger::new(), 9))),
        Step::Repoll => assert!(poll(&mut pending, &other.waker()).is_pending()),
        Step::RepollInClone => {
            let waker = probe.waker();
            let _other = poll(&mut pending, &other.waker());
            let _ready = poll(&mut pending, &waker);
        }
        Step::Late => {
            drop(pending);
            drop(requests.complete(id, ledger.payload(1)));
        }
        Step::HandOver => {
            let (id, pending) = late.unwrap();
            requests.cancel(id).unwrap();
            drop(pending);
        }
    });
    assert!(
        !trap(step, &probe, &ledger).disarm(),
        "{step:?} ran no foreign code"
    );
    drop(waiting);
    assert_eq!((probe.live(), other.live()), (0, 0), "{step:?}");
}

/// Everything that one can do to a map.
fn everything<M: Requests>(requests: &Arc<M>) {
    let ledger = Ledger::new();
    if let Ok((id, pending)) = requests.insert() {
        drop(requests.complete(id, ledger.payload(1)));
        drop(pending);
    }
    if let Ok((id, pending)) = requests.insert() {
        drop(pending);
        requests.release(id);
        drop(requests.fail(id, ledger.payload(2)));
        let _ = requests.cancel(id);
    }
    drop(poll(
        &mut Box::pin(requests.insert_async()),
        &Probe::new().waker(),
    ));
    let _ = (requests.len(), requests.held());
    requests.fail_all(cause(&ledger, 3));
}

fn foreign_code_may_use_the_map<M: Requests>() {
    for step in STEPS {
        for hold in [false, true] {
            let requests = Arc::new(M::make(2, policy(hold)));
            let inside = Arc::clone(&requests);
            run(step, &requests, move || everything(&inside));
            assert!(requests.is_closed());
            assert_eq!((requests.len(), requests.held()), (0, 0), "{step:?}");
        }
    }
}

fn foreign_code_may_panic<M: Requests>() {
    for step in STEPS {
        for hold in [false, true] {
            let requests = Arc::new(M::make(2, policy(hold)));
            run(step, &requests, unwind);
            requests.fail_all(cause(&Ledger::new(), 9));
            assert_eq!((requests.len(), requests.held()), (0, 0), "{step:?}");
        }
    }
}

fn policy(hold: bool) -> Policy {
    if hold {
        Policy::hold_until_completed()
    } else {
        Policy::revoke_now()
    }
}

/// The waker that is woken may poll at once: a request is not answered under the lock.
#[test]
fn a_reply_may_be_taken_within_the_wake() {
    let ledger = Ledger::new();
    let requests = Arc::new(super::Keyed::make(2, Policy::revoke_now()));
    let (id, mut pending) = Requests::insert(&*requests).unwrap();
    let probe = Probe::new();
    let waker = probe.waker();
    assert!(poll(&mut pending, &waker).is_pending());
    let taken: Arc<Mutex<Option<Payload>>> = Arc::default();
    probe.on_wake.arm({
        let (taken, requests) = (Arc::clone(&taken), Arc::clone(&requests));
        move || {
            *taken.lock().unwrap() = pending.try_take().unwrap().ok();
            assert_eq!(requests.len(), 0);
            assert!(requests.map.insert(id).is_ok());
        }
    });
    requests.complete(id, ledger.payload(1)).unwrap();
    assert_eq!(taken.lock().unwrap().take().unwrap().tag(), 1);
    assert_eq!(ledger.live(), 0);
}

/// A duplicate that was waited for gives its source to the next in turn, whose waker runs inside.
#[test]
fn a_refused_duplicate_wakes_the_next_outside_the_lock() {
    let requests = Arc::new(super::Keyed::make(2, Policy::revoke_now()));
    let _seven = requests.map.insert(7).unwrap();
    let eight = requests.map.insert(8).unwrap();
    let (first, second) = (Probe::new(), Probe::new());
    let mut duplicate = requests.map.insert_async(7);
    assert!(poll(&mut duplicate, &first.waker()).is_pending());
    let mut next = requests.map.insert_async(9);
    assert!(poll(&mut next, &second.waker()).is_pending());
    drop(eight);
    second.on_wake.arm({
        let requests = Arc::clone(&requests);
        move || assert!(requests.map.contains(7) && !requests.map.contains(9))
    });
    let Poll::Ready(refused) = poll(&mut duplicate, &first.waker()) else {
        panic!("it is its turn");
    };
    assert_eq!(refused.unwrap_err(), InsertError::Duplicate);
    assert_eq!(second.wakes(), 1);
    let Poll::Ready(Ok(_nine)) = poll(&mut next, &second.waker()) else {
        panic!("it is its turn");
    };
    assert!(requests.map.contains(9));
}
