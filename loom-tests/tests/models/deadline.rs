//! A deadline that is over ‖ complete: the outcome arrives, or its payload comes back. Two threads, one round.

use core::future::{Ready, ready};
use core::task::Poll;

use loom::thread;
use loom_tests::{DeadlineError, Kind, Pool, WithDeadline, Witness};

use crate::check;

#[test]
fn elapsed_and_complete() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, completion) = pool.try_rent().unwrap();
        let payload = witness.payload(7);
        let producer = thread::spawn(move || completer.complete(payload));
        let mut waiting: WithDeadline<'_, _, _, Ready<()>> = completion.with_deadline(ready(()));
        let Poll::Ready(outcome) = witness.poll(&mut waiting) else {
            panic!("the time is over");
        };
        let produced = producer.join().unwrap();
        match outcome {
            Ok(value) => assert_eq!((value.number(), produced.is_ok()), (7, true)),
            Err(DeadlineError::Elapsed) => {
                // It may have been there too late to be seen; then it was dropped.
                if let Err(refused) = produced {
                    assert_eq!(refused.into_payload().number(), 7);
                }
            }
            Err(DeadlineError::Ended(error)) => panic!("{error}"),
        }
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}
