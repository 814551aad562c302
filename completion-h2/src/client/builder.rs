//! Options of a connection, and its handshake.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use completion_core::Pool;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{Client, Driver};
use crate::driver;
use crate::driver::intake::Intake;
use crate::error::{BoxError, Error};
use crate::link::MAX_STREAMS;
use crate::queue::{Acks, Replies, Shared};
use crate::timer::{Timer, TokioTimer};

/// Sources for SETTINGS acknowledgments: one is outstanding, and few wait.
const ACKS: u16 = 4;
/// The largest flow-control window (RFC 9113, section 6.9.1).
const MAX_WINDOW: u32 = i32::MAX as u32;
/// The default of [`Builder::data_frame_budget`]: five late frames for each reset of the default reset budget.
const DATA_FRAME_BUDGET: usize = 1 << 20;

/// Options of connections, and the handshake that makes one of a transport.
///
/// | option | default |
/// |---|---|
/// | [`pool_capacity`](Self::pool_capacity) | 256 |
/// | [`queue_capacity`](Self::queue_capacity) | 256 |
/// | [`max_streams`](Self::max_streams) | the peer's limit |
/// | [`timeout`](Self::timeout) | none |
/// | [`settings_timeout`](Self::settings_timeout) | 10 s |
/// | [`reset_budget`](Self::reset_budget) | 800 |
/// | [`resend_limit`](Self::resend_limit) | 3 |
/// | [`data_frame_budget`](Self::data_frame_budget) | 1 MiB |
/// | windows, frame and header sizes | h2's: those of RFC 9113, section 6.5.2, and 16 MiB of header list |
///
/// Server push is always refused.
///
/// # Examples
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use completion_h2::client::Builder;
///
/// let io = tokio::net::TcpStream::connect("localhost:8080").await?;
/// let (client, mut driver) = Builder::new()
///     .timeout(Duration::from_secs(30))
///     .initial_window_size(1 << 20)
///     .handshake(io)
///     .await?;
/// let acknowledged = driver.settings_ack();
/// tokio::spawn(driver);
/// # let _: completion_h2::client::Client<http_body_util::Empty<bytes::Bytes>> = client;
/// # let _ = acknowledged;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until its handshake"]
pub struct Builder<T = TokioTimer> {
    h2: h2::client::Builder,
    options: Options,
    timer: T,
}

/// The options that are not h2's.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) pool_capacity: u16,
    pub(crate) queue_capacity: usize,
    pub(crate) max_streams: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) settings_timeout: Duration,
    pub(crate) reset_budget: u32,
    pub(crate) resend_limit: u32,
}

