//! re-poll with a new waker ‖ complete: the last waker polled with is woken, and only that one; the
//! first is dropped at once. Two threads, one round.

use core::task::Poll;

use loom::thread;
use loom_tests::{CompletionSource, Kind, Witness};

use crate::check;

#[test]
fn complete_and_new_waker() {
    check(None, || {
        let source: &'static CompletionSource<_, ()> = Box::leak(Box::new(CompletionSource::new()));
        let first = Witness::new(Kind::A);
        let second = Witness::new(Kind::B);
        let (completer, mut completion) = source.begin().unwrap();
        let payload = first.payload(7);

        assert!(first.poll(&mut completion).is_pending());
        let producer = thread::spawn(move || completer.complete(payload).unwrap());
        let outcome = match second.poll(&mut completion) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let first_wakes = first.wakes();
                assert_eq!(first_wakes, 0, "the replaced waker was woken");
                first.assert_no_wakers();
                second.block_on(completion)
            }
        };
        producer.join().unwrap();
        assert_eq!(outcome.unwrap().number(), 7);
        assert!(first.wakes() + second.wakes() <= 1);
        first.assert_nothing_left();
        second.assert_nothing_left();
        // SAFETY: leaked above, and both handles are gone.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(source).cast_mut()) });
    });
}
