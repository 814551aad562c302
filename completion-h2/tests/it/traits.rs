//! Auto traits and sizes.

use std::pin::Pin;

use bytes::Bytes;
use completion_h2::client::{
    Builder, Client, ConnectionTask, Connector, ConnectorFuture, ConnectorStats, Driver,
    ResponseBody, ResponseFuture, SettingsAck,
};
use completion_h2::{Error, ErrorKind, TokioTimer};
use http_body_util::{BodyExt, Empty, Full};
use tokio::net::TcpStream;

use crate::support::{Frame, Peer, code, within};

type Body = Full<Bytes>;

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}
fn detached<T: 'static>() {}

#[test]
fn everything_moves_between_threads_and_needs_no_pinning() {
    send::<Client<Body>>();
    sync::<Client<Body>>();
    unpin::<Client<Body>>();
    send::<Connector<Body>>();
    sync::<Connector<Body>>();
    send::<Driver<TcpStream, Body>>();
    unpin::<Driver<TcpStream, Body>>();
    detached::<Driver<TcpStream, Body>>();
    send::<ResponseFuture<Body>>();
    unpin::<ResponseFuture<Body>>();
    send::<ConnectorFuture<Body>>();
    unpin::<ConnectorFuture<Body>>();
    send::<ConnectionTask>();
    send::<ResponseBody>();
    unpin::<ResponseBody>();
    send::<SettingsAck>();
    unpin::<SettingsAck>();
    send::<Builder>();
    sync::<Builder>();
    send::<Error>();
    sync::<Error>();
    sync::<ErrorKind>();
    sync::<ConnectorStats>();
    sync::<TokioTimer>();
}

/// A body that can do nothing: not even move, or be printed.
struct Pinned(std::marker::PhantomPinned);

impl http_body::Body for Pinned {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let _ = &self.0;
        std::task::Poll::Ready(None)
    }
}

#[test]
fn a_boxed_body_of_any_kind_will_do() {
    let (io, _peer) = tokio::io::duplex(100);
    let handshake = async {
        let made = Builder::new().handshake::<_, Pin<Box<Pinned>>>(io).await;
        drop(made.unwrap());
    };
    futures_lite::future::block_on(handshake);
}

/// Whatever its body.
#[tokio::test]
async fn everything_says_how_it_is() {
    fn says(it: &dyn std::fmt::Debug, what: &str) {
        let said = format!("{it:?}");
        assert!(said.contains(what), "{said}");
    }
    let request = || {
        let body = Box::pin(Pinned(std::marker::PhantomPinned));
        http::Request::get("http://peer/").body(body).unwrap()
    };

    let (io, peer) = tokio::io::duplex(1 << 14);
    let builder = Builder::new().queue_capacity(1);
    says(&builder, "queue_capacity: 1");
    let (client, mut driver) = builder.handshake::<_, Pin<Box<Pinned>>>(io).await.unwrap();
    let ack = driver.settings_ack().unwrap();
    says(&client, "Client { closed: false, unusable: false");
    says(&driver, "Driver");
    says(&ack, "SettingsAck");
    let mut submitted = client.request(request());
    let waiting = client.request(request());
    says(&submitted, "submitted");
    says(&waiting, "waiting for a place");
    drop((driver, peer));
    let error = within("an error", &mut submitted).await.unwrap_err();
    says(&error, "kind: Abandoned, retry_safe: true");
    says(&submitted, "done");
    says(&client, "Client { closed: true, unusable: true");

    let peer = Peer::serve(&[], async |conn| {
        let request = conn.begin().await;
        conn.send(Frame::rst(request.stream, code::CANCEL)).await;
    });
    let addr = peer.addr();
    let transport = move || TcpStream::connect(addr);
    let connector = Connector::new(Builder::new(), transport, |task: ConnectionTask| {
        says(&task, "ConnectionTask");
        tokio::spawn(task)
    });
    let mut sent = connector.request(request());
    says(&sent, "ConnectorFuture");
    let response = within("a response", &mut sent).await.unwrap();
    says(&connector, "connections_established: 1");
    let mut body = response.into_body();
    says(&body, "state: \"open\"");
    while let Some(Ok(_)) = within("the end", body.frame()).await {}
    says(&body, "state: \"failed\"");
    drop((connector, sent, body));
    peer.finish().await;
}

/// What is passed around per request stays small; a request that waits for a place in the queue is kept in its future.
#[test]
fn sizes() {
    let word = size_of::<usize>();
    assert_eq!(size_of::<Error>(), 2 * word);
    assert!(size_of::<Client<Body>>() <= 4 * word);
    let request = size_of::<http::Request<Empty<Bytes>>>();
    assert!(size_of::<ResponseFuture<Empty<Bytes>>>() <= request + 8 * word);
    assert!(size_of::<ConnectorFuture<Empty<Bytes>>>() <= 2 * request + 16 * word);
}
