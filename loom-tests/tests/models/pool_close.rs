//! close of a pool ‖ everything else: each round ends with the cause or by its producer, never both, and
//! whoever waits is told. Two or three threads, one round.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{CompletionError, Kind, Payload, Pool, RentError, Witness};

use crate::check;

/// What the closing makes of each round: this number fails it.
const CAUSE: u32 = 99;

struct Stage {
    pool: Pool<Payload, u32>,
    waiter: Witness,
    watcher: Witness,
}

impl Stage {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            pool: Pool::with_capacity(1),
            waiter: Witness::new(Kind::A),
            watcher: Witness::new(Kind::B),
        })
    }

    fn assert_over(&self) {
        assert!(self.pool.is_closed());
        assert_eq!(self.pool.try_rent().unwrap_err(), RentError::Closed);
        assert_eq!(self.pool.stats().in_use, 0);
        self.waiter.assert_nothing_left();
        self.watcher.assert_nothing_left();
    }
}

/// Closes on another thread.
fn close(stage: &Arc<Stage>) -> thread::JoinHandle<()> {
    let stage = stage.clone();
    thread::spawn(move || assert!(stage.pool.close(CAUSE)))
}

/// The value's number, or the cause.
fn number(outcome: Result<Payload, CompletionError<u32>>) -> u32 {
    match outcome {
        Ok(payload) => payload.number(),
        Err(error) => error.into_failure().unwrap(),
    }
}

#[test]
fn close_and_first_poll() {
    check(None, || {
        let stage = Stage::new();
        let (completer, completion) = stage.pool.try_rent().unwrap();
        let closer = close(&stage);
        assert_eq!(number(stage.waiter.block_on(completion)), CAUSE);
        assert!(completer.is_closed());
        drop(completer);
        closer.join().unwrap();
        stage.assert_over();
    });
}

/// Two bits: the third and fourth registration are one word. The closing may have read the third.
#[test]
fn close_and_saturated_poll() {
    check(None, || {
        let stage = Stage::new();
        let (completer, mut completion) = stage.pool.try_rent().unwrap();
        for witness in [&stage.waiter, &stage.watcher, &stage.waiter] {
            assert!(witness.poll(&mut completion).is_pending());
        }
        let closer = close(&stage);
        assert_eq!(number(stage.watcher.block_on(completion)), CAUSE);
        drop(completer);
        closer.join().unwrap();
        stage.assert_over();
    });
}

/// A rent that came too early to be refused is closed like any other round.
#[test]
fn close_and_rent() {
    check(None, || {
        let stage = Stage::new();
        let closer = close(&stage);
        match stage.pool.try_rent() {
            Ok((completer, completion)) => {
                assert_eq!(number(stage.waiter.block_on(completion)), CAUSE);
                drop(completer);
            }
            Err(reason) => assert_eq!(reason, RentError::Closed),
        }
        closer.join().unwrap();
        stage.assert_over();
    });
}

