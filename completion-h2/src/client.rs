//! The client's side: what sends requests and receives responses.
//!
//! - [`Builder`]: options, and the handshake on a transport.
//! - [`Client`] and [`Driver`]: the two halves of one connection. The driver is a future that somebody has to run.
//! - [`Connector`]: a client that makes its connections itself, and replaces them.
//! - [`ResponseFuture`], [`ResponseBody`], [`SettingsAck`]: what is awaited.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tower_service::Service;

use crate::error::Error;
use crate::queue::Shared;
use crate::queue::places::Ticket;

pub use crate::driver::Driver;
pub use crate::settings::SettingsAck;
pub use body::ResponseBody;
pub(crate) use body::announced;
pub use builder::Builder;
pub use completion_core::PoolStats;
pub use connector::{ConnectionTask, Connector, ConnectorFuture, ConnectorStats};
pub use response::ResponseFuture;

mod body;
pub(crate) mod builder;
mod connector;
mod response;

/// A request extension: how long this request may take, in place of [`Builder::timeout`].
///
/// The time runs from the submission to the end of both bodies.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use completion_h2::client::RequestTimeout;
///
/// let request = http::Request::get("http://localhost/slow")
///     .extension(RequestTimeout(Duration::from_secs(60)))
///     .body(http_body_util::Empty::<bytes::Bytes>::new())?;
/// # let _ = request;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestTimeout(pub Duration);

/// Sends requests on one connection. Clones are handles to the same connection.
///
/// Made by [`Builder::handshake`]. It needs its [`Driver`] to run: without it, nothing that is sent here makes progress.
/// When the last client is dropped the driver finishes what is under way, says GOAWAY and closes.
///
/// Use [`request`](Self::request) where you just want to send, or the [`Service`] where back pressure matters: a queue of
/// bounded length (see [`Builder::queue_capacity`]) stands between the clients and the driver, and
/// [`poll_ready`](Service::poll_ready) reserves a place in it, not a stream. A clone starts without a place.
///
/// For a client that survives its connection, see [`Connector`].
///
/// # Examples
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use completion_h2::client::Builder;
/// use http_body_util::{BodyExt, Empty};
///
/// let io = tokio::net::TcpStream::connect("localhost:8080").await?;
/// let (client, driver) = Builder::new().handshake(io).await?;
/// tokio::spawn(driver);
///
/// let request = http::Request::get("http://localhost:8080/").body(Empty::<Bytes>::new())?;
/// let response = client.request(request).await?;
/// println!("{}", response.status());
/// let body = response.into_body().collect().await?.to_bytes();
/// # let _ = body;
/// # Ok(())
/// # }
/// ```
#[must_use = "the connection is closed when its last client is dropped"]
pub struct Client<B> {
    shared: Arc<Shared<B>>,
    /// A place in the queue that this handle holds.
    reserved: bool,
    /// Its name in the list of those who wait for a place.
    ticket: Ticket,
}

impl<B> Client<B> {
    /// Takes over the handle that `shared` counts from the start.
    pub(crate) fn new(shared: Arc<Shared<B>>) -> Self {
        Self {
            shared,
            reserved: false,
            ticket: Ticket::default(),
        }
    }

    /// Submits a request. The future waits for the response's head.
    ///
    /// No readiness is needed: if the queue is full, the future waits for a place first. It has been submitted when this
    /// returns, unless the queue is full; polling it only receives the outcome.
    ///
    /// Chunks of the body that were not sent when its stream is reset are dropped under h2's lock: the drop of such a chunk
    /// must not call the client.
    ///
    /// # Errors
    ///
    /// The future resolves to an [`Error`]; see [`ErrorKind`](crate::ErrorKind) for what can happen.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request: if it still waits for a stream it is never sent, otherwise its stream is
    /// reset with CANCEL (RFC 9113, section 5.4.2).
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use futures_lite::future::try_zip;
    /// use http::Request;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (io, peer) = tokio::io::duplex(4096);
    /// # tokio::spawn(async move {
    /// #     let mut server = h2::server::handshake(peer).await.unwrap();
    /// #     while let Some(Ok((_, mut respond))) = server.accept().await {
    /// #         let mut body = respond.send_response(http::Response::new(()), false).unwrap();
    /// #         body.send_data("hello".into(), true).unwrap();
    /// #     }
    /// # });
    /// let (client, driver) = Builder::new().handshake(io).await?;
    /// tokio::spawn(driver);
    ///
    /// // Both are on their way before the first answer comes.
    /// let get = |uri| Request::get(uri).body(Empty::<Bytes>::new());
    /// let one = client.request(get("http://localhost/one")?);
    /// let other = client.request(get("http://localhost/other")?);
    /// let (one, other) = try_zip(one, other).await?;
    /// assert!(one.status().is_success() && other.status().is_success());
    /// # Ok(())
    /// # }
    /// ```
    pub fn request(&self, request: Request<B>) -> ResponseFuture<B> {
        let deadline = self.shared.deadline(&request);
        ResponseFuture::submit(Arc::clone(&self.shared), request, deadline)
    }

