//! Auto traits and sizes.

use std::pin::Pin;

use bytes::Bytes;
use completion_h2::client::{
    Builder, Client, ConnectionTask, Connector, ConnectorFuture, ConnectorStats, Driver,
    ResponseBody, ResponseFuture, SettingsAck,
};
use completion_h2::{Error, ErrorKind, TokioTimer};
use http_body_util::{Empty, Full};
use tokio::net::TcpStream;

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

#[test]
fn a_boxed_body_of_any_kind_will_do() {
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
    let (io, _peer) = tokio::io::duplex(100);
    let handshake = async {
        let made = Builder::new().handshake::<_, Pin<Box<Pinned>>>(io).await;
        drop(made.unwrap());
    };
    futures_lite::future::block_on(handshake);
    drop(Box::pin(Pinned(std::marker::PhantomPinned)));
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
