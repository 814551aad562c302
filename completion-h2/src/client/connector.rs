//! A client that makes its connections itself, and replaces them.
//!
//! There is one *current* connection. A request is submitted to it at once, also while it is still being made: its queue and
//! its pool exist before its transport does. A connection is replaced, at the next request, when it is closed, draining
//! or has spent its reset budget. The old one gets no more requests and loses its only handle, upon which its driver
//! finishes what is under way, says GOAWAY and closes.
//!
//! A replaced or failed connection may fail requests that its peer certainly did not process. The future of such a request
//! submits it again, to what is then the current connection, a bounded number of times. It needs the request for that:
//! a request that was not sent comes back whole with its failure, one that was sent leaves its body if that is
//! untouched, and the future itself keeps a copy of the head.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use completion_core::PoolStats;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use crate::client::{Builder, Client, Driver, ResponseBody, ResponseFuture};
use crate::driver;
use crate::driver::intake::Intake;
use crate::error::{BoxError, Error, ErrorKind, Failure, Returned};
use crate::queue::places::Ticket;
use crate::queue::{Acks, Replies, Reply, Shared};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::timer::Timer;

/// Sends requests on connections that it makes itself. Clones share the connection.
///
/// The first request makes the connection. Later ones use it, until it is closed, the peer has sent GOAWAY, or its
/// [reset budget](Builder::reset_budget) is spent; then the next request makes another one, while the old one finishes what
/// is under way. Requests that come in the meantime wait in the new connection's queue.
///
/// A request is sent again if the peer certainly did not process it (its stream was refused or is above GOAWAY's
/// last-stream-id (RFC 9113, section 8.7), or it still waited for one when the connection ended) and its body is
/// untouched, at most [`resend_limit`](Builder::resend_limit) times. Its deadline stays that of the first submission. Nothing else is ever
/// repeated, and a failure to connect is reported to all who wait for the connection, not tried again.
///
/// When the last clone is dropped, the connection is closed after what is under way.
///
/// It sends no PING to see whether the peer is still there. Requests on a connection whose packets get lost only end by
/// their deadlines, and the connection is replaced when their resets have spent its budget, or the transport fails. So give
/// requests a [`timeout`](Builder::timeout), or the transport a keep-alive of its own.
///
/// # Examples
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use completion_h2::client::{Builder, Connector};
/// use http_body_util::{BodyExt, Empty};
///
/// let connector = Connector::new(
///     Builder::new(),
///     || tokio::net::TcpStream::connect("localhost:8080"),
///     tokio::spawn,
/// );
/// let request = http::Request::get("http://localhost:8080/").body(Empty::<Bytes>::new())?;
/// let response = connector.request(request).await?;
/// let body = response.into_body().collect().await?.to_bytes();
/// # let _ = body;
/// # Ok(())
/// # }
/// ```
#[must_use = "the connection is closed when the last clone is dropped"]
pub struct Connector<B> {
    inner: Arc<Inner<B>>,
    /// The connection on which this clone waits for a place, or has one.
    target: Option<Arc<Shared<B>>>,
    reserved: bool,
    ticket: Ticket,
}

struct Inner<B> {
    /// Locked for a look or an exchange; nothing foreign runs meanwhile.
    current: Mutex<Option<Client<B>>>,
    connect: Connect<B>,
    spawn: Box<dyn Fn(ConnectionTask) + Send + Sync>,
    replies: Replies<B>,
    counters: Arc<Counters>,
    resend_limit: u32,
}

/// Makes a connection to be: where to submit to, and the task that is to be spawned.
type Connect<B> = Box<dyn Fn() -> (Client<B>, ConnectionTask) + Send + Sync>;

