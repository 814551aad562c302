//! What the tests share.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use completion_h2::client::{Builder, Client, Driver, PoolStats, ResponseBody, SettingsAck};
use completion_h2::{Error, ErrorKind, Timer};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{self, Peer, within};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;
/// Any request body.
pub(crate) type AnyBody = BoxBody<Bytes, BoxError>;
/// What a request comes to.
pub(crate) type Outcome = Result<Response<ResponseBody>, Error>;

fn never(error: Infallible) -> BoxError {
    match error {}
}

/// A request body without anything in it.
pub(crate) fn empty() -> AnyBody {
    Empty::new().map_err(never).boxed()
}

/// A request body of one piece.
pub(crate) fn full(data: impl Into<Bytes>) -> AnyBody {
    Full::new(data.into()).map_err(never).boxed()
}

/// A GET.
pub(crate) fn get(path: &str) -> Request<AnyBody> {
    let uri = format!("http://peer{path}");
    Request::get(uri).body(empty()).expect("a valid request")
}

/// A POST.
pub(crate) fn post(path: &str, body: AnyBody) -> Request<AnyBody> {
    let uri = format!("http://peer{path}");
    Request::post(uri).body(body).expect("a valid request")
}

/// A request body of given steps, each a frame, an error or a panic; it never knows its end in advance.
pub(crate) struct Steps(std::vec::IntoIter<Step>);

pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Fail(&'static str),
    Panic,
    /// Pending once, woken at once.
    Yield,
    /// Pending for ever.
    Hang,
}

pub(crate) fn steps(steps: impl IntoIterator<Item = Step>) -> AnyBody {
    let steps: Vec<_> = steps.into_iter().collect();
    Steps(steps.into_iter()).boxed()
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match self.0.next() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Step::Fail(why)) => Some(Err(why.into())),
            Some(Step::Panic) => panic!("the body was told to panic"),
            Some(Step::Yield) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::Hang) => {
                self.0 = vec![Step::Hang].into_iter();
                return Poll::Pending;
            }
        })
    }
}

/// A client on a fresh socket, its driver spawned.
pub(crate) struct Fixture {
    pub(crate) client: Client<AnyBody>,
    pub(crate) driver: JoinHandle<Result<(), Error>>,
    pub(crate) ack: SettingsAck,
}

pub(crate) async fn dial<T>(peer: &Peer<T>) -> TcpStream {
    let io = within("connecting", TcpStream::connect(peer.addr())).await;
    let io = io.expect("the peer listens");
    io.set_nodelay(true).expect("a TCP option");
    io
}

pub(crate) async fn connect<T>(peer: &Peer<T>) -> Fixture {
    connect_with(peer, Builder::new()).await
}

pub(crate) async fn connect_with<T, C: Timer>(peer: &Peer<T>, builder: Builder<C>) -> Fixture {
    drive(dial(peer).await, builder).await
}

/// Connects, and waits for the acknowledgment: the peer's SETTINGS are known then.
pub(crate) async fn agree<T>(peer: &Peer<T>) -> Fixture {
    agree_with(peer, Builder::new()).await
}

pub(crate) async fn agree_with<T, C: Timer>(peer: &Peer<T>, builder: Builder<C>) -> Fixture {
    let mut it = connect_with(peer, builder).await;
    within("the acknowledgment", &mut it.ack).await.unwrap();
    it
}

/// What a peer on any transport says first, and in answer to the client's SETTINGS.
pub(crate) fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    let frames = [
        support::Frame::settings(settings),
        support::Frame::settings_ack(),
    ];
    frames.map(|frame| frame.encode()).concat()
}

