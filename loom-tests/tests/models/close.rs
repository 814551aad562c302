//! close ‖ every producer: the round ends here or there, never both, and nobody is waited for.

use crate::grid::{Completion, End, Heard, Producers, Stage, column};

column!(true, close);

fn close(stage: &Stage, mut completion: Completion, _: &mut Producers) -> Heard {
    let closed = completion.close();
    if closed {
        stage.first.assert_no_wakers();
    }
    let outcome = End::from(completion.try_take().unwrap());
    if closed {
        assert_eq!(outcome, End::Cancelled);
        Heard::Closed
    } else {
        Heard::Outcome(outcome)
    }
}