/// Figures of a [`Connector`]; see [`Connector::stats`].
///
/// # Examples
///
/// ```
/// use completion_h2::client::ConnectorStats;
///
/// // One line for a log, from two looks.
/// fn report(last: &ConnectorStats, now: &ConnectorStats) -> String {
///     let made = now.connections_established - last.connections_established;
///     let resent = now.resent - last.resent;
///     format!("{made} connections made, {resent} requests sent again, {} under way", now.pool.in_use)
/// }
///
/// let start = ConnectorStats::default();
/// assert_eq!(report(&start, &start), "0 connections made, 0 requests sent again, 0 under way");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectorStats {
    /// Connections made, up to the end of the handshake's first write.
    pub connections_established: u64,
    /// How many of them took the place of another.
    pub reconnects: u64,
    /// Requests sent again.
    pub resent: u64,
    /// The longest time from SETTINGS written to its acknowledgment. `None` if there is no connection, or one whose
    /// acknowledgment is missing.
    pub settings_ack: Option<Duration>,
    /// The pool that all responses' completions come from.
    pub pool: PoolStats,
}

#[derive(Debug, Default)]
struct Counters {
    resent: AtomicU64,
    /// Off the request path.
    connections: Mutex<Connections>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connections {
    established: u64,
    acknowledged: u64,
    slowest: Duration,
}

/// The work of one connection of a [`Connector`]: making it, and driving it. To be spawned.
///
/// # Cancel safety
///
/// Dropping it fails everything submitted to the connection with kind [`Abandoned`](ErrorKind::Abandoned).
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::client::{Builder, ConnectionTask, Connector};
/// use http_body_util::Empty;
/// use std::sync::{Arc, Mutex};
/// use tokio::task::JoinSet;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn connect() -> std::io::Result<tokio::io::DuplexStream> {
/// #     let (io, peer) = tokio::io::duplex(4096);
/// #     tokio::spawn(async move {
/// #         let mut server = h2::server::handshake(peer).await.unwrap();
/// #         while let Some(Ok((_, mut respond))) = server.accept().await {
/// #             respond.send_response(http::Response::new(()), true).unwrap();
/// #         }
/// #     });
/// #     Ok(io)
/// # }
/// // Tasks that end with the set, rather than with the program.
/// let tasks = Arc::new(Mutex::new(JoinSet::new()));
/// let spawn = {
///     let tasks = Arc::clone(&tasks);
///     move |task: ConnectionTask| {
///         let mut tasks = tasks.lock().unwrap();
///         while tasks.try_join_next().is_some() {} // connections that have ended
///         tasks.spawn(task);
///     }
/// };
/// let connector = Connector::new(Builder::new(), connect, spawn);
/// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
/// assert_eq!(connector.request(request).await?.status(), 200);
/// assert_eq!(tasks.lock().unwrap().len(), 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "no request is sent unless the connection's task is spawned"]
pub struct ConnectionTask(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for ConnectionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ConnectionTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionTask").finish_non_exhaustive()
    }
}

impl<B> Connector<B> {
    /// A connector that has not connected yet.
    ///
    /// `connect` makes a transport on which HTTP/2 is agreed upon; its errors become the source of an [`Error`] of kind
    /// [`Connect`](ErrorKind::Connect). `spawn` runs a task to its end, and is called by whoever sends the request that
    /// needs a new connection. A connection attempt is only limited by what `connect` itself does; requests time out
    /// meanwhile if they have a deadline. The same goes for a pause between attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::{Builder, Connector};
    /// use http_body_util::Empty;
    /// use std::io;
    /// use std::time::Duration;
    /// use tokio::net::TcpStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let connect = async || {
    ///     let address = "localhost:1"; // where nobody listens
    ///     let limit = Duration::from_secs(5);
    ///     let io = tokio::time::timeout(limit, TcpStream::connect(address)).await??;
    ///     io.set_nodelay(true)?;
    ///     io::Result::Ok(io)
    /// };
    /// let connector = Connector::new(Builder::new(), connect, tokio::spawn);
    /// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
    /// let error = connector.request(request).await.unwrap_err();
    /// assert!(error.is_connect());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<T, C, F, IO, E, S, R>(builder: Builder<T>, connect: C, spawn: S) -> Self
    where
        T: Timer,
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<IO, E>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        E: Into<BoxError>,
        S: Fn(ConnectionTask) -> R + Send + Sync + 'static,
        B: Body + Unpin + Send + 'static,
        B::Data: Send + 'static,
        B::Error: Into<BoxError>,
    {
        let resend_limit = builder.options().resend_limit;
        let (replies, acks): (Replies<B>, Acks) = (builder.replies(), builder.acks());
        let counters = Arc::new(Counters::default());
        let plan = Arc::new((builder, connect));
        let make = {
            let (replies, counters) = (replies.clone(), Arc::clone(&counters));
            move || {
                let plan = Arc::clone(&plan);
                let counters = Arc::clone(&counters);
                let shared = plan.0.share(replies.clone(), acks.clone());
                let client = Client::new(Arc::clone(&shared));
                let intake = Intake::new(shared, plan.0.timer().clone());
                let task = async move {
                    let (builder, connect) = &*plan;
                    run(builder, connect, intake, &counters).await;
                };
                (client, ConnectionTask(Box::pin(task)))
            }
        };
        Self::of(Arc::new(Inner {
            current: Mutex::new(None),
            connect: Box::new(make),
            spawn: Box::new(move |task| drop(spawn(task))),
            replies,
            counters,
            resend_limit,
        }))
    }

