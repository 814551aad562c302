//! Re-registration beyond the last generation ‖ complete: with two bits the third registration is
//! saturated, so the publisher takes the waker under `TAKING`. Two threads, one round; one model is
//! bounded, to four preemptions.

use core::task::Poll;

use loom::thread;
use loom_tests::{Kind, Pool, Witness};

use crate::check;

#[test]
fn saturated_generation_and_complete() {
    // Two registrations meanwhile: every interleaving takes minutes, these take a second.
    wrap(2, 2, Some(4));
}

/// The publisher may have read a saturated word, and find the same word again after another
/// registration: the exchange itself must acquire the words.
#[test]
fn saturated_generation_is_registered_again() {
    wrap(3, 1, None);
}

fn wrap(before: usize, meanwhile: usize, preemptions: Option<usize>) {
    check(preemptions, move || {
        let witnesses = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        let mut completion = Some(completion);
        let payload = witnesses[0].payload(7);
        let mut turn = 0;
        let mut poll = |completion: &mut _| {
            turn += 1;
            (turn, witnesses[turn % 2].poll(completion))
        };
        for _ in 0..before {
            assert!(poll(completion.as_mut().unwrap()).1.is_pending());
        }
        let producer = thread::spawn(move || completer.complete(payload).unwrap());
        let mut outcome = None;
        let mut last = before;
        for _ in 0..meanwhile {
            if let (turn, Poll::Ready(ready)) = poll(completion.as_mut().unwrap()) {
                last = turn;
                outcome = Some(ready);
                completion = None;
                break;
            }
            last += 1;
        }
        let outcome =
            outcome.unwrap_or_else(|| witnesses[last % 2].block_on(completion.take().unwrap()));
        producer.join().unwrap();
        assert_eq!(outcome.unwrap().number(), 7);
        assert_eq!(pool.stats().in_use, 0);
        for witness in &witnesses {
            witness.assert_nothing_left();
        }
    });
}

/// The same against a consumer that leaves instead: the last of the two releases.
#[test]
fn saturated_generation_and_drop() {
    check(None, || {
        let witnesses = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let payload = witnesses[0].payload(7);
        for turn in 0..3 {
            assert!(witnesses[turn % 2].poll(&mut completion).is_pending());
        }
        let producer = thread::spawn(move || drop(completer.complete(payload)));
        drop(completion);
        producer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        for witness in &witnesses {
            witness.assert_nothing_left();
        }
    });
}

/// A version is used once: the slot retires rather than wrap, and the pool is freed all the same.
#[test]
fn versions_retire_the_slot() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let mut seen = Vec::new();
        while let Ok((completer, completion)) = pool.try_rent() {
            let token = completer.into_token().unwrap();
            assert!(!seen.contains(&token));
            seen.push(token);
            drop(completion);
        }
        assert_eq!(seen.len(), 3, "two bits, of which one value means retired");
        let stats = pool.stats();
        assert_eq!((stats.capacity, stats.in_use, stats.rented), (0, 0, 3));
    });
}

/// The consumer takes while the publisher is still under `TAKING`: whoever is last puts the slot back,
/// and what the other did happens before the next round. Three threads, two rounds.
#[test]
fn saturated_generation_and_next_round() {
    check(None, || {
        let witnesses = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let payload = witnesses[0].payload(1);
        for turn in 0..3 {
            assert!(witnesses[turn % 2].poll(&mut completion).is_pending());
        }
        let producer = thread::spawn(move || drop(completer.complete(payload)));
        let next = {
            let (pool, payload) = (pool.clone(), witnesses[1].payload(2));
            thread::spawn(move || {
                let Ok((completer, mut completion)) = pool.try_rent() else {
                    return;
                };
                completer.complete(payload).unwrap();
                assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
            })
        };
        if let Some(outcome) = completion.try_take() {
            assert_eq!(outcome.unwrap().number(), 1);
        }
        drop(completion);
        producer.join().unwrap();
        next.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        for witness in &witnesses {
            witness.assert_nothing_left();
        }
    });
}
