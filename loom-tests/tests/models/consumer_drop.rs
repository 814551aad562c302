//! drop of a polled completion ‖ every producer: the payload comes back or is dropped, the waker is freed,
//! and the slot is returned once. (RUSTSEC-2026-0005.)

use crate::grid::{Completion, Heard, Producers, Stage, column};

column!(true, consumer_drop);

fn consumer_drop(_: &Stage, completion: Completion, _: &mut Producers) -> Heard {
    drop(completion);
    Heard::Nothing
}
