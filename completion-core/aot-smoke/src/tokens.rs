//! Rounds by token, which went through a `u64`, on a source in a `static`.

use completion_core::{CompletionError, CompletionSource, Rejection, Status, Token};

use crate::payloads::{Refused, Response};
use crate::report::Report;
use crate::waker::{poll, wakes};

/// The checks of a `bool`; none if a round could not begin.
pub(crate) fn flag(
    report: &Report,
    what: &str,
    source: &'static CompletionSource<bool, Refused>,
) -> Option<()> {
    let (completer, mut completion) = source.begin().ok()?;
    let token = Token::from_bits(completer.into_token().ok()?.to_bits());
    let pending = poll(&mut completion).is_none();
    let won = source.fail(token, Refused(7)).is_ok() && wakes() == 1;
    let lost = source.complete(token, true).err();
    let lost = lost.is_some_and(|lost| lost.reason() == Rejection::Lost && lost.into_payload());
    let outcome = poll(&mut completion);
    let right = pending && won && lost && outcome == Some(Err(CompletionError::Failed(Refused(7))));
    report.check(what, "a round by token, one winner", right);

    let stale = source.status(token) == Status::Stale && source.cancel(token).is_err();
    report.check(what, "the token is stale afterwards", stale);
    Some(())
}

/// The checks of a response; none if a round could not begin.
pub(crate) fn response(
    report: &Report,
    what: &str,
    source: &'static CompletionSource<Response, Refused>,
) -> Option<()> {
    let (completer, mut completion) = source.begin().ok()?;
    let token = Token::from_bits(completer.into_token().ok()?.to_bits());
    let pending = poll(&mut completion).is_none();
    let won = source.complete(token, Response::new(204)).is_ok() && wakes() == 1;
    let lost = source.complete(token, Response::new(500)).err();
    let lost = lost.is_some_and(|lost| lost.into_payload().is(500));
    let outcome = poll(&mut completion);
    let right = matches!(&outcome, Some(Ok(response)) if response.is(204));
    drop(outcome);
    let right = pending && won && lost && right && Response::all_dropped();
    report.check(what, "a round by token, one winner", right);
    Some(())
}
