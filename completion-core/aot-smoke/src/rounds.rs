//! Rounds without tokens, wherever they take place: in a `static`, or in a box.

use completion_core::{Completer, Completion, CompletionError};

use crate::payloads::{Refused, Response};
use crate::report::Report;
use crate::waker::{poll, wakes};

/// The two handles of a new round; none if it could not begin.
pub(crate) type Begun<T> = Option<(
    Completer<'static, T, Refused>,
    Completion<'static, T, Refused>,
)>;

/// The checks of a `bool`; none if a round could not begin.
pub(crate) fn flag(report: &Report, what: &str, begin: impl Fn() -> Begun<bool>) -> Option<()> {
    let (completer, mut completion) = begin()?;
    let accepted = completer.complete(true).is_ok();
    let outcome = poll(&mut completion);
    let right = accepted && outcome == Some(Ok(true)) && wakes() == 0;
    report.check(what, "completed before the first poll", right);

    let (completer, mut completion) = begin()?;
    let pending = poll(&mut completion).is_none();
    let accepted = completer.complete(false).is_ok() && wakes() == 1;
    let outcome = poll(&mut completion);
    let right = pending && accepted && outcome == Some(Ok(false));
    report.check(what, "completed after the first poll", right);

    let (completer, mut completion) = begin()?;
    let pending = poll(&mut completion).is_none();
    let accepted = completer.fail(Refused(7)).is_ok() && wakes() == 1;
    let outcome = poll(&mut completion);
    let right = pending && accepted && outcome == Some(Err(CompletionError::Failed(Refused(7))));
    report.check(what, "failed after the first poll", right);
    Some(())
}

/// The checks of a response; none if a round could not begin.
pub(crate) fn response(
    report: &Report,
    what: &str,
    begin: impl Fn() -> Begun<Response>,
) -> Option<()> {
    let (completer, mut completion) = begin()?;
    let accepted = completer.complete(Response::new(200)).is_ok();
    let outcome = poll(&mut completion);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(200));
    drop(outcome);
    let right = accepted && right && wakes() == 0 && Response::all_dropped();
    report.check(what, "completed before the first poll", right);

    let (completer, mut completion) = begin()?;
    let pending = poll(&mut completion).is_none();
    let accepted = completer.complete(Response::new(404)).is_ok() && wakes() == 1;
    let outcome = poll(&mut completion);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(404));
    drop(outcome);
    let right = pending && accepted && right && Response::all_dropped();
    report.check(what, "completed after the first poll", right);

    let (completer, completion) = begin()?;
    let accepted = completer.complete(Response::new(200)).is_ok();
    drop(completion);
    report.check(what, "dropped untaken", accepted && Response::all_dropped());

    let (completer, mut completion) = begin()?;
    let pending = poll(&mut completion).is_none();
    drop(completion);
    let closed = completer.is_closed();
    let back = completer.complete(Response::new(200)).err();
    let back = back.is_some_and(|rejected| rejected.into_payload().is(200));
    let right = pending && closed && back && wakes() == 0 && Response::all_dropped();
    report.check(what, "given back when nobody waits", right);

    let (completer, mut completion) = begin()?;
    let pending = poll(&mut completion).is_none();
    drop(completer);
    let abandoned = matches!(poll(&mut completion), Some(Err(CompletionError::Abandoned)));
    let right = pending && abandoned && wakes() == 1;
    report.check(what, "abandoned by a dropped completer", right);
    Some(())
}
