//! `into_held_token`: a source stays out until the other side has answered.

use completion_core::{CompletionSource, Rejection, StaticPool, Status, Token};

use crate::support::{Ledger, Payload, Probe, poll};

type Owner = StaticPool<Payload, Payload, 1>;

/// The answers that a token holder may give; each says why it had no effect.
type Answer = fn(&Owner, Token, &Ledger) -> Rejection;

const ANSWERS: [Answer; 4] = [
    |owner, token, ledger| {
        let back = owner.complete(token, ledger.payload(1)).unwrap_err();
        let reason = back.reason();
        assert_eq!(back.into_payload().tag(), 1);
        reason
    },
    |owner, token, ledger| {
        let back = owner.fail(token, ledger.payload(2)).unwrap_err();
        let reason = back.reason();
        assert_eq!(back.into_payload().tag(), 2);
        reason
    },
    |owner, token, _| owner.cancel(token).unwrap_err().reason(),
    |owner, token, ledger| {
        let back = owner
            .complete_raw(token.to_bits(), Err(ledger.payload(3)))
            .unwrap_err();
        let reason = back.reason();
        assert_eq!(back.into_payload().unwrap_err().tag(), 3);
        reason
    },
];

/// AprilNEA/OpenLogi#1286, scylla-rust-driver#304: a number that was freed before its answer came reached
/// the next caller.
#[test]
fn a_dropped_completion_leaves_the_source_out_until_any_answer() {
    let ledger = Ledger::new();
    for answer in ANSWERS {
        for polled in [false, true] {
            let owner = Owner::new();
            let (completer, mut completion) = owner.try_rent().unwrap();
            let token = completer.into_held_token().unwrap();
            let probe = Probe::new();
            if polled {
                assert!(poll(&mut completion, &probe.waker()).is_pending());
            }
            drop(completion);
            assert_eq!((probe.wakes(), probe.live()), (0, 0));
            assert_eq!(owner.in_use(), 1);
            assert_eq!(owner.status(token), Status::Cancelled);
            assert!(owner.try_rent().is_err());
            assert_eq!(answer(&owner, token, &ledger), Rejection::Closed);
            assert_eq!(owner.in_use(), 0);
            assert_eq!(answer(&owner, token, &ledger), Rejection::Stale);
            assert!(owner.try_rent().is_ok());
            assert_eq!(ledger.live(), 0);
        }
    }
}

#[test]
fn an_answer_in_time_is_an_answer_like_any_other() {
    let ledger = Ledger::new();
    let owner = Owner::new();
    let (completer, mut completion) = owner.try_rent().unwrap();
    let token = completer.into_held_token().unwrap();
    assert_eq!(owner.status(token), Status::Pending);
    owner.complete(token, ledger.payload(1)).unwrap();
    for answer in ANSWERS {
        assert_eq!(answer(&owner, token, &ledger), Rejection::Lost);
    }
    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
    assert_eq!(owner.in_use(), 0);

    // Not taken, but dropped: the answer was there, so nothing is held.
    let (completer, completion) = owner.try_rent().unwrap();
    let token = completer.into_held_token().unwrap();
    owner.fail(token, ledger.payload(2)).unwrap();
    drop(completion);
    assert_eq!((owner.in_use(), ledger.live()), (0, 0));
}

#[test]
fn a_round_that_its_consumer_closed_is_held_as_well() {
    let ledger = Ledger::new();
    for answer in ANSWERS {
        for answered_first in [false, true] {
            let owner = Owner::new();
            let (completer, mut completion) = owner.try_rent().unwrap();
            let token = completer.into_held_token().unwrap();
            assert!(completion.close());
            if answered_first {
                assert_eq!(answer(&owner, token, &ledger), Rejection::Closed);
                assert_eq!(owner.in_use(), 1, "the outcome was not taken");
            }
            assert!(completion.try_take().unwrap().is_err());
            if !answered_first {
                assert_eq!(owner.in_use(), 1, "there was no answer");
                assert_eq!(answer(&owner, token, &ledger), Rejection::Closed);
            }
            assert_eq!(owner.in_use(), 0);
            assert_eq!(answer(&owner, token, &ledger), Rejection::Stale);
        }
    }
}

#[test]
fn nothing_is_held_for_a_round_that_was_over_before() {
    let ledger = Ledger::new();
    for closes in [false, true] {
        let owner = Owner::new();
        let (completer, completion) = owner.try_rent().unwrap();
        let mut completion = Some(completion);
        if closes {
            completion.as_mut().unwrap().close();
        } else {
            completion = None;
        }
        let token = completer.into_held_token().unwrap();
        drop(completion);
        assert_eq!(owner.in_use(), 0);
        assert_eq!(ANSWERS[0](&owner, token, &ledger), Rejection::Stale);
    }
}

#[test]
fn a_forgotten_answer_is_repaired_by_a_reset() {
    let mut source = CompletionSource::<u8, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    let token = completer.into_held_token().unwrap();
    drop(completion);
    source.reset();
    assert_eq!(source.cancel(token).unwrap_err().reason(), Rejection::Stale);
    assert!(source.begin().is_ok());
}

#[cfg(feature = "alloc")]
mod pooled {
    use completion_core::{Pool, RentError};

    use super::*;

    #[test]
    fn what_is_held_counts_as_out_and_is_told_apart() {
        let ledger = Ledger::new();
        let pool = Pool::<Payload, Payload>::with_capacity(3);
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let (completer, completion) = pool.try_rent().unwrap();
            tokens.push(completer.into_held_token().unwrap());
            assert_eq!(pool.stats().held, tokens.len() - 1, "somebody waits");
            drop(completion);
            assert_eq!(pool.stats().held, tokens.len());
        }
        let lent = pool.try_rent().unwrap();
        assert_eq!((pool.stats().in_use, pool.stats().held), (3, 2));
        assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
        for token in tokens {
            let late = pool.complete(token, ledger.payload(1)).unwrap_err();
            assert_eq!(late.reason(), Rejection::Closed);
        }
        assert_eq!((pool.stats().in_use, pool.stats().held), (1, 0));
        assert_eq!(pool.stats().stale, 0, "late, but expected");
        drop(lent);
        assert_eq!(ledger.live(), 0);
    }

    #[test]
    fn an_overflow_has_no_held_token_and_is_good_for_completing() {
        let pool = Pool::<u8, ()>::with_capacity(0);
        let (completer, mut completion) = pool.rent();
        let refused = completer.into_held_token().unwrap_err();
        refused.into_completer().complete(1).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(1)));
    }

    #[test]
    fn many_answers_to_one_held_round_release_it_once() {
        for turn in 0..crate::support::scaled(500, 10) {
            let pool = Pool::<usize, ()>::with_capacity(1);
            let (completer, completion) = pool.try_rent().unwrap();
            let token = completer.into_held_token().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let pool = &pool;
                    scope.spawn(move || {
                        if let Err(back) = pool.complete(token, turn) {
                            assert_eq!(back.into_payload(), turn);
                        }
                    });
                }
                drop(completion);
            });
            // Who was refused because another was just writing has answered; that other one released.
            assert_eq!((pool.stats().in_use, pool.stats().held), (0, 0));
            assert!(pool.try_rent().is_ok());
        }
    }
}
