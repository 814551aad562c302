//! Waiting until a deadline.

use core::error::Error;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::completion::Completion;
use crate::error::CompletionError;

impl<'a, T, E> Completion<'a, T, E> {
    /// Waits until `timer` is ready, and no longer.
    ///
    /// `timer` is any future: a runtime's sleep, a shutdown signal, a budget that is spent. An outcome that
    /// is there wins against a timer that is ready. When the time is over the round ends, as by dropping
    /// the completion: a producer that comes later has its payload back, and a token of the round is
    /// stale, or, if it [holds](crate::Completer::into_held_token) the source, closed.
    ///
    /// # Cancel safety
    ///
    /// As for the completion: dropping cancels.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionSource, DeadlineError};
    /// use futures_lite::future::{block_on, ready};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// let outcome = block_on(completion.with_deadline(ready(())));
    /// assert_eq!(outcome, Err(DeadlineError::Elapsed));
    /// assert_eq!(completer.complete(7).unwrap_err().into_payload(), 7);
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn with_deadline<F: Future>(self, timer: F) -> WithDeadline<'a, T, E, F> {
        WithDeadline {
            completion: Some(self),
            timer,
        }
    }
}

/// The future of [`Completion::with_deadline`].
///
/// # Cancel safety
///
/// Dropping it drops the completion, which cancels.
///
/// # Panics
///
/// If polled again after it was ready, at the caller's location.
///
/// # Examples
///
/// ```
/// use completion_core::CompletionSource;
/// use futures_lite::future::{block_on, poll_once};
/// use std::pin::pin;
///
/// let source = CompletionSource::<u32, ()>::new();
/// let shutdown = CompletionSource::<(), ()>::new();
/// let (completer, completion) = source.begin()?;
/// let (_stop, stopped) = shutdown.begin()?;
///
/// let mut waiting = pin!(completion.with_deadline(stopped));
/// assert!(block_on(poll_once(waiting.as_mut())).is_none(), "neither is there");
/// completer.complete(7)?;
/// assert_eq!(block_on(waiting), Ok(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a completion does nothing unless awaited, and dropping it cancels"]
pub struct WithDeadline<'a, T, E, F> {
    /// Gone when the time is over.
    completion: Option<Completion<'a, T, E>>,
    /// Pinned with the whole.
    timer: F,
}

impl<T, E, F: Future> Future for WithDeadline<'_, T, E, F> {
    type Output = Result<T, DeadlineError<E>>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    #[track_caller]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `timer` is not moved out; `completion` is `Unpin`.
        let this = unsafe { self.get_unchecked_mut() };
        let completion = this
            .completion
            .as_mut()
            .expect("`WithDeadline` polled after it returned its outcome");
        if let Poll::Ready(outcome) = Pin::new(completion).poll(context) {
            return Poll::Ready(outcome.map_err(DeadlineError::Ended));
        }
        // SAFETY: pinned as part of `self`, and dropped in place.
        let timer = unsafe { Pin::new_unchecked(&mut this.timer) };
        if timer.poll(context).is_pending() {
            return Poll::Pending;
        }
        // What arrived meanwhile wins as well. Closing decides: nothing that a producer was told is
        // accepted is dropped unseen.
        let outcome = this.completion.take().and_then(|mut completion| {
            if completion.close() {
                None
            } else {
                completion.try_take()
            }
        });
        Poll::Ready(match outcome {
            Some(outcome) => outcome.map_err(DeadlineError::Ended),
            None => Err(DeadlineError::Elapsed),
        })
    }
}

impl<T, E, F> fmt::Debug for WithDeadline<'_, T, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDeadline")
            .field("completion", &self.completion)
            .finish_non_exhaustive()
    }
}

/// Why [`Completion::with_deadline`] yields no value.
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionError, CompletionSource, DeadlineError};
/// use futures_lite::future::{block_on, ready};
///
/// fn is_worth_another_try(error: &DeadlineError<&str>) -> bool {
///     match error {
///         DeadlineError::Elapsed | DeadlineError::Ended(CompletionError::Abandoned) => true,
///         DeadlineError::Ended(_) => false,
///     }
/// }
///
/// let source = CompletionSource::<u32, &str>::new();
/// let (completer, completion) = source.begin()?;
/// let error = block_on(completion.with_deadline(ready(()))).unwrap_err();
/// assert!(is_worth_another_try(&error));
/// assert!(completer.complete(7).is_err());
///
/// let (completer, completion) = source.begin()?;
/// completer.fail("no such key")?; // which wins against a timer that is ready
/// let error = block_on(completion.with_deadline(ready(()))).unwrap_err();
/// assert!(!is_worth_another_try(&error));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineError<E> {
    /// The round ended otherwise.
    Ended(CompletionError<E>),
    /// The time was over first.
    Elapsed,
}

impl<E> fmt::Display for DeadlineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(error) => error.fmt(f),
            Self::Elapsed => f.write_str("the deadline has passed"),
        }
    }
}

impl<E: Error + 'static> Error for DeadlineError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Ended(error) => error.source(),
            Self::Elapsed => None,
        }
    }
}