    /// Changes the flow-control window that the peer has for each response body, by SETTINGS (RFC 9113, section 6.9.2).
    ///
    /// Only one SETTINGS is under way at a time, so it may wait for earlier ones. The future resolves when the peer has
    /// acknowledged, to the time that took from the last byte written.
    ///
    /// # Errors
    ///
    /// The future resolves to an error of kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest) if `size` is beyond
    /// 2^31-1; to [`SettingsTimeout`](crate::ErrorKind::SettingsTimeout) if the peer does not acknowledge in time, which ends
    /// the connection; or to the cause of the connection's end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the change back if it was not handed to h2 yet; otherwise it takes its course.
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
    /// # let (io, peer) = tokio::io::duplex(4096);
    /// # tokio::spawn(async move {
    /// #     let mut server = h2::server::handshake(peer).await.unwrap();
    /// #     while server.accept().await.is_some() {}
    /// # });
    /// let (client, driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
    /// tokio::spawn(driver);
    /// client.set_initial_window_size(1 << 20).await?; // a large download is about to begin
    /// let error = client.set_initial_window_size(1 << 31).await.unwrap_err();
    /// assert!(error.is_invalid_request());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_initial_window_size(&self, size: u32) -> SettingsAck {
        if size > i32::MAX as u32 {
            let (completer, completion) = self.shared.acks.rent();
            let error = Error::new(crate::ErrorKind::InvalidRequest)
                .saying("a flow-control window is at most 2^31-1");
            let _ = completer.fail(error);
            return SettingsAck::new(completion);
        }
        SettingsAck::new(self.shared.change(size))
    }

    /// Whether requests are better sent on another connection: this one is closed or can only end, its peer sent GOAWAY,
    /// its stream identifiers are used up (RFC 9113, section 5.1.1: after 2^30 requests), or its reset budget is spent.
    /// Never becomes false again.
    ///
    /// With only the budget spent, requests are still served.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::{Builder, Client};
    /// use http_body_util::Empty;
    ///
    /// // One of several connections.
    /// fn choose<B>(clients: &[Client<B>]) -> Option<&Client<B>> {
    ///     clients.iter().find(|client| !client.is_unusable())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (io, peer) = tokio::io::duplex(4096);
    /// let (client, driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
    /// let clients = [client];
    /// assert!(choose(&clients).is_some());
    ///
    /// drop(peer);
    /// let _ = driver.await;
    /// assert!(choose(&clients).is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.shared.link.is_unusable()
    }

    /// Whether the connection has ended.
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
    /// let (client, driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
    /// assert!(!client.is_closed());
    /// drop(driver); // without which nothing is sent any more
    /// assert!(client.is_closed());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.link.is_closed()
    }

    /// The state of the pool that the responses' completions come from.
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
    /// let (client, driver) = Builder::new().pool_capacity(1).handshake(io).await?;
    /// let get = || client.request(http::Request::new(Empty::<Bytes>::new()));
    /// let _under_way = [get(), get()];
    /// let stats = client.pool_stats();
    /// assert_eq!((stats.in_use, stats.overflowed), (1, 1)); // the pool might be larger
    /// # drop(driver);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.shared.replies.stats()
    }

    /// What this handle shares, for submitting without a handle.
    pub(crate) fn shared(&self) -> &Arc<Shared<B>> {
        &self.shared
    }
}

impl<B> Service<Request<B>> for Client<B> {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture<B>;

    /// Reserves a place in the queue for this handle, which it holds until the next `call` or its drop.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.reserved {
            if let Some(error) = self.shared.link.refusal() {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(()));
        }
        let ready = self.shared.poll_place(&mut self.ticket, None, cx);
        self.reserved = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    /// Submits a request, on the reserved place if there is one; otherwise like [`request`](Client::request).
    fn call(&mut self, request: Request<B>) -> ResponseFuture<B> {
        let deadline = self.shared.deadline(&request);
        let shared = Arc::clone(&self.shared);
        if std::mem::take(&mut self.reserved) {
            ResponseFuture::submit_in_place(shared, request, deadline)
        } else {
            ResponseFuture::submit(shared, request, deadline)
        }
    }
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        self.shared.inbox.add_handle();
        Self::new(Arc::clone(&self.shared))
    }
}

impl<B> Drop for Client<B> {
    fn drop(&mut self) {
        self.shared.inbox.places.leave(&mut self.ticket);
        if self.reserved {
            self.shared.inbox.places.put(1);
        }
        self.shared.drop_handle();
    }
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("closed", &self.is_closed())
            .field("unusable", &self.is_unusable())
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}