/// All frames that the client sends now, by a transport that the test has the other end of. `bytes` is what has come of the
/// next one.
pub(crate) async fn frames(
    peer: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Vec<support::Frame> {
    let mut frames = Vec::new();
    loop {
        settle().await;
        let mut cx = Context::from_waker(Waker::noop());
        let mut space = [0; 1 << 14];
        let mut space = ReadBuf::new(&mut space);
        let read = Pin::new(&mut *peer).poll_read(&mut cx, &mut space);
        if read.is_pending() || space.filled().is_empty() {
            return frames;
        }
        bytes.extend(space.filled());
        while let Some(frame) = support::Frame::decode(bytes) {
            frames.push(frame);
        }
    }
}

/// A client on any transport, its driver spawned.
pub(crate) async fn drive<IO, C>(io: IO, builder: Builder<C>) -> Fixture
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    C: Timer,
{
    let (client, mut driver) = shake(io, builder).await;
    let ack = driver.settings_ack().expect("the first time");
    assert!(driver.settings_ack().is_none());
    Fixture {
        client,
        driver: tokio::spawn(driver),
        ack,
    }
}

pub(crate) async fn undriven<T, C: Timer>(
    peer: &Peer<T>,
    builder: Builder<C>,
) -> (Client<AnyBody>, Driver<TcpStream, AnyBody, C>) {
    shake(dial(peer).await, builder).await
}

async fn shake<IO, C>(io: IO, builder: Builder<C>) -> (Client<AnyBody>, Driver<IO, AnyBody, C>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
    C: Timer,
{
    within("the handshake", builder.handshake(io))
        .await
        .expect("the preface can be written")
}

impl Fixture {
    pub(crate) async fn send(&self, request: Request<AnyBody>) -> Outcome {
        within("an outcome", self.client.request(request)).await
    }

    /// Waits until every completion is home, which a dropped future's is only when the driver has seen it.
    pub(crate) async fn idle(&self) {
        idle(|| self.client.pool_stats()).await;
    }

    /// Drops the client and returns the driver's result.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.idle().await;
        drop(self.client);
        ended(self.driver).await
    }

    /// Closes, which goes well, and returns what the peer's script does.
    pub(crate) async fn finish<T: Send + 'static>(self, peer: Peer<T>) -> T {
        let closed = self.close().await;
        // The script's own message is the better one.
        let output = peer.finish().await;
        closed.unwrap();
        output
    }
}

/// The driver's result.
pub(crate) async fn ended(driver: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    within("the driver's end", driver)
        .await
        .expect("the driver does not panic")
}

/// Waits until every completion of a pool is home.
pub(crate) async fn idle(stats: impl Fn() -> PoolStats) {
    let home = async {
        while stats().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    within("all completions to come home", home).await;
    assert_eq!(stats().rented, stats().returned);
}

/// Reads a body to its end.
pub(crate) async fn read(response: Response<ResponseBody>) -> Result<Vec<u8>, Error> {
    read_all(response).await.map(|(data, _)| data)
}

/// Reads a body and its trailers.
pub(crate) async fn read_all(
    response: Response<ResponseBody>,
) -> Result<(Vec<u8>, Option<HeaderMap>), Error> {
    let collected = within("the body's end", response.into_body().collect()).await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes().to_vec(), trailers))
}

/// Asserts what sort of error it is, and hands it on.
#[track_caller]
pub(crate) fn fails<T>(outcome: Result<T, Error>, kind: ErrorKind, retry_safe: bool) -> Error {
    let error = outcome.err().expect("it should have failed");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.is_retry_safe(), retry_safe, "{error:?}");
    error
}

/// Asserts that an error or one of its sources says this.
#[track_caller]
pub(crate) fn says(error: &Error, what: &str) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" <- {error}");
        source = error.source();
    }
    assert!(text.contains(what), "{text}");
}

/// By which a peer's script tells the test how far it is, or the test the script: the rendezvous of the two threads.
pub(crate) fn signal() -> (Tell, Told) {
    let (tell, told) = mpsc::unbounded_channel();
    (Tell(tell), Told(told))
}

pub(crate) struct Tell(mpsc::UnboundedSender<()>);

impl Tell {
    pub(crate) fn now(&self) {
        // The other side may have panicked; its own message is the better one.
        let _ = self.0.send(());
    }
}

pub(crate) struct Told(mpsc::UnboundedReceiver<()>);

impl Told {
    /// Waits for the next [`Tell::now`]. What the client's driver did to make the script come this far is done by then, if
    /// the test's runtime has one thread: its poll ends before the test goes on.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> impl Future<Output = ()> {
        let told = within("a signal", self.0.recv());
        async { told.await.expect("the other side goes on") }
    }
}

/// Lets all other tasks of the test's runtime run until they have nothing to do.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Polls a future once, and asserts that it is not ready.
pub(crate) async fn pending<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|cx| {
        assert!(
            Pin::new(&mut *future).poll(cx).is_pending(),
            "ready too early"
        );
        Poll::Ready(())
    })
    .await;
}
