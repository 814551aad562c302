//! The one public error type, and how what h2 reports becomes it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use h2::Reason;

use crate::link::Link;
use crate::tap::GoAway;

/// Any error that can be a source.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request, a response body, a SETTINGS change or a whole connection failed.
///
/// The type is opaque: ask [`kind`](Self::kind) or a predicate, and [`source`](StdError::source) for the cause. The text
/// is for people and may change.
///
/// A clone is another handle to the same error: a connection's end reaches every request on it.
///
/// # Examples
///
/// ```
/// use completion_h2::{Error, ErrorKind};
///
/// fn describe(error: &Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::Timeout => "too slow",
///         _ if error.is_retry_safe() => "try again",
///         _ => "failed",
///     }
/// }
/// # let _ = describe;
/// ```
#[derive(Clone)]
pub struct Error {
    repr: Arc<Repr>,
    /// Beside the shared part, as it differs between requests that one event ended.
    retry_safe: bool,
}

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    reason: Option<Reason>,
    what: Option<&'static str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What sort of failure an [`Error`] is.
///
/// # Examples
///
/// ```
/// use completion_h2::{Error, ErrorKind};
///
/// // What a gateway answers to its own client.
/// fn status(error: &Error) -> http::StatusCode {
///     match error.kind() {
///         ErrorKind::Timeout => http::StatusCode::GATEWAY_TIMEOUT,
///         ErrorKind::Body | ErrorKind::InvalidRequest => http::StatusCode::BAD_REQUEST,
///         ErrorKind::Refused | ErrorKind::GoAway => http::StatusCode::SERVICE_UNAVAILABLE,
///         _ => http::StatusCode::BAD_GATEWAY,
///     }
/// }
/// # let _ = status;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer ended the stream with RST_STREAM of any code but REFUSED_STREAM (RFC 9113, section 6.4).
    Reset,
    /// The peer ended the stream with REFUSED_STREAM: it did not process the request (RFC 9113, section 8.7).
    Refused,
    /// The peer sent GOAWAY, and did not (or will not) process the request or finish the response (RFC 9113, section 6.8).
    /// Also if the connection was then closed without another word.
    GoAway,
    /// The transport failed or ended without a GOAWAY.
    ConnectionLost,
    /// The peer broke the protocol, on this stream or for the whole connection.
    Protocol,
    /// The request's deadline passed: in the queue, on the way, or in the middle of the response body.
    Timeout,
    /// The peer did not acknowledge SETTINGS in time (RFC 9113, section 6.5.3), so the connection was given up.
    SettingsTimeout,
    /// No connection could be made. Only a [`Connector`](crate::client::Connector) says this.
    Connect,
    /// The driver is gone: it was dropped, it panicked, or the connection was closed from this side. Or the connection has
    /// no stream identifiers left for the request.
    Abandoned,
    /// The request's body failed. The source is the body's error.
    Body,
    /// The request, or the setting, cannot be put in HTTP/2: a relative URI in a request of version HTTP/2, a
    /// connection-specific field, a window beyond 2^31-1.
    InvalidRequest,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self {
            repr: Arc::new(Repr {
                kind,
                reason: None,
                what: None,
                source: None,
            }),
            retry_safe: false,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Repr)) -> Self {
        change(Arc::make_mut(&mut self.repr));
        self
    }

    pub(crate) fn because(self, source: impl Into<BoxError>) -> Self {
        let source = Arc::from(source.into());
        self.with(|repr| repr.source = Some(source))
    }

    pub(crate) fn saying(self, what: &'static str) -> Self {
        self.with(|repr| repr.what = Some(what))
    }

    fn reasoned(self, reason: Option<Reason>) -> Self {
        self.with(|repr| repr.reason = reason)
    }

    /// The same error with another answer to [`is_retry_safe`](Self::is_retry_safe).
    pub(crate) fn retriable(mut self, retry_safe: bool) -> Self {
        self.retry_safe = retry_safe;
        self
    }

    pub(crate) fn timeout() -> Self {
        Self::new(ErrorKind::Timeout)
    }

    pub(crate) fn abandoned(what: &'static str) -> Self {
        Self::new(ErrorKind::Abandoned).saying(what)
    }

    /// The peer sent GOAWAY; `then` is what h2 or the transport said of it.
    pub(crate) fn go_away(received: GoAway, then: Option<BoxError>) -> Self {
        Self::new(ErrorKind::GoAway)
            .reasoned(Some(Reason::from(received.code)))
            .because(Cause { received, then })
    }

    /// What ended the connection: `ended` is what h2's connection returned.
    pub(crate) fn of_connection(ended: Option<h2::Error>, link: &Link) -> Self {
        if let Some(cause) = link.cause() {
            return cause;
        }
        match (ended, link.go_away()) {
            (Some(error), _) if error.is_go_away() && !error.is_remote() => Self::protocol(error),
            (error, Some(received)) => Self::go_away(received, error.map(Into::into)),
            (Some(error), None) if error.is_io() => Self::lost(error),
            (Some(error), None) => Self::protocol(error),
            (None, None) => {
                Self::new(ErrorKind::ConnectionLost).saying("the peer closed the connection")
            }
        }
    }

    /// Writing failed, and nothing more came to be read.
    pub(crate) fn of_writing(error: Option<io::Error>, link: &Link) -> Self {
        if let Some(received) = link.go_away() {
            return Self::go_away(received, error.map(Into::into));
        }
        let lost = Self::new(ErrorKind::ConnectionLost);
        match error {
            Some(error) => lost.because(error),
            None => lost,
        }
    }

    /// What ended stream `id`, of which nothing has arrived yet.
    pub(crate) fn of_request(error: h2::Error, link: &Link, id: u32) -> Self {
        let received = link.go_away();
        let unprocessed = received.is_some_and(|received| id > received.last_stream_id);
        let refused =
            error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        Self::of_stream(error, link).retriable(unprocessed || refused)
    }

    /// What ended a stream.
    pub(crate) fn of_stream(error: h2::Error, link: &Link) -> Self {
        let reason = error.reason();
        if error.is_reset() {
            return if !error.is_remote() {
                Self::protocol(error)
            } else if reason == Some(Reason::REFUSED_STREAM) {
                Self::new(ErrorKind::Refused)
                    .reasoned(reason)
                    .because(error)
            } else {
                Self::new(ErrorKind::Reset).reasoned(reason).because(error)
            };
        }
        match link.go_away() {
            Some(received) if error.is_go_away() && error.is_remote() => {
                link.farewell(received, || Some(error.into()))
            }
            _ => Self::of_connection(Some(error), link).retriable(false),
        }
    }

    /// What h2 said when it refused to take a request.
    pub(crate) fn of_sending(error: h2::Error) -> Self {
        Self::new(ErrorKind::InvalidRequest).because(error)
    }

    fn protocol(error: h2::Error) -> Self {
        Self::new(ErrorKind::Protocol)
            .reasoned(error.reason())
            .because(error)
    }

    pub(crate) fn lost(error: h2::Error) -> Self {
        let lost = Self::new(ErrorKind::ConnectionLost);
        if error.is_io()
            && let Some(error) = error.into_io()
        {
            lost.because(error)
        } else {
            lost
        }
    }

    /// What sort of failure this is.
    ///
    /// ```
    /// use completion_h2::{Error, ErrorKind};
    /// use std::collections::HashMap;
    ///
    /// fn count(failures: &mut HashMap<ErrorKind, u64>, error: &Error) {
    ///     *failures.entry(error.kind()).or_default() += 1;
    /// }
    /// # let _ = count;
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.repr.kind
    }

    /// The HTTP/2 error code that the peer gave, or that its fault was given (RFC 9113, section 7).
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::{Reason, client::Builder};
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// tokio::spawn(async move {
    ///     let mut server = h2::server::handshake(peer).await.unwrap();
    ///     while let Some(Ok((_, mut respond))) = server.accept().await {
    ///         respond.send_reset(Reason::HTTP_1_1_REQUIRED);
    ///     }
    /// });
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    ///
    /// let older = error.reason() == Some(Reason::HTTP_1_1_REQUIRED);
    /// assert!(older); // so ask by HTTP/1.1
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.repr.reason
    }

    /// Whether the peer certainly did not process the request, so that sending it again cannot do anything twice.
    ///
    /// True for a refused stream, one above GOAWAY's last-stream-id, and a request that still waited for its stream when
    /// its deadline passed or its connection ended. That says nothing about its chances. `false` is said of a request that
    /// HTTP/2 cannot carry, which would fail again; otherwise it means not known: only requests that are idempotent
    /// anyway may be repeated then. An error of a response body is never retry-safe.
    ///
    /// ```
    /// use completion_h2::Error;
    /// use http::Method;
    ///
    /// fn may_be_repeated(method: &Method, error: &Error) -> bool {
    ///     error.is_retry_safe() || method.is_idempotent()
    /// }
    /// # let _ = may_be_repeated;
    /// ```
    #[must_use]
    pub fn is_retry_safe(&self) -> bool {
        self.retry_safe
    }

    /// Whether the peer reset the stream, also by refusing it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// tokio::spawn(async move {
    ///     let mut server = h2::server::handshake(peer).await.unwrap();
    ///     while server.accept().await.is_some() {} // and forgets to answer
    /// });
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_reset());
    /// assert!(!error.is_retry_safe(), "it may have been processed");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_reset(&self) -> bool {
        matches!(self.kind(), ErrorKind::Reset | ErrorKind::Refused)
    }

    /// Whether the peer refused the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::{Reason, client::Builder};
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// tokio::spawn(async move {
    ///     let mut server = h2::server::handshake(peer).await.unwrap();
    ///     while let Some(Ok((_, mut respond))) = server.accept().await {
    ///         respond.send_reset(Reason::REFUSED_STREAM);
    ///     }
    /// });
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    ///
    /// assert!(error.is_refused() && error.is_reset());
    /// assert!(error.is_retry_safe());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.kind() == ErrorKind::Refused
    }

    /// Whether the peer went away.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::{Reason, client::Builder};
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// tokio::spawn(async move {
    ///     let mut server = h2::server::handshake(peer).await.unwrap();
    ///     let _first = server.accept().await;
    ///     server.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    ///     while server.accept().await.is_some() {}
    /// });
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_go_away());
    /// assert!(client.is_unusable());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_go_away(&self) -> bool {
        self.kind() == ErrorKind::GoAway
    }

    /// Whether the transport failed or ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// drop(peer);
    /// let error = client.request(http::Request::new(Empty::<Bytes>::new())).await.unwrap_err();
    /// assert!(error.is_connection_lost());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        self.kind() == ErrorKind::ConnectionLost
    }

    /// Whether the peer broke the protocol.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, mut peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?; // to the preface
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_protocol());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        self.kind() == ErrorKind::Protocol
    }

    /// Whether a time limit passed: the request's, or the one for acknowledging SETTINGS.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::{Builder, RequestTimeout};
    /// use http_body_util::Empty;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (io, _silent) = tokio::io::duplex(4096);
    /// # let (client, driver) = Builder::new().handshake(io).await?;
    /// # tokio::spawn(driver);
    /// let request = http::Request::get("http://localhost/")
    ///     .extension(RequestTimeout(Duration::from_millis(100)))
    ///     .body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::Timeout | ErrorKind::SettingsTimeout)
    }

    /// Whether no connection could be made.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::{Builder, Connector};
    /// use http_body_util::Empty;
    /// use std::io;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// type Io = io::Result<tokio::io::DuplexStream>;
    /// let connect = async || Io::Err(io::ErrorKind::NetworkUnreachable.into());
    /// let connector = Connector::new(Builder::new(), connect, tokio::spawn);
    /// let error = connector.request(http::Request::new(Empty::<Bytes>::new())).await.unwrap_err();
    /// assert!(error.is_connect());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.kind() == ErrorKind::Connect
    }

    /// Whether the driver is gone, or has no stream for the request any more ([`ErrorKind::Abandoned`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, _peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// let response = client.request(http::Request::new(Empty::<Bytes>::new()));
    /// drop(driver);
    /// let error = response.await.unwrap_err();
    /// assert!(error.is_abandoned() && error.is_retry_safe());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.kind() == ErrorKind::Abandoned
    }

    /// Whether the request's body failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use futures_lite::stream;
    /// use http_body::Frame;
    /// use http_body_util::StreamBody;
    /// use std::io;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (io, _peer) = tokio::io::duplex(4096);
    /// # let (client, driver) = Builder::new().handshake(io).await?;
    /// # tokio::spawn(driver);
    /// let file = stream::iter([Ok(Frame::data(Bytes::from("a half"))), Err(io::Error::other("unreadable"))]);
    /// let request = http::Request::put("http://localhost/").body(StreamBody::new(file))?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_body());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_body(&self) -> bool {
        self.kind() == ErrorKind::Body
    }

    /// Whether the request cannot be put in HTTP/2.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (io, _peer) = tokio::io::duplex(4096);
    /// # let (client, driver) = Builder::new().handshake(io).await?;
    /// # tokio::spawn(driver);
    /// let request = http::Request::get("http://localhost/").header("connection", "close"); // of HTTP/1.1
    /// let request = request.body(Empty::<Bytes>::new())?;
    /// let error = client.request(request).await.unwrap_err();
    /// assert!(error.is_invalid_request());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        self.kind() == ErrorKind::InvalidRequest
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.repr.what.unwrap_or(match self.repr.kind {
            ErrorKind::Reset => "the peer reset the stream",
            ErrorKind::Refused => "the peer refused the stream",
            ErrorKind::GoAway => "the peer went away",
            ErrorKind::ConnectionLost => "the connection was lost",
            ErrorKind::Protocol => "the peer broke the protocol",
            ErrorKind::Timeout => "the request timed out",
            ErrorKind::SettingsTimeout => "the peer did not acknowledge SETTINGS in time",
            ErrorKind::Connect => "connecting failed",
            ErrorKind::Abandoned => "the connection was abandoned",
            ErrorKind::Body => "the request body failed",
            ErrorKind::InvalidRequest => "the request is not valid in HTTP/2",
        }))?;
        match self.repr.reason {
            Some(reason) => write!(f, ": {reason:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.repr.kind);
        debug.field("retry_safe", &self.retry_safe);
        if let Some(reason) = &self.repr.reason {
            debug.field("reason", reason);
        }
        if let Some(what) = &self.repr.what {
            debug.field("what", what);
        }
        if let Some(source) = &self.repr.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.repr.source.as_deref()?;
        Some(source)
    }
}

