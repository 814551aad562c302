//! GOAWAY: above, equal, below, 0, graceful, twice, followed by the end (h2#885, hyper#2500).

use std::future::poll_fn;

use completion_h2::client::Builder;
use completion_h2::{ErrorKind, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

use crate::common::{
    Step, agree, agree_with, connect, drive, ended, fails, frames, get, opening, pending, post,
    says, settle, signal, steps,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

const MAX_ID: u32 = 0x7fff_ffff;

#[tokio::test]
async fn streams_above_the_last_id_are_retry_safe_and_others_go_on() {
    let peer = Peer::serve(&[], async |conn| {
        let first = conn.next_request().await;
        let second = conn.next_request().await;
        assert_eq!((first.stream, second.stream), (1, 3));
        conn.send(Frame::go_away(1, code::NO_ERROR, b"")).await;
        conn.barrier().await;
        conn.respond(1, 200, b"").await;
    });
    let it = connect(&peer).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(get("/2"));
    let error = fails(within("an error", second).await, ErrorKind::GoAway, true);
    says(&error, "last-stream-id 1");
    assert!(it.client.is_unusable());
    within("a response", first).await.unwrap();
    // All that was under way is finished, so the connection ends well.
    ended(it.driver).await.unwrap();
    let late = it.client.request(get("/3"));
    fails(within("an error", late).await, ErrorKind::GoAway, true);
    assert_eq!(it.client.pool_stats().in_use, 0);
    peer.finish().await;
}

#[tokio::test]
async fn queued_requests_fail_at_once_and_are_retry_safe() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        let first = conn.next_request().await;
        conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"")).await;
        let rest = conn.barrier().await;
        lacks(&rest, kind::HEADERS);
        conn.respond(first.stream, 200, b"").await;
    });
    let it = agree(&peer).await;
    let mut first = it.client.request(get("/1"));
    let second = it.client.request(get("/2"));
    fails(within("an error", second).await, ErrorKind::GoAway, true);
    pending(&mut first).await;
    // New ones as well, although the connection is still up.
    fails(it.send(get("/3")).await, ErrorKind::GoAway, true);
    let mut client = it.client.clone();
    let ready = poll_fn(|cx| Service::poll_ready(&mut client, cx));
    fails(within("an error", ready).await, ErrorKind::GoAway, true);
    drop(client);
    within("a response", first).await.unwrap();
    it.finish(peer).await;
}

/// However many wait for a place, and however few places there are.
#[tokio::test]
async fn all_who_wait_for_a_place_fail_at_once_and_are_retry_safe() {
    let (go, mut told) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let first = conn.next_request().await;
        told.wait().await;
        conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"")).await;
        told.wait().await;
        conn.respond(first.stream, 200, b"").await;
    });
    let it = agree_with(&peer, Builder::new().queue_capacity(1)).await;
    let mut first = it.client.request(get("/1"));
    pending(&mut first).await;
    settle().await;
    // The only place. Nobody gets it, and so nobody passes it on.
    let mut reserved = it.client.clone();
    poll_fn(|cx| Service::poll_ready(&mut reserved, cx))
        .await
        .unwrap();
    // Tasks of their own, which are polled when they are woken alone.
    let waiting = ["/2", "/3", "/4"].map(|path| tokio::spawn(it.client.request(get(path))));
    let mut client = it.client.clone();
    let ready = tokio::spawn(async move {
        let ready = poll_fn(|cx| Service::poll_ready(&mut client, cx));
        ready.await
    });
    settle().await;
    go.now();
    for request in waiting {
        let outcome = within("an error", request).await.unwrap();
        fails(outcome, ErrorKind::GoAway, true);
    }
    let outcome = within("an error", ready).await.unwrap();
    fails(outcome, ErrorKind::GoAway, true);
    go.now();
    within("a response", first).await.unwrap();
    drop(reserved);
    it.finish(peer).await;
}

