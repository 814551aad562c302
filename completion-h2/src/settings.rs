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
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::{ErrorKind, client::Builder};
/// use http_body_util::Empty;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (io, _silent) = tokio::io::duplex(4096);
/// let builder = Builder::new().settings_timeout(Duration::from_secs(1));
/// let (_client, mut driver) = builder.handshake::<_, Empty<Bytes>>(io).await?;
/// let acknowledged = driver.settings_ack().expect("it was not taken yet");
/// tokio::spawn(driver);
/// let error = acknowledged.await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::SettingsTimeout);
/// # Ok(())
/// # }
/// ```
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
