//! re-poll with a new waker ‖ every producer: the last waker polled with is woken, and only that one; the
//! first is dropped at once.

use core::task::Poll;

use crate::grid::{Completion, Heard, Producers, Stage, column};

column!(true, new_waker);

fn new_waker(stage: &Stage, mut completion: Completion, _: &mut Producers) -> Heard {
    let outcome = match stage.second.poll(&mut completion) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            assert_eq!(stage.first.wakes(), 0, "the replaced waker was woken");
            stage.first.assert_no_wakers();
            stage.second.block_on(completion)
        }
    };
    assert!(stage.first.wakes() + stage.second.wakes() <= 1);
    Heard::Outcome(outcome.into())
}
