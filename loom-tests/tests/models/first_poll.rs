//! first poll ‖ every producer: the outcome arrives, and the wake is not lost.

use crate::grid::{Completion, Heard, Producers, Stage, column};

column!(false, first_poll);

fn first_poll(stage: &Stage, completion: Completion, _: &mut Producers) -> Heard {
    Heard::Outcome(stage.first.block_on(completion).into())
}