/// One of two shards closes before the other. A rent that it refuses does not take the pool for exhausted.
#[test]
fn close_and_rent_of_two_shards() {
    check(None, || {
        let pool = Arc::new(Pool::<u32, u32>::with_capacity(2));
        let first = pool.try_rent().unwrap();
        let second = pool.try_rent().unwrap();
        drop(first);
        let closer = {
            let pool = pool.clone();
            thread::spawn(move || assert!(pool.close(CAUSE)))
        };
        if let Err(reason) = pool.try_rent() {
            assert_eq!(reason, RentError::Closed);
        }
        closer.join().unwrap();
        drop(second);
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// The slot served before: the closing sees the round that is under way, not the one that is over.
#[test]
fn close_and_second_round() {
    check(None, || {
        let stage = Stage::new();
        let closer = close(&stage);
        if let Ok((completer, completion)) = stage.pool.try_rent() {
            let completed = completer.complete(stage.waiter.payload(1)).is_ok();
            let outcome = number(stage.waiter.block_on(completion));
            assert_eq!(outcome, if completed { 1 } else { CAUSE });
        }
        if let Ok((completer, completion)) = stage.pool.try_rent() {
            assert_eq!(number(stage.waiter.block_on(completion)), CAUSE);
            drop(completer);
        }
        closer.join().unwrap();
        stage.assert_over();
    });
}

/// The producer is on one thread, the closer on another, and the consumer waits.
fn close_against(
    preemptions: Option<usize>,
    produce: fn(&Stage, loom_tests::Completer<'static, Payload, u32>, Payload) -> bool,
) {
    check(preemptions, move || {
        let stage = Stage::new();
        let (completer, mut completion) = stage.pool.try_rent().unwrap();
        assert!(stage.waiter.poll(&mut completion).is_pending());
        let payload = stage.waiter.payload(1);
        let closer = close(&stage);
        let producer = {
            let stage = stage.clone();
            thread::spawn(move || produce(&stage, completer, payload))
        };
        let outcome = number(stage.waiter.block_on(completion));
        let produced = producer.join().unwrap();
        assert_eq!(outcome, if produced { 1 } else { CAUSE });
        closer.join().unwrap();
        stage.assert_over();
    });
}

#[test]
fn close_and_complete() {
    close_against(Some(2), |_, completer, payload| {
        completer.complete(payload).is_ok()
    });
}

/// A claimer that is still writing has its payload back.
#[test]
fn close_and_claimer() {
    close_against(Some(2), |stage, completer, payload| {
        let token = completer.into_token().unwrap();
        stage.pool.complete(token, payload).is_ok()
    });
}

/// The closing counts as the answer that a round is held for.
#[test]
fn close_and_held_token() {
    close_against(Some(2), |stage, completer, payload| {
        let token = completer.into_held_token().unwrap();
        stage.pool.complete(token, payload).is_ok()
    });
}

/// Both wakers are the closer's; the completer learns at once.
#[test]
fn close_and_watch() {
    close_against(Some(2), |stage, mut completer, payload| {
        stage.watcher.block_on(completer.closed());
        assert!(completer.is_closed());
        completer.complete(payload).is_ok()
    });
}

/// The completer changes its waker, which the word does not show.
#[test]
fn close_and_new_watcher() {
    check(None, || {
        let stage = Stage::new();
        let (mut completer, completion) = stage.pool.try_rent().unwrap();
        assert!(stage.waiter.poll(&mut completer.closed()).is_pending());
        let closer = close(&stage);
        if stage.watcher.poll(&mut completer.closed()).is_pending() {
            assert_eq!(stage.waiter.wakes(), 0, "the replaced waker was woken");
            stage.waiter.assert_no_wakers();
            stage.watcher.block_on(completer.closed());
        }
        drop(completer);
        closer.join().unwrap();
        assert!(stage.waiter.wakes() + stage.watcher.wakes() <= 1);
        assert_eq!(number(stage.waiter.block_on(completion)), CAUSE);
        stage.assert_over();
    });
}

#[test]
fn close_and_drop() {
    check(None, || {
        let stage = Stage::new();
        let (mut completer, mut completion) = stage.pool.try_rent().unwrap();
        assert!(stage.waiter.poll(&mut completion).is_pending());
        assert!(stage.watcher.poll(&mut completer.closed()).is_pending());
        let closer = close(&stage);
        drop(completion);
        stage.watcher.block_on(completer.closed());
        drop(completer);
        closer.join().unwrap();
        stage.assert_over();
    });
}

/// A held round that nobody waits for is let go of, once: by the closing or by the answer.
#[test]
fn close_and_late_answer() {
    check(None, || {
        let stage = Stage::new();
        let (completer, completion) = stage.pool.try_rent().unwrap();
        let token = completer.into_held_token().unwrap();
        drop(completion);
        let closer = close(&stage);
        assert!(stage.pool.cancel(token).is_err());
        closer.join().unwrap();
        stage.assert_over();
    });
}

#[test]
fn two_closers() {
    check(None, || {
        let stage = Stage::new();
        let (completer, completion) = stage.pool.try_rent().unwrap();
        let other = {
            let stage = stage.clone();
            thread::spawn(move || stage.pool.close(CAUSE - 1))
        };
        let here = stage.pool.close(CAUSE);
        assert_ne!(other.join().unwrap(), here);
        let cause = if here { CAUSE } else { CAUSE - 1 };
        assert_eq!(number(stage.waiter.block_on(completion)), cause);
        drop(completer);
        stage.assert_over();
    });
}

/// The cause lives for as long as a round may ask for it, and is freed with the pool.
#[test]
fn close_and_last_handle() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<Payload, u32>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let cause = witness.payload(CAUSE);
        let closer = thread::spawn(move || assert!(pool.close_with(move || cause.number())));
        drop(completer);
        let number = completion.try_take().unwrap().unwrap_err().into_failure();
        assert!([None, Some(CAUSE)].contains(&number));
        closer.join().unwrap();
        witness.assert_nothing_left();
    });
}