impl Builder {
    /// Default options and tokio's time.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    ///
    /// let patient = Builder::new();
    /// let hasty = patient.clone().timeout(std::time::Duration::from_millis(250));
    /// # let _ = (patient, hasty);
    /// ```
    pub fn new() -> Self {
        Self::with_timer(TokioTimer)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Timer> Builder<T> {
    /// Default options and a timer of your own.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// use completion_h2::{Timer, TokioTimer};
    /// use std::pin::Pin;
    /// use std::time::{Duration, Instant};
    ///
    /// // Wakes up a little late, for several deadlines at once.
    /// #[derive(Clone)]
    /// struct Coarse(TokioTimer);
    ///
    /// const STEP: Duration = Duration::from_millis(50);
    ///
    /// impl Timer for Coarse {
    ///     type Sleep = <TokioTimer as Timer>::Sleep;
    ///
    ///     fn now(&self) -> Instant {
    ///         self.0.now()
    ///     }
    ///
    ///     fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
    ///         self.0.sleep_until(deadline + STEP)
    ///     }
    ///
    ///     fn reset(&self, sleep: Pin<&mut Self::Sleep>, deadline: Instant) {
    ///         self.0.reset(sleep, deadline + STEP);
    ///     }
    /// }
    ///
    /// let builder = Builder::with_timer(Coarse(TokioTimer::default()));
    /// # let _ = builder;
    /// ```
    pub fn with_timer(timer: T) -> Self {
        let mut h2 = h2::client::Builder::new();
        h2.enable_push(false)
            .initial_max_send_streams(driver::BEFORE_SETTINGS)
            // h2 answers frames that are late for a stream it has forgotten with another RST_STREAM.
            .max_concurrent_reset_streams(MAX_STREAMS)
            .data_frame_budget(DATA_FRAME_BUDGET);
        Self {
            h2,
            options: Options {
                pool_capacity: Pool::<(), ()>::DEFAULT_CAPACITY,
                queue_capacity: 256,
                max_streams: MAX_STREAMS,
                timeout: None,
                settings_timeout: Duration::from_secs(10),
                reset_budget: 800,
                resend_limit: 3,
            },
            timer,
        }
    }

    /// How many requests may be under way without an allocation: the capacity of the pool of completions.
    ///
    /// Requests beyond it are served too, at the price of an allocation each. With 0 that is every request. A
    /// [`Connector`](crate::client::Connector) has one pool for all its connections.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().pool_capacity(1024); // for a thousand callers at once
    /// # let _ = builder;
    /// ```
    pub fn pool_capacity(mut self, capacity: u16) -> Self {
        self.options.pool_capacity = capacity;
        self
    }

    /// How many requests may wait for a stream, per connection. Those beyond wait for a place first.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or beyond 65536.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().queue_capacity(16); // callers should feel early that the peer is slow
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn queue_capacity(mut self, capacity: usize) -> Self {
        assert!(
            (1..=1 << 16).contains(&capacity),
            "the queue's capacity must be between 1 and 65536"
        );
        self.options.queue_capacity = capacity;
        self
    }

    /// How many streams may be open at once, if the peer permits so many. At most 1024 (512 on 32-bit targets), which is
    /// the default.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().max_streams(1); // one request at a time, whatever the peer permits
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn max_streams(mut self, max: usize) -> Self {
        assert!(max > 0, "a connection needs at least one stream");
        self.options.max_streams = max.min(MAX_STREAMS);
        self
    }

    /// How long a request may take, from its submission to the end of both bodies. `None`, the default, is for ever.
    ///
    /// If the peer has answered and does not take the rest of the request body until then, that is reset.
    ///
    /// One request can have its own by the extension [`RequestTimeout`](crate::client::RequestTimeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().timeout(Duration::from_secs(30)); // body and all
    /// # let _ = builder;
    /// ```
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.timeout = timeout.into();
        self
    }

    /// How long the peer may take to acknowledge SETTINGS, from the moment when the transport had accepted it (RFC 9113,
    /// section 6.5.3). [`Duration::MAX`] is for ever.
    ///
    /// Requests never wait for the acknowledgment. When the time is over the connection fails with
    /// [`SettingsTimeout`](crate::ErrorKind::SettingsTimeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().settings_timeout(Duration::from_secs(2)); // the peer is next door
    /// # let _ = builder;
    /// ```
    pub fn settings_timeout(mut self, timeout: Duration) -> Self {
        self.options.settings_timeout = timeout;
        self
    }

    /// After how many streams reset from this side a connection is [unusable](crate::client::Client::is_unusable), and a
    /// [`Connector`](crate::client::Connector) replaces it.
    ///
    /// Cancelled and timed out requests, and response bodies dropped early, reset their streams. Servers end connections
    /// with too many of them (nghttpd at about 1000), and so does h2 itself. If the server does not read, what would be reset
    /// counts like what was, and requests given up in the queue behind that as well.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().reset_budget(80); // before a server that permits 100
    /// # let _ = builder;
    /// ```
    pub fn reset_budget(mut self, resets: u32) -> Self {
        self.options.reset_budget = resets;
        self
    }

    /// How often a [`Connector`](crate::client::Connector) sends a request again that the peer certainly did not process.
    ///
    /// Being able to do so costs a copy of each request's head: nothing without header fields, two allocations with. With
    /// 0 there is no copy.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().resend_limit(0); // whoever calls tries again by itself
    /// # let _ = builder;
    /// ```
    pub fn resend_limit(mut self, limit: u32) -> Self {
        self.options.resend_limit = limit;
        self
    }

    /// The window that the peer has for each response body, in the first SETTINGS (RFC 9113, section 6.9.2).
    ///
    /// # Panics
    ///
    /// If `size` is beyond 2^31-1.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().initial_window_size(1 << 20); // a MiB under way, for long distances
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn initial_window_size(mut self, size: u32) -> Self {
        assert!(
            size <= MAX_WINDOW,
            "a flow-control window is at most 2^31-1"
        );
        self.h2.initial_window_size(size);
        self
    }

    /// The window that the peer has for all response bodies together (RFC 9113, section 6.9.1). It is opened by
    /// WINDOW_UPDATE, so less than 65535, with which each connection begins, is as good as that.
    ///
    /// # Panics
    ///
    /// If `size` is beyond 2^31-1.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().initial_window_size(1 << 20).initial_connection_window_size(8 << 20); // eight at full speed
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn initial_connection_window_size(mut self, size: u32) -> Self {
        assert!(
            size <= MAX_WINDOW,
            "a flow-control window is at most 2^31-1"
        );
        self.h2.initial_connection_window_size(size.max(65_535));
        self
    }

    /// The largest frame that the peer may send (RFC 9113, section 6.5.2).
    ///
    /// # Panics
    ///
    /// If `size` is not between 16384 and 16777215.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().max_frame_size(1 << 18); // fewer and longer frames for large bodies
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn max_frame_size(mut self, size: u32) -> Self {
        assert!(
            (1 << 14..1 << 24).contains(&size),
            "a frame size is between 16384 and 16777215"
        );
        self.h2.max_frame_size(size);
        self
    }

    /// The largest header list that is accepted from the peer (RFC 9113, section 6.5.2).
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().max_header_list_size(64 << 10); // no answer has more than a few cookies
    /// # let _ = builder;
    /// ```
    pub fn max_header_list_size(mut self, size: u32) -> Self {
        self.h2.max_header_list_size(size);
        self
    }

    /// The size of the table that the peer may compress header fields with (RFC 9113, section 6.5.2).
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().header_table_size(0); // no memory for it
    /// # let _ = builder;
    /// ```
    pub fn header_table_size(mut self, size: u32) -> Self {
        self.h2.header_table_size(size);
        self
    }

    /// How much the peer may waste on small DATA frames, which cost more memory than the windows account for: each frame
    /// of less than 256 bytes costs the difference until its data is taken, and h2 ends the connection with
    /// ENHANCE_YOUR_CALM when the budget is used up. (Of empty ones it bears a hundred, whatever the budget.)
    ///
    /// A small frame that comes late for a stream that was reset is never taken, so its cost remains for as long as the
    /// connection lives. The default leaves room for five of those for each stream of the default
    /// [`reset_budget`](Self::reset_budget); h2's own, of 128 frames of a byte with the default window, would end the connection long before.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().data_frame_budget(8 << 20); // a peer that streams many short events
    /// # let _ = builder;
    /// ```
    pub fn data_frame_budget(mut self, bytes: usize) -> Self {
        self.h2.data_frame_budget(bytes);
        self
    }

    /// How many bytes of request bodies h2 takes in advance, per stream.
    ///
    /// # Panics
    ///
    /// If `size` is 0 or does not fit 32 bits.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().max_send_buffer_size(64 << 10); // many small uploads at once
    /// # let _ = builder;
    /// ```
    #[track_caller]
    pub fn max_send_buffer_size(mut self, size: usize) -> Self {
        assert!(
            size > 0 && u32::try_from(size).is_ok(),
            "the send buffer's size must fit 32 bits, and not be 0"
        );
        self.h2.max_send_buffer_size(size);
        self
    }

    /// How many streams h2 may reset for faults of the peer before it gives the connection up. `None` is any number.
    ///
    /// ```
    /// use completion_h2::client::Builder;
    /// let builder = Builder::new().max_local_error_reset_streams(16); // patience has an end
    /// # let _ = builder;
    /// ```
    pub fn max_local_error_reset_streams(mut self, max: impl Into<Option<usize>>) -> Self {
        self.h2.max_local_error_reset_streams(max.into());
        self
    }

    /// Makes a client of a transport on which HTTP/2 is agreed upon, be it by ALPN or by prior knowledge (RFC 9113,
    /// section 3).
    ///
    /// Writes the client preface. SETTINGS goes out when the [`Driver`] is polled, and requests need not wait for the
    /// peer's: until it comes, up to 100 streams are opened (RFC 9113, section 3.4).
    ///
    /// Request bodies are pumped by the driver and are polled in place, hence `Unpin`; a `Pin<Box<_>>` makes any body so.
    ///
    /// # Errors
    ///
    /// [`ConnectionLost`](crate::ErrorKind::ConnectionLost) if the transport failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the transport.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    /// use tokio::net::{TcpListener, TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("localhost:0").await?;
    /// let io = TcpStream::connect(listener.local_addr()?).await?;
    /// io.set_nodelay(true)?;
    /// let (client, driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
    /// # drop((client, driver));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn handshake<IO, B>(&self, io: IO) -> Result<(Client<B>, Driver<IO, B, T>), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
        B: Body + Unpin,
        B::Error: Into<BoxError>,
    {
        let shared = self.share(self.replies(), self.acks());
        let client = Client::new(Arc::clone(&shared));
        let intake = Intake::new(shared, self.timer.clone());
        let shaken = driver::handshake(&self.h2, &self.options, &intake.shared.acks, io).await?;
        Ok((client, Driver::new(intake, shaken, &self.options)))
    }

    // ----- for the connector -----

    pub(crate) fn replies<B>(&self) -> Replies<B> {
        Pool::with_capacity(self.options.pool_capacity)
    }

    pub(crate) fn acks(&self) -> Acks {
        Pool::with_capacity(ACKS)
    }

    pub(crate) fn share<B>(&self, replies: Replies<B>, acks: Acks) -> Arc<Shared<B>> {
        let timer = self.timer.clone();
        Shared::new(
            self.options.queue_capacity,
            replies,
            acks,
            Arc::new(move || timer.now()),
            self.options.timeout,
        )
    }

    pub(crate) fn h2(&self) -> &h2::client::Builder {
        &self.h2
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn timer(&self) -> &T {
        &self.timer
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("h2", &self.h2)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