    fn of(inner: Arc<Inner<B>>) -> Self {
        Self {
            inner,
            target: None,
            reserved: false,
            ticket: Ticket::default(),
        }
    }

    /// Submits a request to the current connection, or to a new one. The future waits for the response's head.
    ///
    /// # Errors
    ///
    /// As for [`Client::request`], after what was sent again; and kind [`Connect`](ErrorKind::Connect) if the connection
    /// could not be made.
    ///
    /// # Cancel safety
    ///
    /// As for [`Client::request`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::{Builder, Connector};
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn connect() -> std::io::Result<tokio::io::DuplexStream> {
    /// #     let (io, peer) = tokio::io::duplex(4096);
    /// #     tokio::spawn(async move {
    /// #         let mut server = h2::server::handshake(peer).await.unwrap();
    /// #         while let Some(Ok((_, mut respond))) = server.accept().await {
    /// #             respond.send_response(http::Response::new(()), true).unwrap();
    /// #         }
    /// #     });
    /// #     Ok(io)
    /// # }
    /// let connector = Connector::new(Builder::new(), connect, tokio::spawn);
    /// for page in 1..=3 {
    ///     let uri = format!("http://localhost/{page}");
    ///     let response = connector.request(http::Request::get(uri).body(Empty::<Bytes>::new())?).await?;
    ///     assert_eq!(response.status(), 200);
    /// }
    /// assert_eq!(connector.stats().connections_established, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn request(&self, request: Request<B>) -> ConnectorFuture<B> {
        let shared = self.inner.current();
        let deadline = shared.deadline(&request);
        ConnectorFuture::new(&self.inner, request, deadline, |request| {
            ResponseFuture::submit(shared, request, deadline)
        })
    }

    /// What it has done so far.
    ///
    /// ```
    /// use completion_h2::client::{Builder, Connector};
    /// # type Body = http_body_util::Empty<bytes::Bytes>;
    /// let connect = || tokio::net::TcpStream::connect("localhost:8080");
    /// let connector = Connector::<Body>::new(Builder::new().pool_capacity(64), connect, tokio::spawn);
    /// let stats = connector.stats();
    /// assert_eq!((stats.connections_established, stats.pool.capacity), (0, 64));
    /// ```
    #[must_use]
    pub fn stats(&self) -> ConnectorStats {
        let Connections {
            established,
            acknowledged,
            slowest,
        } = *self.inner.counters.connections.lock();
        ConnectorStats {
            connections_established: established,
            reconnects: established.saturating_sub(1),
            // ORDERING: Relaxed; a statistic.
            resent: self.inner.counters.resent.load(Ordering::Relaxed),
            settings_ack: (acknowledged == established && established > 0).then_some(slowest),
            pool: self.inner.replies.stats(),
        }
    }

    /// Leaves the place in the queue of `target`, or in the list for one.
    fn leave_target(&mut self) {
        if let Some(target) = self.target.take() {
            target.inbox.places.leave(&mut self.ticket);
            if std::mem::take(&mut self.reserved) {
                target.inbox.places.put(1);
            }
        }
    }
}

