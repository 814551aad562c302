//! A completer that watches ‖ a consumer that leaves: the watcher is woken if it may have been told to
//! wait, whichever waker it left last. Two threads, one round. (The rows `watch` of the grid have the
//! rest: there the completer watches and completes against every act of the consumer.)

use loom::thread;
use loom_tests::{Completion, Kind, Payload, Pool, Witness};

use crate::check;

type Consumer = Completion<'static, Payload, Payload>;

fn drop_it(completion: Consumer) {
    drop(completion);
}

fn close_it(mut completion: Consumer) {
    assert!(completion.close());
    assert!(completion.try_take().is_some_and(|it| it.is_err()));
}

/// The completer waits until nobody else does: a lost wake is a deadlock.
fn watch_against(leave: fn(Consumer)) {
    check(None, move || {
        let [waiter, watcher] = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::with_capacity(1);
        let (mut completer, mut completion) = pool.try_rent().unwrap();
        assert!(waiter.poll(&mut completion).is_pending());
        let consumer = thread::spawn(move || leave(completion));
        watcher.block_on(completer.closed());
        assert!(completer.is_closed());
        let refused = completer.complete(waiter.payload(1)).unwrap_err();
        assert_eq!(refused.into_payload().number(), 1);
        consumer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        waiter.assert_nothing_left();
        watcher.assert_nothing_left();
    });
}

#[test]
fn first_watch_and_drop() {
    watch_against(drop_it);
}

#[test]
fn first_watch_and_close() {
    watch_against(close_it);
}

/// The completer watches with one waker before, with another meanwhile. There are no generations here: the
/// consumer may have read a watched word, and find the same word again with the other waker behind it.
fn watch_anew_against(leave: fn(Consumer)) {
    check(None, move || {
        let [first, second] = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::<Payload, Payload>::with_capacity(1);
        let (mut completer, completion) = pool.try_rent().unwrap();
        assert!(first.poll(&mut completer.closed()).is_pending());
        let consumer = thread::spawn(move || leave(completion));
        if second.poll(&mut completer.closed()).is_pending() {
            assert_eq!(first.wakes(), 0, "the replaced waker was woken");
            first.assert_no_wakers();
            second.block_on(completer.closed());
        }
        consumer.join().unwrap();
        // None, if the consumer left between the two, of which the second poll then told.
        assert!(first.wakes() + second.wakes() <= 1);
        drop(completer);
        assert_eq!(pool.stats().in_use, 0);
        first.assert_nothing_left();
        second.assert_nothing_left();
    });
}

#[test]
fn new_watcher_and_drop() {
    watch_anew_against(drop_it);
}

#[test]
fn new_watcher_and_close() {
    watch_anew_against(close_it);
}

/// A completer that watched is used up while the consumer leaves: its waker is freed by whoever had it,
/// and woken only if the consumer was first.
fn used_up_against(
    leave: fn(Consumer),
    use_up: fn(loom_tests::Completer<'static, Payload, Payload>, Payload) -> bool,
) {
    check(None, move || {
        let [waiter, watcher] = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let pool = Pool::with_capacity(1);
        let (mut completer, mut completion) = pool.try_rent().unwrap();
        assert!(waiter.poll(&mut completion).is_pending());
        assert!(watcher.poll(&mut completer.closed()).is_pending());
        let payload = waiter.payload(1);
        let consumer = thread::spawn(move || leave(completion));
        let ended = use_up(completer, payload);
        if ended {
            assert_eq!(watcher.wakes(), 0);
        }
        consumer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
        waiter.assert_nothing_left();
        watcher.assert_nothing_left();
    });
}

#[test]
fn watched_complete_and_drop() {
    used_up_against(drop_it, |completer, payload| {
        completer.complete(payload).is_ok()
    });
}

#[test]
fn watched_fail_and_close() {
    let close = |mut completion: Consumer| {
        let closed = completion.close();
        let outcome = completion.try_take().unwrap().unwrap_err();
        assert_eq!(closed, outcome.into_failure().is_none());
    };
    used_up_against(close, |completer, payload| completer.fail(payload).is_ok());
}

#[test]
fn watched_abandon_and_drop() {
    used_up_against(drop_it, |completer, _| {
        drop(completer);
        false
    });
}

#[test]
fn watched_share_and_drop() {
    used_up_against(drop_it, |completer, _| {
        completer.into_token().unwrap();
        false
    });
}

/// `is_closed` ‖ drop: true is final, and then completing is refused.
#[test]
fn is_closed_and_drop() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        let consumer = thread::spawn(move || drop(completion));
        let [before, after] = [(); 2].map(|()| completer.is_closed());
        assert!(after || !before);
        assert!(completer.complete(1).is_err() || !after);
        consumer.join().unwrap();
        assert_eq!(pool.stats().in_use, 0);
    });
}
