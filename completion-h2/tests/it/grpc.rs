//! gRPC: tonic's client on ours, against tonic's server on hyper's.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use completion_h2::client::{Builder, Client, Connector, RequestTimeout};
use completion_h2::{Error, ErrorKind};
use futures_lite::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::clock::Clock;
use crate::common::{settle, signal};
use crate::support::{Frame, Peer, code, within};

/// What is said in both directions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Word {
    #[prost(string, tag = "1")]
    text: String,
}

fn word(text: impl Into<String>) -> Word {
    Word { text: text.into() }
}

type Codec = ProstCodec<Word, Word>;
type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

/// One function for every kind of call: each word comes back louder, and `"fail"` ends the call.
struct Echo;

impl Service<Request<Streaming<Word>>> for Echo {
    type Response = Response<Words>;
    type Error = Status;
    type Future = std::future::Ready<Result<Response<Words>, Status>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Word>>) -> Self::Future {
        if request.metadata().contains_key("reject") {
            return std::future::ready(Err(Status::permission_denied("not you")));
        }
        let louder = request.into_inner().map(|said| match said? {
            Word { text } if text == "fail" => Err(Status::out_of_range("too loud")),
            Word { text } => Ok(word(text.to_uppercase())),
        });
        std::future::ready(Ok(Response::new(Box::pin(louder))))
    }
}

/// Serves [`Echo`] for as long as the test's runtime lives. Tells of every connection that ends.
async fn serve() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, ended) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            io.set_nodelay(true).unwrap();
            let tell = tell.clone();
            tokio::spawn(async move {
                let echo = service_fn(async |request| {
                    let answer = tonic::server::Grpc::new(Codec::default())
                        .streaming(Echo, request)
                        .await;
                    Ok::<_, Infallible>(answer)
                });
                let served = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(io), echo)
                    .await;
                served.unwrap();
                let _ = tell.send(());
            });
        }
    });
    (addr, ended)
}

async fn client(addr: std::net::SocketAddr) -> Client<Body> {
    let io = within("connecting", TcpStream::connect(addr))
        .await
        .unwrap();
    io.set_nodelay(true).unwrap();
    let (client, driver) = within("the handshake", Builder::new().handshake(io))
        .await
        .unwrap();
    tokio::spawn(driver);
    client
}

/// What tonic's generated clients are made of.
fn stub<S: GrpcService<Body>>(service: S) -> tonic::client::Grpc<S> {
    tonic::client::Grpc::with_origin(service, "http://peer".parse().unwrap())
}

fn path() -> PathAndQuery {
    PathAndQuery::from_static("/test.Echo/Say")
}

/// A call of each kind: one word or many, each way.
async fn every_kind_of_call<S>(mut stub: tonic::client::Grpc<S>)
where
    S: GrpcService<Body>,
    S::ResponseBody: Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Error: std::fmt::Debug,
    S::ResponseBody: http_body::Body<Data: Send>,
{
    let calls = async {
        stub.ready().await.unwrap();
        let said = Request::new(word("one"));
        let reply = stub.unary(said, path(), Codec::default()).await.unwrap();
        assert_eq!(reply.into_inner(), word("ONE"));

        stub.ready().await.unwrap();
        let said = Request::new(stream::iter([word("last")]));
        let reply = stub.client_streaming(said, path(), Codec::default()).await;
        assert_eq!(reply.unwrap().into_inner(), word("LAST"));

        stub.ready().await.unwrap();
        let said = Request::new(word("many"));
        let reply = stub.server_streaming(said, path(), Codec::default()).await;
        let replies: Vec<_> = reply.unwrap().into_inner().collect().await;
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].as_ref().unwrap(), &word("MANY"));

        // Many windows full, so that both sides wait for the other's WINDOW_UPDATE.
        stub.ready().await.unwrap();
        let long = "to and fro ".repeat(10_000);
        let louder = long.to_uppercase();
        let said = Request::new(stream::repeat(word(long)).take(20));
        let reply = stub.streaming(said, path(), Codec::default()).await;
        let mut replies = reply.unwrap().into_inner();
        for _ in 0..20 {
            let reply = replies.message().await.unwrap().unwrap();
            assert!(reply.text == louder, "another text");
        }
        assert_eq!(replies.message().await.unwrap(), None);
        let status = replies.trailers().await.unwrap().unwrap();
        assert_eq!(status.get("grpc-status").unwrap(), "0");
    };
    within("four calls", calls).await;
}

