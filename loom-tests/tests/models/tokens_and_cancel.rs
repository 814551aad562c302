//! two tokens ‖ cancel: one winner, each loser's payload comes back. Up to three threads, one shared
//! round; then every token is stale. Where three threads act on one round, they are preempted three times
//! at most.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{CompletionError, Kind, Pool, Rejection, Status, Witness};

use crate::check;

#[test]
fn two_tokens_and_cancel() {
    check(Some(3), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        assert!(witness.poll(&mut completion).is_pending());

        let racers: Vec<_> = [1, 2]
            .map(|number| {
                let (pool, payload) = (pool.clone(), witness.payload(number));
                thread::spawn(move || match pool.complete(token, payload) {
                    Ok(()) => Some(number),
                    Err(rejected) => {
                        assert_ne!(rejected.reason(), Rejection::Closed);
                        assert_eq!(rejected.into_payload().number(), number);
                        None
                    }
                })
            })
            .into();
        let cancelled = pool.cancel(token).is_ok();
        let outcome = witness.block_on(completion);
        let winners: Vec<_> = racers
            .into_iter()
            .filter_map(|racer| racer.join().unwrap())
            .collect();
        match outcome {
            Ok(payload) => assert!(!cancelled && winners == [payload.number()]),
            Err(CompletionError::Cancelled) => assert!(cancelled && winners.is_empty()),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// A claimer that is still writing when the consumer leaves gets its payload back, and releases.
#[test]
fn claimer_and_drop() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        let payload = witness.payload(1);
        let claimer = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.complete(token, payload)))
        };
        drop(completion);
        claimer.join().unwrap();
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// A token of the last round against the next round of the same slot: no effect.
#[test]
fn stale_token_and_next_round() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        let stale = completer.into_token().unwrap();
        let payload = witness.payload(1);
        let late = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.complete(stale, payload)))
        };
        drop(completion);
        if let Ok((completer, mut completion)) = pool.try_rent() {
            let token = completer.into_token().unwrap();
            assert_ne!(token, stale);
            pool.complete(token, witness.payload(2)).unwrap();
            assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
        }
        late.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// Claiming sees what happened to the payload cell before the round was shared, with no edge but the
/// word's own.
#[test]
fn claim_follows_share() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        // Uses the cell once, so that there is an earlier access to race with.
        let (completer, mut completion) = pool.try_rent().unwrap();
        let guess = loom_tests::Token::from_bits(0);
        let claimer = {
            let (pool, payload) = (pool.clone(), witness.payload(2));
            // A token that came by no channel: two bits of version make a guess come true.
            thread::spawn(move || drop(pool.complete(guess, payload)))
        };
        completer.complete(witness.payload(1)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 1);
        let (completer, completion) = pool.try_rent().unwrap();
        assert_eq!(completer.into_token().unwrap(), guess);
        claimer.join().unwrap();
        drop(completion);
        witness.assert_nothing_left();
    });
}
