//! Time, behind a small trait: the adapter itself depends on no runtime.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

/// Where the driver gets its time from.
///
/// A driver has one sleep, made when the first deadline comes up and moved from then on. [`TokioTimer`] is the default;
/// implement this to run a driver on another executor, or on a clock of your own.
///
/// # Examples
///
/// A timer for programs that want no time limits: give it to
/// [`Builder::with_timer`](crate::client::Builder::with_timer).
///
/// ```
/// use std::future::Pending;
/// use std::pin::Pin;
/// use std::time::Instant;
///
/// #[derive(Clone)]
/// struct Never;
///
/// impl completion_h2::Timer for Never {
///     type Sleep = Pending<()>;
///     fn now(&self) -> Instant {
///         Instant::now()
///     }
///     fn sleep_until(&self, _: Instant) -> Self::Sleep {
///         std::future::pending()
///     }
///     fn reset(&self, _: Pin<&mut Self::Sleep>, _: Instant) {}
/// }
/// # let _ = completion_h2::client::Builder::with_timer(Never);
/// ```
pub trait Timer: Clone + Send + Sync + 'static {
    /// Waits for a moment.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// The current time. Called at each submission that has a deadline, by whoever submits.
    fn now(&self) -> Instant;

    /// A future that is ready at `deadline`, and not much later. Called inside the driver's poll.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// Moves a sleep to another deadline, earlier or later, also after it was ready. It must then be pending until that
    /// deadline, whatever was before. Called inside the driver's poll, which polls the sleep afterwards.
    fn reset(&self, sleep: Pin<&mut Self::Sleep>, deadline: Instant);
}

/// Tokio's time.
///
/// A driver that uses it must be polled inside a tokio runtime with time enabled; tokio panics otherwise.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::TokioTimer;
/// use completion_h2::client::Builder;
/// use http_body_util::Empty;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Where tokio's time is paused, as in a test, an hour passes at once.
/// let builder = Builder::with_timer(TokioTimer::default()).settings_timeout(Duration::from_secs(3600));
/// let (io, _silent) = tokio::io::duplex(4096);
/// let (_client, driver) = builder.handshake::<_, Empty<Bytes>>(io).await?;
/// assert!(driver.await.unwrap_err().is_timeout());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TokioTimer;

impl Timer for TokioTimer {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
        tokio::time::sleep_until(deadline.into())
    }

    fn reset(&self, sleep: Pin<&mut Self::Sleep>, deadline: Instant) {
        sleep.reset(deadline.into());
    }
}