#[tokio::test]
async fn every_kind_of_call_on_one_connection() {
    let (addr, mut ended) = serve().await;
    let client = client(addr).await;
    every_kind_of_call(stub(client.clone())).await;
    assert_eq!(client.pool_stats().in_use, 0);
    drop(client);
    within("the connection's end", ended.recv()).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_call_on_a_connector() {
    let (addr, mut ended) = serve().await;
    let dial = move || TcpStream::connect(addr);
    let connector = Connector::new(Builder::new(), dial, tokio::spawn);
    every_kind_of_call(stub(connector)).await;
    within("the connection's end", ended.recv()).await.unwrap();
}

/// Before the first reply it is in the head, after it in the trailers.
#[tokio::test]
async fn a_servers_status_arrives() {
    let (addr, _) = serve().await;
    let mut stub = stub(client(addr).await);

    let mut said = Request::new(word("one"));
    said.metadata_mut().insert("reject", "1".parse().unwrap());
    let call = stub.unary(said, path(), Codec::default());
    let status = within("a status", call).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "not you");

    stub.ready().await.unwrap();
    let said = Request::new(stream::iter([word("one"), word("fail"), word("three")]));
    let call = stub.streaming(said, path(), Codec::default());
    let mut replies = within("a head", call).await.unwrap().into_inner();
    let reply = within("a reply", replies.message()).await.unwrap();
    assert_eq!(reply, Some(word("ONE")));
    let status = within("a status", replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(status.message(), "too loud");
}

/// What is at the root of a status that tonic made of our error.
#[track_caller]
fn cause(status: &Status) -> &Error {
    let source = std::error::Error::source(status).expect("a source");
    source.downcast_ref().expect("an error of ours")
}

#[tokio::test]
async fn a_call_that_is_given_up_is_reset() {
    let (tell, mut told) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        for answered in [false, true] {
            let request = conn.next_request().await;
            if answered {
                let kind = [("content-type", "application/grpc")];
                conn.respond_headers(request.stream, 200, &kind, false)
                    .await;
            }
            tell.now();
            assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        }
    });
    let client = client(peer.addr()).await;
    let mut stub = stub(client.clone());
    let said = Request::new(stream::pending::<Word>());
    {
        let mut call = Box::pin(stub.streaming(said, path(), Codec::default()));
        tokio::select! {
            _ = &mut call => panic!("nobody answered"),
            () = told.wait() => {}
        }
    }
    let said = Request::new(stream::pending::<Word>());
    let call = stub.streaming(said, path(), Codec::default());
    let replies = within("a head", call).await.unwrap();
    told.wait().await;
    drop(replies);
    settle().await;
    assert_eq!(client.pool_stats().in_use, 0);
    drop((client, stub));
    peer.finish().await;
}

/// The status says no more than that; its source says what it was, and whether to call again.
#[tokio::test]
async fn a_stream_that_is_cut_off_is_an_error_with_our_own_as_its_source() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        let refused = Frame::rst(request.stream, code::REFUSED_STREAM);
        conn.send(refused).await;
        let request = conn.next_request().await;
        let kind = [("content-type", "application/grpc")];
        conn.respond_headers(request.stream, 200, &kind, false)
            .await;
        // The length of a message, and half of that.
        let half = Frame::data(request.stream, [0, 0, 0, 0, 4, 10, 2], false);
        conn.send(half).await;
        let reset = Frame::rst(request.stream, code::CANCEL);
        conn.send(reset).await;
    });
    let mut stub = stub(client(peer.addr()).await);
    let call = stub.unary(Request::new(word("one")), path(), Codec::default());
    let status = within("a status", call).await.unwrap_err();
    assert_eq!(cause(&status).kind(), ErrorKind::Refused);
    assert!(cause(&status).is_retry_safe());

    let call = stub.server_streaming(Request::new(word("one")), path(), Codec::default());
    let mut replies = within("a head", call).await.unwrap().into_inner();
    let status = within("a status", replies.message()).await.unwrap_err();
    assert_eq!(cause(&status).kind(), ErrorKind::Reset);
    drop((stub, replies));
    peer.finish().await;
}

/// A deadline goes along in tonic's own extensions.
#[tokio::test]
async fn a_calls_deadline_is_ours_to_keep() {
    let clock = Clock::new();
    let (tell, mut told) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let io = within("connecting", TcpStream::connect(peer.addr())).await;
    let (client, driver) = clock.builder().handshake(io.unwrap()).await.unwrap();
    tokio::spawn(driver);
    let mut stub = stub(client);
    let mut said = Request::new(word("one"));
    let limit = Duration::from_secs(3);
    said.extensions_mut().insert(RequestTimeout(limit));
    let late = async {
        told.wait().await;
        clock.advance(limit);
        std::future::pending().await
    };
    let call = stub.unary(said, path(), Codec::default());
    let status = within("a status", futures_lite::future::or(call, late)).await;
    let status = status.unwrap_err();
    assert_eq!(cause(&status).kind(), ErrorKind::Timeout);
    drop(stub);
    peer.finish().await;
}
