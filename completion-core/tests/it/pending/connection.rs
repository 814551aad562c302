//! The end of the connection: every request ends, and none begins any more.
//!
//! redis-rs#275: requests that waited when the connection was lost waited for ever.

use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;

use completion_core::{CompletionError, InsertError, Policy};
use futures_lite::future::block_on;

use super::{Requests, cause, failure, for_each_map};
use crate::support::{Ledger, Probe, poll, scaled};

for_each_map! {
    losing_the_connection_fails_every_request
    nobody_inserts_after_it
    who_waits_for_room_hears_of_it
    a_request_that_is_just_being_inserted_ends_too
    a_dropped_map_abandons_its_requests
    a_dropped_map_leaves_nothing_behind
}

fn losing_the_connection_fails_every_request<M: Requests>() {
    let ledger = Ledger::new();
    for policy in [Policy::revoke_now(), Policy::hold_until_completed()] {
        let requests = M::make(8, policy);
        let probe = Probe::new();
        let waker = probe.waker();
        let (_, new) = requests.insert().unwrap();
        let (_, mut polled) = requests.insert().unwrap();
        assert!(poll(&mut polled, &waker).is_pending());
        let (id, answered) = requests.insert().unwrap();
        requests.complete(id, ledger.payload(1)).unwrap();
        let (_, mut given_up) = requests.insert().unwrap();
        given_up.close();
        let (id, dropped) = requests.insert().unwrap();
        drop(dropped);

        assert!(requests.fail_all(cause(&ledger, 9)));
        assert_eq!(probe.wakes(), 1);
        drop(waker);
        assert_eq!(probe.live(), 0);
        assert_eq!(requests.held(), 0);
        assert!(requests.complete(id, ledger.payload(2)).is_err());

        assert_eq!(failure(new.wait()), Some(9));
        assert_eq!(failure(polled.wait()), Some(9));
        assert_eq!(
            answered.wait().unwrap().tag(),
            1,
            "what arrived is not lost"
        );
        assert!(matches!(given_up.wait(), Err(CompletionError::Cancelled)));
        assert_eq!((requests.len(), ledger.live()), (0, 0));
    }
}

fn nobody_inserts_after_it<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(8, Policy::revoke_now());
    assert!(!requests.is_closed());
    assert!(requests.fail_all(cause(&ledger, 1)));
    assert!(requests.is_closed());
    assert!(!requests.fail_all(cause(&ledger, 2)));
    assert_eq!(requests.insert().unwrap_err(), InsertError::Closed);
    assert_eq!(
        block_on(requests.insert_async()).unwrap_err(),
        InsertError::Closed
    );
}

fn who_waits_for_room_hears_of_it<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::hold_until_completed());
    let (_, held) = requests.insert().unwrap();
    drop(held);
    let probe = Probe::new();
    let waker = probe.waker();
    let mut waiting = Box::pin(requests.insert_async());
    assert!(poll(&mut waiting, &waker).is_pending());
    requests.fail_all(cause(&ledger, 1));
    assert_eq!(probe.wakes(), 1);
    let Poll::Ready(Err(error)) = poll(&mut waiting, &waker) else {
        panic!("it waits for ever");
    };
    assert_eq!(error, InsertError::Closed);
}

/// Many times, with more threads than cores: an insertion is refused, or ends with the cause.
fn a_request_that_is_just_being_inserted_ends_too<M: Requests>() {
    const CALLERS: usize = 3;
    let ledger = Ledger::new();
    for turn in 0..scaled(1_500, 10) {
        let policy = if turn % 2 == 0 {
            Policy::revoke_now()
        } else {
            Policy::hold_until_completed()
        };
        let requests = M::make(16, policy);
        let barrier = Barrier::new(CALLERS + 1);
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (requests, barrier) = (&requests, &barrier);
                scope.spawn(move || {
                    let mut inserted = Vec::new();
                    barrier.wait();
                    let end = loop {
                        match requests.insert() {
                            Ok((_, pending)) => inserted.push(pending),
                            Err(InsertError::Full) => inserted.clear(),
                            Err(end) => break end,
                        }
                        if inserted.len() > 2 {
                            inserted.truncate(caller);
                        }
                    };
                    if !crate::support::widths::WEARS_OUT {
                        assert_eq!(end, InsertError::Closed);
                    }
                    for pending in inserted {
                        assert_eq!(failure(pending.wait()), Some(9));
                    }
                });
            }
            barrier.wait();
            assert!(requests.fail_all(cause(&ledger, 9)));
        });
        assert_eq!((requests.len(), requests.held()), (0, 0));
    }
    assert_eq!(ledger.live(), 0);
}

/// A driver that is gone completes nothing, so its requests must not wait for it.
fn a_dropped_map_abandons_its_requests<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(4, Policy::revoke_now());
    let probe = Probe::new();
    let waker = probe.waker();
    let (_, mut pending) = requests.insert().unwrap();
    assert!(poll(&mut pending, &waker).is_pending());
    let (id, answered) = requests.insert().unwrap();
    requests.complete(id, ledger.payload(1)).unwrap();
    drop(requests);
    assert_eq!(probe.wakes(), 1);
    assert!(matches!(pending.wait(), Err(CompletionError::Abandoned)));
    assert_eq!(answered.wait().unwrap().tag(), 1);
    assert_eq!(ledger.live(), 0);
}

/// Held ids, too, which nobody can answer any more; what the report and the cause captured goes with the
/// last request.
fn a_dropped_map_leaves_nothing_behind<M: Requests>() {
    let ledger = Ledger::new();
    for fail in [false, true] {
        let captured = Arc::new(());
        let report = {
            let captured = Arc::clone(&captured);
            move |_held| assert_eq!(*captured, ())
        };
        let requests = M::make(4, Policy::hold_reporting(1, report));
        let (_, held) = requests.insert().unwrap();
        drop(held);
        let (_, pending) = requests.insert().unwrap();
        if fail {
            let captured = Arc::clone(&captured);
            let ledger = ledger.clone();
            requests.fail_all(move || {
                assert_eq!(*captured, ());
                ledger.payload(9)
            });
        }
        drop(requests);
        assert_eq!(Arc::strong_count(&captured), 2 + usize::from(fail));
        let outcome = pending.wait();
        assert_eq!(Arc::strong_count(&captured), 1);
        assert_eq!(failure(outcome), fail.then_some(9));
    }
}
