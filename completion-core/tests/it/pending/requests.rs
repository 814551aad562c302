//! One request: however it ends, its id is free again, and what comes late reaches nobody.

use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread;

use completion_core::{CompletionError, DeadlineError, InsertError, Policy, Rejection, Token};
use futures_lite::future::block_on;

use super::{Assigned, Keyed, Requests, failure, for_each_map};
use crate::memory::allocations;
use crate::support::{Ledger, Probe, poll, scaled, unwind, widths};

for_each_map! {
    the_id_is_free_when_the_caller_is_cancelled
    the_id_is_free_when_the_time_is_over
    the_id_is_free_when_the_caller_panics
    the_id_is_free_when_sending_fails
    the_id_is_free_when_the_caller_closes
    a_reply_may_come_before_the_first_poll
    a_reply_may_come_before_sending_has_returned
    each_request_ends_once
    a_late_reply_does_not_reach_the_next_request
    a_full_map_says_so
    inserting_waits_for_room
    nothing_is_allocated_per_request
    used_up_versions_are_an_error
}

/// The late reply of a request that was given up under *revoke now*.
fn assert_stale<M: Requests>(requests: &M, id: M::Id, ledger: &Ledger) {
    let late = requests.complete(id, ledger.payload(9)).unwrap_err();
    assert_eq!(late.reason(), Rejection::Stale);
    assert_eq!(late.into_payload().tag(), 9);
    assert_eq!(requests.len(), 0);
    assert_eq!(ledger.live(), 0);
}

/// nats-io/nats.rs#1617: the entry of a cancelled request stayed.
fn the_id_is_free_when_the_caller_is_cancelled<M: Requests>() {
    let ledger = Ledger::new();
    for polled in [false, true] {
        let requests = M::make(1, Policy::revoke_now());
        let probe = Probe::new();
        let waker = probe.waker();
        let (id, mut pending) = requests.insert().unwrap();
        if polled {
            assert!(poll(&mut pending, &waker).is_pending());
        }
        assert_eq!(requests.len(), 1);
        drop(pending);
        drop(waker);
        assert_eq!(probe.live(), 0);
        assert_stale(&requests, id, &ledger);
        assert!(requests.insert().is_ok());
    }
}

/// bug-ops/mcpls#239: the entry of a request that timed out stayed.
fn the_id_is_free_when_the_time_is_over<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::revoke_now());
    let (id, pending) = requests.insert().unwrap();
    let outcome = block_on(pending.with_deadline(future::ready(())));
    assert!(matches!(outcome, Err(DeadlineError::Elapsed)));
    assert_stale(&requests, id, &ledger);
}

fn the_id_is_free_when_the_caller_panics<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::revoke_now());
    let (id, pending) = requests.insert().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _pending = pending;
        unwind();
    }));
    assert!(panicked.is_err());
    assert_stale(&requests, id, &ledger);
}

/// scylladb/python-driver#871: a request that could not be sent kept its id.
fn the_id_is_free_when_sending_fails<M: Requests>() {
    fn call<M: Requests>(requests: &M) -> Result<M::Id, M::Id> {
        let (id, _pending) = requests.insert().map_err(|_| unreachable!()).unwrap();
        let sent: Result<(), ()> = Err(());
        sent.map_err(|()| {
            requests.cancel(id).unwrap();
            id
        })?;
        Ok(id)
    }

    let ledger = Ledger::new();
    for policy in [Policy::revoke_now(), Policy::hold_until_completed()] {
        let requests = M::make(1, policy);
        let id = call(&requests).unwrap_err();
        assert_eq!(requests.held(), 0);
        assert_stale(&requests, id, &ledger);
    }
}

fn the_id_is_free_when_the_caller_closes<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::revoke_now());
    let (id, mut pending) = requests.insert().unwrap();
    assert!(pending.close());
    let late = requests.complete(id, ledger.payload(1)).unwrap_err();
    assert_eq!(late.into_payload().tag(), 1);
    let outcome = pending.try_take().unwrap();
    assert!(matches!(outcome, Err(CompletionError::Cancelled)));
    assert_stale(&requests, id, &ledger);
}

