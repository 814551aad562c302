//! status ‖ every producer: it only moves on, to what the consumer then takes, and is stale after that. A
//! round that is not shared has no name by which to ask.

use loom_tests::Status;

use crate::grid::{Completion, End, Heard, Producers, Stage, column};

column!(false, status);

fn status(stage: &Stage, mut completion: Completion, producers: &mut Producers) -> Heard {
    let ask = || stage.pool.status(producers.token);
    let [before, after] = [ask(), ask()];
    let moved_on = match before {
        Status::Stale => true,
        Status::Pending => after != Status::Stale,
        ended => after == ended,
    };
    assert!(moved_on, "{before:?}, then {after:?}");
    assert!(before != Status::Stale || !producers.named);
    let outcome = if completion.is_ready() {
        completion.try_take().unwrap()
    } else {
        stage.first.block_on(completion)
    };
    let end = End::from(outcome);
    let last = match end {
        End::Value(_) => Status::Succeeded,
        End::Error(_) => Status::Failed,
        End::Cancelled | End::Abandoned => Status::Cancelled,
    };
    assert!([Status::Stale, Status::Pending, last].contains(&after));
    assert_eq!(ask(), Status::Stale);
    Heard::Outcome(end)
}