/// The source of an error of kind [`ErrorKind::GoAway`]: the frame, and what h2 said later.
#[derive(Debug)]
struct Cause {
    received: GoAway,
    then: Option<BoxError>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GoAway {
            last_stream_id,
            code,
        } = self.received;
        let code = Reason::from(code);
        write!(
            f,
            "GOAWAY with code {code:?} and last-stream-id {last_stream_id}"
        )
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let then = self.then.as_deref()?;
        Some(then)
    }
}

/// How a round ends in failure, and what it gives back.
pub(crate) struct Failure<B> {
    pub(crate) error: Error,
    pub(crate) returned: Returned<B>,
}

/// What is left of a failed request.
pub(crate) enum Returned<B> {
    /// Its body was used, or the request may have been processed.
    Nothing,
    /// Its head was sent, its body is untouched.
    Body(B),
    /// Nothing was sent. Boxed, so that a round's place is not larger for it than for a response.
    Request(Box<http::Request<B>>),
}

impl<B> Failure<B> {
    pub(crate) fn new(error: Error, returned: Returned<B>) -> Self {
        Self { error, returned }
    }

    /// Of a request that was never sent.
    pub(crate) fn unsent(error: Error, request: http::Request<B>) -> Self {
        Self::new(error.retriable(true), Returned::Request(Box::new(request)))
    }
}