fn a_reply_may_come_before_the_first_poll<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::revoke_now());
    let (id, pending) = requests.insert().unwrap();
    requests.complete(id, ledger.payload(7)).unwrap();
    assert_eq!(requests.len(), 1, "a reply that nobody has taken yet");
    assert_eq!(block_on(pending).unwrap().tag(), 7);
    assert_stale(&requests, id, &ledger);
}

/// Inserting comes before sending, so the fastest reply finds its request.
fn a_reply_may_come_before_sending_has_returned<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(4, Policy::revoke_now());
    let rounds = widths::token_rounds(scaled(2_000, 20) as u64, 4);
    let (send, sent) = channel::<(M::Id, u64)>();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (id, nonce) in sent {
                requests.complete(id, ledger.payload(nonce)).unwrap();
            }
        });
        for nonce in 0..rounds {
            let (id, pending) = requests.insert().unwrap();
            send.send((id, nonce)).unwrap();
            assert_eq!(pending.wait().unwrap().tag(), nonce);
        }
        drop(send);
    });
    assert_eq!((requests.len(), ledger.live()), (0, 0));
}

fn each_request_ends_once<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(3, Policy::revoke_now());
    let losing = |id| {
        let lost = requests.complete(id, ledger.payload(2)).unwrap_err();
        assert_eq!(lost.into_payload().tag(), 2);
        let lost = requests.fail(id, ledger.payload(3)).unwrap_err();
        assert_eq!(lost.into_payload().tag(), 3);
        assert!(requests.cancel(id).is_err());
        assert!(!requests.release(id));
    };

    let (id, mut pending) = requests.insert().unwrap();
    requests.complete(id, ledger.payload(1)).unwrap();
    losing(id);
    assert_eq!(pending.try_take().unwrap().unwrap().tag(), 1);
    losing(id);

    let (id, mut pending) = requests.insert().unwrap();
    requests.fail(id, ledger.payload(1)).unwrap();
    losing(id);
    assert_eq!(failure(pending.try_take().unwrap()), Some(1));
    losing(id);

    let (id, mut pending) = requests.insert().unwrap();
    requests.cancel(id).unwrap();
    losing(id);
    let outcome = pending.try_take().unwrap();
    assert!(matches!(outcome, Err(CompletionError::Cancelled)));
    losing(id);
    assert_eq!((requests.len(), ledger.live()), (0, 0));
}

/// AprilNEA/OpenLogi#1286: an id that was freed early, and given to the next caller. Here the next request
/// has the same source, and another id.
fn a_late_reply_does_not_reach_the_next_request<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::revoke_now());
    let (first, pending) = requests.insert().unwrap();
    drop(pending);
    let (second, mut pending) = requests.insert().unwrap();
    let late = requests.complete(first, ledger.payload(1)).unwrap_err();
    assert_eq!(late.reason(), Rejection::Stale);
    assert!(requests.fail(first, ledger.payload(1)).is_err());
    assert!(requests.cancel(first).is_err());
    assert!(pending.try_take().is_none());
    requests.complete(second, ledger.payload(2)).unwrap();
    assert_eq!(pending.try_take().unwrap().unwrap().tag(), 2);
}

fn a_full_map_says_so<M: Requests>() {
    for capacity in [0, 1, 5] {
        let requests = M::make(capacity, Policy::revoke_now());
        let pending: Vec<_> = (0..capacity).map(|_| requests.insert().unwrap()).collect();
        assert_eq!(requests.len(), usize::from(capacity));
        assert_eq!(requests.insert().unwrap_err(), InsertError::Full);
        drop(pending);
        assert_eq!(requests.insert().is_ok(), capacity > 0);
    }
    let never = M::make(0, Policy::revoke_now());
    assert_eq!(
        block_on(never.insert_async()).unwrap_err(),
        InsertError::Full
    );
}

