//! complete ‖ first poll: the outcome arrives, the wake is not lost, nothing leaks.
//! Two threads, one round.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Completer, CompletionError, Kind, Payload, Pool, Witness};

use crate::check;

/// Runs `produce` on another thread against a consumer that polls until ready.
fn race(
    produce: impl Fn(Completer<'static, Payload, Payload>, Payload) + Copy + Send + Sync + 'static,
    expect: impl Fn(Result<Payload, CompletionError<Payload>>) + Send + Sync + 'static,
) {
    check(None, move || {
        let witness = Arc::new(Witness::new(Kind::A));
        let pool = Pool::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        let payload = witness.payload(7);
        let producer = thread::spawn(move || produce(completer, payload));
        expect(witness.block_on(completion));
        producer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        drop(pool);
        witness.assert_nothing_left();
    });
}

#[test]
fn complete_and_first_poll() {
    race(
        |completer, payload| completer.complete(payload).unwrap(),
        |outcome| assert_eq!(outcome.unwrap().number(), 7),
    );
}

#[test]
fn fail_and_first_poll() {
    race(
        |completer, payload| completer.fail(payload).unwrap(),
        |outcome| assert_eq!(outcome.unwrap_err().into_failure().unwrap().number(), 7),
    );
}

#[test]
fn cancel_and_first_poll() {
    race(
        |completer, _| completer.cancel().unwrap(),
        |outcome| assert!(matches!(outcome, Err(CompletionError::Cancelled))),
    );
}

#[test]
fn abandon_and_first_poll() {
    race(
        |completer, _| drop(completer),
        |outcome| assert!(matches!(outcome, Err(CompletionError::Abandoned))),
    );
}