impl<B> Inner<B> {
    /// The current connection's shared part, of a new connection if need be.
    fn current(&self) -> Arc<Shared<B>> {
        if let Some(client) = &*self.current.lock()
            && !client.is_unusable()
        {
            return Arc::clone(client.shared());
        }
        // Without the lock, as this clones the timer. So somebody else may have been faster.
        let (client, task) = (self.connect)();
        let mut current = self.current.lock();
        if let Some(client) = &*current
            && !client.is_unusable()
        {
            return Arc::clone(client.shared());
        }
        let shared = Arc::clone(client.shared());
        let old = current.replace(client);
        drop(current);
        // Without the lock too: the old driver's waker and the executor may do anything.
        drop(old);
        (self.spawn)(task);
        shared
    }
}

/// Makes a connection and drives it to its end.
async fn run<T, C, F, IO, E, B>(
    builder: &Builder<T>,
    connect: &C,
    mut intake: Intake<B, T>,
    counters: &Counters,
) where
    T: Timer,
    C: Fn() -> F,
    F: Future<Output = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Unpin,
    E: Into<BoxError>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    let shaken = {
        let acks = intake.shared.acks.clone();
        let mut making = pin!(async {
            let io = connect().await.map_err(|error| {
                let error = error.into();
                Error::new(ErrorKind::Connect).because(error)
            })?;
            driver::handshake(builder.h2(), builder.options(), &acks, io).await
        });
        // Requests that wait meanwhile time out or are cancelled like all others.
        poll_fn(|cx| {
            intake.tend(cx);
            making.as_mut().poll(cx)
        })
        .await
    };
    let shaken = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            intake.close(error);
            return;
        }
    };
    let mut driver = Driver::new(intake, shaken, builder.options());
    let mut ack = driver.settings_ack();
    counters.connections.lock().established += 1;
    poll_fn(|cx| {
        let driven = Pin::new(&mut driver).poll(cx);
        if let Some(waiting) = &mut ack
            && let Poll::Ready(acknowledged) = Pin::new(waiting).poll(cx)
        {
            ack = None;
            if let Ok(took) = acknowledged {
                let mut connections = counters.connections.lock();
                connections.acknowledged += 1;
                connections.slowest = connections.slowest.max(took);
            }
        }
        // Every request has learned what happened.
        driven.map(drop)
    })
    .await;
}

impl<B> Service<Request<B>> for Connector<B> {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ConnectorFuture<B>;

    /// Reserves a place in the queue of the current connection, which may still be in the making. Never fails: what keeps
    /// a connection from being made is told to the requests. Makes no more than one connection.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut renewed = false;
        loop {
            match &self.target {
                Some(target) if !target.link.is_unusable() => {
                    if self.reserved {
                        return Poll::Ready(Ok(()));
                    }
                    match target.poll_place(&mut self.ticket, None, cx) {
                        Poll::Ready(Ok(())) => self.reserved = true,
                        // It ended just now.
                        Poll::Ready(Err(_)) => {}
                        // Or is to be left just now, of which those are told who waited before.
                        Poll::Pending if target.link.is_unusable() => {}
                        Poll::Pending => return Poll::Pending,
                    }
                }
                // A connection that is over as soon as it is begun: the request will tell why.
                _ if renewed => return Poll::Ready(Ok(())),
                _ => {
                    self.leave_target();
                    self.target = Some(self.inner.current());
                    renewed = true;
                }
            }
        }
    }

    /// Submits a request, on the reserved place if its connection is still good; otherwise like
    /// [`request`](Connector::request).
    fn call(&mut self, request: Request<B>) -> ConnectorFuture<B> {
        match &self.target {
            Some(target) if self.reserved && !target.link.is_unusable() => {
                self.reserved = false;
                let shared = Arc::clone(target);
                let deadline = shared.deadline(&request);
                ConnectorFuture::new(&self.inner, request, deadline, |request| {
                    ResponseFuture::submit_in_place(shared, request, deadline)
                })
            }
            _ => self.request(request),
        }
    }
}

