//! try-take ‖ every producer: nothing yet, or the outcome; and the outcome once all have acted.

use crate::grid::{Completion, Heard, Producers, Stage, column};

column!(false, try_take);

fn try_take(_: &Stage, mut completion: Completion, producers: &mut Producers) -> Heard {
    let outcome = completion.try_take().unwrap_or_else(|| {
        producers.join();
        completion.try_take().unwrap()
    });
    assert!(completion.try_take().is_none());
    Heard::Outcome(outcome.into())
}
