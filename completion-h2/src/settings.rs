//! The consumer's side of a SETTINGS acknowledgment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use completion_core::{Completion, CompletionError};

use crate::error::Error;

/// Waits until the peer has acknowledged one SETTINGS (RFC 9113, section 6.5.3).
///
/// Resolves to the time from the moment when the transport had accepted the last byte of SETTINGS to the moment when the
/// driver saw the acknowledgment. It is awaited through a pooled completion that was rented before the SETTINGS was
/// written, so no acknowledgment comes too early.
///
/// # Errors
///
/// [`SettingsTimeout`](crate::ErrorKind::SettingsTimeout) if the peer takes longer than
/// [`Builder::settings_timeout`](crate::client::Builder::settings_timeout), or the cause of the connection's end.
///
/// # Cancel safety
///
/// Dropping it stops the waiting, not the SETTINGS.
///
/// # Panics
///
/// Polling again after the outcome was returned panics.
#[must_use = "futures do nothing unless polled"]
pub struct SettingsAck {
    completion: Completion<'static, Duration, Error>,
}

impl SettingsAck {
    pub(crate) fn new(completion: Completion<'static, Duration, Error>) -> Self {
        Self { completion }
    }
}

impl Future for SettingsAck {
    type Output = Result<Duration, Error>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.completion).poll(cx));
        Poll::Ready(outcome.map_err(|error| match error {
            CompletionError::Failed(error) => error,
            CompletionError::Cancelled | CompletionError::Abandoned => {
                Error::abandoned("nobody watches for the acknowledgment any more")
            }
        }))
    }
}

impl fmt::Debug for SettingsAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsAck")
            .field("completion", &self.completion)
            .finish()
    }
}