impl<B> Clone for Connector<B> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.inner))
    }
}

impl<B> Drop for Connector<B> {
    fn drop(&mut self) {
        self.leave_target();
    }
}

impl<B> fmt::Debug for Connector<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("stats", &self.stats())
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// Waits for the head of a response, and sends the request again where that is safe. Made by [`Connector::request`].
///
/// # Errors
///
/// As for [`Connector::request`].
///
/// # Cancel safety
///
/// As for [`ResponseFuture`].
///
/// # Panics
///
/// Polling again after the outcome was returned panics.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::Error;
/// use completion_h2::client::{ConnectorFuture, ResponseBody};
/// use http::Response;
/// use http_body_util::Full;
/// use std::pin::Pin;
/// use std::task::{Context, Poll, ready};
///
/// // The future of a service on top of a connector, with a name and without a box.
/// struct Logged(ConnectorFuture<Full<Bytes>>);
///
/// impl Future for Logged {
///     type Output = Result<Response<ResponseBody>, Error>;
///
///     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
///         let outcome = ready!(Pin::new(&mut self.0).poll(cx));
///         eprintln!("{:?}", outcome.as_ref().map(Response::status));
///         Poll::Ready(outcome)
///     }
/// }
/// # let _ = Logged;
/// ```
#[must_use = "dropping the future cancels the request"]
pub struct ConnectorFuture<B> {
    inner: Arc<Inner<B>>,
    attempt: ResponseFuture<B>,
    deadline: Option<Instant>,
    /// How often the request may be sent again.
    left: u32,
    /// For a request of which only the body comes back. `None` if it may not be sent again at all.
    head: Option<Head>,
}

/// A copy of what the peer sees of a request's head.
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    protocol: Option<h2::ext::Protocol>,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            protocol: request.extensions().get().cloned(),
        }
    }

    fn with<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        if let Some(protocol) = &self.protocol {
            request.extensions_mut().insert(protocol.clone());
        }
        request
    }
}

impl<B> ConnectorFuture<B> {
    fn new(
        inner: &Arc<Inner<B>>,
        request: Request<B>,
        deadline: Option<Instant>,
        submit: impl FnOnce(Request<B>) -> ResponseFuture<B>,
    ) -> Self {
        let left = inner.resend_limit;
        Self {
            inner: Arc::clone(inner),
            head: (left > 0).then(|| Head::of(&request)),
            attempt: submit(request),
            deadline,
            left,
        }
    }

    /// What to send again, if the request may be.
    fn again(&mut self, failure: Failure<B>) -> Result<Request<B>, Error> {
        let Failure { error, returned } = failure;
        let hopeless = matches!(
            error.kind(),
            // Nothing of that gets better on another connection, or in the time that is left.
            ErrorKind::Connect
                | ErrorKind::Timeout
                | ErrorKind::SettingsTimeout
                | ErrorKind::InvalidRequest
                | ErrorKind::Body
        );
        if hopeless || !error.is_retry_safe() {
            return Err(error);
        }
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Err(error),
        };
        match (returned, &self.head) {
            (Returned::Request(request), _) => Ok(*request),
            (Returned::Body(body), Some(head)) => Ok(head.with(body)),
            _ => Err(error),
        }
    }
}

// Nothing in it is pinned.
impl<B> Unpin for ConnectorFuture<B> {}

impl<B> Future for ConnectorFuture<B> {
    type Output = Result<Reply, Error>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let failure = match ready!(self.attempt.poll_outcome(cx)) {
                Ok(reply) => return Poll::Ready(Ok(reply)),
                Err(failure) => failure,
            };
            match self.again(failure) {
                Ok(request) => {
                    // ORDERING: Relaxed; a statistic.
                    self.inner.counters.resent.fetch_add(1, Ordering::Relaxed);
                    self.attempt =
                        ResponseFuture::submit(self.inner.current(), request, self.deadline);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<B> fmt::Debug for ConnectorFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorFuture")
            .field("attempt", &self.attempt)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