fn inserting_waits_for_room<M: Requests>() {
    let ledger = Ledger::new();
    let requests = M::make(1, Policy::hold_until_completed());
    let (first, pending) = requests.insert().unwrap();
    let probe = Probe::new();
    let waker = probe.waker();
    let mut context = Context::from_waker(&waker);
    let mut given_up = Box::pin(requests.insert_async());
    let mut waiting = Box::pin(requests.insert_async());
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(given_up);

    drop(pending);
    assert!(waiting.as_mut().poll(&mut context).is_pending(), "held");
    assert_eq!(probe.wakes(), 0);
    assert!(requests.complete(first, ledger.payload(1)).is_err());
    assert_eq!(probe.wakes(), 1);
    let Poll::Ready(Ok((second, mut pending))) = waiting.as_mut().poll(&mut context) else {
        panic!("there is room");
    };
    requests.complete(second, ledger.payload(2)).unwrap();
    assert_eq!(pending.try_take().unwrap().unwrap().tag(), 2);
    assert_eq!((requests.len(), ledger.live()), (0, 0));
}

/// Every way a request can go, after the first of each.
fn nothing_is_allocated_per_request<M: Requests>() {
    let ledger = Ledger::new();
    for hold in [false, true] {
        let policy = if hold {
            Policy::hold_until_completed()
        } else {
            Policy::revoke_now()
        };
        let requests = M::make(8, policy);
        let wanted = scaled(3_000, 30) as u64;
        for _ in 0..widths::token_rounds(wanted * 4, 8) / 4 {
            let [one, two, three, four] = [1, 2, 3, 4].map(|tag| ledger.payload(tag));
            let (calls, ()) = allocations(|| {
                let (id, mut pending) = requests.insert().unwrap();
                let mut context = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
                requests.complete(id, one).unwrap();
                drop(pending);

                let (id, mut pending) = requests.insert().unwrap();
                requests.fail(id, two).unwrap();
                drop(pending.try_take());

                let (id, pending) = requests.insert().unwrap();
                drop(pending);
                drop(requests.complete(id, three));

                let (id, pending) = requests.insert().unwrap();
                requests.cancel(id).unwrap();
                drop(requests.complete(id, four));
                drop(pending);
            });
            assert_eq!(calls, 0);
        }
        assert_eq!((requests.len(), requests.held()), (0, 0));
    }
}

/// No id comes twice: where versions are narrow, the map ends.
fn used_up_versions_are_an_error<M: Requests>() {
    if !widths::WEARS_OUT {
        return;
    }
    let requests = M::make(2, Policy::revoke_now());
    let mut ids = Vec::new();
    let end = loop {
        match requests.insert() {
            Ok((id, _pending)) => {
                assert!(!ids.contains(&id));
                ids.push(id);
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, InsertError::Retired);
    assert_eq!(ids.len() as u64, 2 * widths::TOKEN_ROUNDS);
}

/// RUSTSEC-2025-0047: any number may come from outside.
#[test]
fn forged_ids_are_refused() {
    let ledger = Ledger::new();
    let requests = Assigned::make(4, Policy::hold_until_completed());
    let (id, pending) = requests.insert().unwrap();
    let bits = id.to_bits();
    let forged = [0, 1, 4 << 48, bits + 1, bits ^ 1 << 63, u64::MAX];
    for forged in forged.into_iter().filter(|&forged| forged != bits) {
        let refused = requests.complete_raw(forged, Ok(ledger.payload(1)));
        assert_eq!(refused.unwrap_err().reason(), Rejection::Stale);
        let refused = requests.complete_raw(forged, Err(ledger.payload(1)));
        assert_eq!(refused.unwrap_err().reason(), Rejection::Stale);
        assert!(requests.cancel(Token::from_bits(forged)).is_err());
        assert!(!requests.release(Token::from_bits(forged)));
    }
    assert_eq!(
        requests.stats().stale,
        3 * forged.len() as u64 - 3 * u64::from(bits == 0)
    );
    requests.complete_raw(bits, Ok(ledger.payload(2))).unwrap();
    assert_eq!(pending.wait().unwrap().tag(), 2);
    assert_eq!(ledger.live(), 0);

    let requests = Keyed::make(4, Policy::hold_until_completed());
    let pending = requests.map.insert(2).unwrap();
    for forged in [0, 1, u16::MAX] {
        let refused = requests.complete(forged, ledger.payload(1)).unwrap_err();
        assert_eq!(refused.reason(), Rejection::Stale);
        assert!(requests.cancel(forged).is_err());
        assert!(!requests.release(forged));
        assert!(!requests.map.contains(forged));
    }
    assert!(!pending.is_ready());
    assert_eq!(requests.map.stats().in_use, 1);
}