/// h2 keeps a handle to the stream that fills the limit, also when it learns of the GOAWAY before that stream is sent.
#[tokio::test]
async fn a_stream_opened_beside_a_goaway_is_reset_when_it_is_given_up() {
    let (io, mut peer) = tokio::io::duplex(10_000);
    let mut it = drive(io, Builder::new()).await;
    let limit = [(setting::MAX_CONCURRENT_STREAMS, 1)];
    peer.write_all(&opening(&limit)).await.unwrap();
    within("the acknowledgment", &mut it.ack).await.unwrap();
    settle().await;
    // Both are there when the driver looks.
    let goes = Frame::go_away(MAX_ID, code::NO_ERROR, b"");
    peer.write_all(&goes.encode()).await.unwrap();
    let mut request = it.client.request(get("/"));
    pending(&mut request).await;
    settle().await;
    drop(request);
    // The preface is no frame.
    peer.read_exact(&mut [0; 24]).await.unwrap();
    let seen = frames(&mut peer, &mut Vec::new()).await;
    let reset = seen.iter().find(|frame| frame.kind == kind::RST_STREAM);
    let reset = reset.expect("a reset");
    assert_eq!((reset.stream, reset.number(0)), (1, code::CANCEL));
    drop((it.client, peer));
    let _ = ended(it.driver).await;
}

/// anthropics/connect-rust#285, hyper#3673.
#[tokio::test]
async fn a_graceful_goaway_followed_by_the_end_is_a_goaway() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"bye"))
            .await;
        conn.shutdown().await;
    });
    let it = connect(&peer).await;
    // It may have been processed, so it is not retry-safe.
    let error = fails(it.send(get("/")).await, ErrorKind::GoAway, false);
    says(&error, "GOAWAY with code NO_ERROR");
    assert_eq!(error.reason(), Some(Reason::NO_ERROR));
    ended(it.driver).await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn a_goaway_followed_by_a_reset_connection_is_a_goaway() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        conn.next_request().await;
        conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"")).await;
        // So that the client has read it.
        conn.barrier().await;
        conn.abort();
    });
    let it = connect(&peer).await;
    fails(it.send(get("/")).await, ErrorKind::GoAway, false);
    peer.finish().await;
}

#[tokio::test]
async fn two_goaways_lower_the_last_id() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        conn.next_request().await;
        conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"")).await;
        conn.barrier().await;
        conn.send(Frame::go_away(1, code::NO_ERROR, b"")).await;
        conn.barrier().await;
        conn.respond(1, 200, b"").await;
    });
    let it = connect(&peer).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(get("/2"));
    fails(within("an error", second).await, ErrorKind::GoAway, true);
    within("a response", first).await.unwrap();
    peer.finish().await;
}

/// A server that is in no hurry says twice that it will go, and the second time no more than the first.
#[tokio::test]
async fn the_same_graceful_goaway_twice_is_one() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        for _ in 0..2 {
            conn.send(Frame::go_away(MAX_ID, code::NO_ERROR, b"")).await;
            conn.barrier().await;
        }
        conn.respond(1, 200, b"").await;
    });
    let it = connect(&peer).await;
    it.send(get("/")).await.unwrap();
    fails(it.send(get("/late")).await, ErrorKind::GoAway, true);
    it.finish(peer).await;
}

#[tokio::test]
async fn a_goaway_with_an_error_has_its_reason() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        let calm = Reason::ENHANCE_YOUR_CALM.into();
        conn.send(Frame::go_away(0, calm, b"too much")).await;
    });
    let it = connect(&peer).await;
    let error = fails(it.send(get("/")).await, ErrorKind::GoAway, true);
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    let error = fails(it.close().await, ErrorKind::GoAway, false);
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    peer.finish().await;
}

#[tokio::test]
async fn a_goaway_that_raises_the_last_id_is_the_peers_fault() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        conn.send(Frame::go_away(1, code::NO_ERROR, b"")).await;
        conn.send(Frame::go_away(3, code::NO_ERROR, b"")).await;
    });
    let it = connect(&peer).await;
    fails(it.send(get("/")).await, ErrorKind::Protocol, false);
    peer.finish().await;
}

#[tokio::test]
async fn an_upload_above_the_last_id_fails_and_stops() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.send(Frame::go_away(0, code::NO_ERROR, b"")).await;
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    fails(it.send(post("/", body)).await, ErrorKind::GoAway, true);
    it.finish(peer).await;
}
