//! A round that is held for its token's answer: the slot comes home after the consumer has left *and* a
//! holder has answered, once. (The rows `held_token_completes` of the grid have one answer against every
//! act of the consumer.)

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Payload, Pool, Rejection, Status, Token, Witness};

use crate::check;

/// Each answer is refused in its own way; only the first of them can be the one that lets go.
fn answer(pool: &Pool<Payload, Payload>, token: Token, payload: Payload) -> bool {
    let number = payload.number();
    match pool.complete(token, payload) {
        Ok(()) => true,
        Err(rejected) => {
            assert_eq!(rejected.into_payload().number(), number);
            false
        }
    }
}

#[test]
fn two_answers_and_drop() {
    check(Some(3), || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::with_capacity(1));
        let (completer, mut completion) = pool.try_rent().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        let token = completer.into_held_token().unwrap();
        let answers = [1, 2].map(|number| {
            let (pool, payload) = (pool.clone(), witness.payload(number));
            thread::spawn(move || answer(&pool, token, payload))
        });
        drop(completion);
        let won = answers.map(|answer| answer.join().unwrap());
        assert!(won != [true, true]);
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// Cancelling is an answer as well.
#[test]
fn cancel_and_drop() {
    check(None, || {
        let pool = Arc::new(Pool::<u32, ()>::with_capacity(1));
        let (completer, completion) = pool.try_rent().unwrap();
        let token = completer.into_held_token().unwrap();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || pool.cancel(token).is_ok())
        };
        drop(completion);
        canceller.join().unwrap();
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// The consumer has closed: whichever is last, its taking or the answer, brings the slot home, and what the
/// other did happens before the next round.
#[test]
fn close_then_answer_and_take() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::with_capacity(1));
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_held_token().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        assert!(completion.close());
        let answerer = {
            let (pool, payload) = (pool.clone(), witness.payload(1));
            thread::spawn(move || assert!(!answer(&pool, token, payload)))
        };
        assert!(completion.try_take().unwrap().is_err());
        answerer.join().unwrap();
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// Leaving, answering and the next renter: three threads, two rounds, with no edge but the words' own.
#[test]
fn answer_and_drop_and_next_round() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::with_capacity(1));
        let (completer, mut completion) = pool.try_rent().unwrap();
        let token = completer.into_held_token().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        let answerer = {
            let (pool, payload) = (pool.clone(), witness.payload(1));
            thread::spawn(move || answer(&pool, token, payload))
        };
        let next = {
            let (pool, payload) = (pool.clone(), witness.payload(2));
            thread::spawn(move || {
                if let Ok((completer, mut completion)) = pool.try_rent() {
                    completer.complete(payload).unwrap();
                    assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
                }
            })
        };
        drop(completion);
        answerer.join().unwrap();
        next.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}

/// The answer may bring the last slot home, and the pool be freed: after all that the consumer did.
#[test]
fn answer_and_drop_free_the_pool() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<u32, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        assert!(witness.poll(&mut completion).is_pending());
        let token = completer.into_held_token().unwrap();
        let consumer = thread::spawn(move || drop(completion));
        assert!(pool.complete(token, 1).is_ok() || pool.status(token) != Status::Pending);
        drop(pool);
        consumer.join().unwrap();
        witness.assert_nothing_left();
    });
}

/// The consumer left before the completer became a token, so there is nothing to hold for. A guess at that
/// token finds the round over, and does not let go of what is held no more.
#[test]
fn forged_token_and_late_hold() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Arc::new(Pool::<Payload, Payload>::with_capacity(1));
        let (completer, completion) = pool.try_rent().unwrap();
        drop(completion);
        let forger = {
            let (pool, payload) = (pool.clone(), witness.payload(1));
            thread::spawn(move || {
                let refused = pool.complete(Token::from_bits(0), payload).unwrap_err();
                assert!([Rejection::Stale, Rejection::Closed].contains(&refused.reason()));
            })
        };
        let token = completer.into_held_token().unwrap();
        assert_eq!(token, Token::from_bits(0));
        // The slot is home, and nobody brings it home again.
        let (completer, mut completion) = pool.try_rent().unwrap();
        forger.join().unwrap();
        assert_eq!(pool.stats().in_use, 1);
        completer.complete(witness.payload(2)).unwrap();
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
        assert_eq!(pool.status(token), Status::Stale);
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}
