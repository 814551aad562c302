//! Deadlines: in the queue, for a place in it, on the way. Those in the body are in `bodies.rs`.

use std::time::{Duration, Instant};

use completion_h2::ErrorKind;
use completion_h2::client::{Builder, RequestTimeout};

use crate::common::{Step, connect, connect_with, fails, get, pending, post, read, steps};
use crate::support::{Peer, code, kind, setting, within};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_silent_server_ends_in_timeouts_and_resets() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        for _ in 0..10 {
            let request = conn.next_request().await;
            assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        }
        conn.expect_eof().await;
    });
    let it = connect_with(&peer, Builder::new().timeout(SHORT)).await;
    for _ in 0..10 {
        let begin = Instant::now();
        let error = fails(it.send(get("/")).await, ErrorKind::Timeout, false);
        assert!(error.is_timeout());
        assert!(begin.elapsed() >= SHORT);
    }
    it.close().await.unwrap();
    peer.finish().await;
}

/// The time in the queue counts, and what times out there is never sent.
#[tokio::test]
async fn a_queued_request_times_out_unsent() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 1)])
            .await;
        let first = conn.next_request().await;
        tokio::time::sleep(3 * SHORT).await;
        let rest = conn.barrier().await;
        assert!(rest.iter().all(|frame| frame.kind != kind::HEADERS));
        conn.respond(first.stream, 200, b"").await;
        let third = conn.next_request().await;
        assert_eq!(third.path(), "/3");
        conn.respond(third.stream, 200, b"").await;
        conn.expect_eof().await;
    });
    let mut it = connect(&peer).await;
    within("the acknowledgment", &mut it.ack).await.unwrap();
    let first = it.client.request(get("/1"));
    let mut second = get("/2");
    second.extensions_mut().insert(RequestTimeout(SHORT));
    let second = it.client.request(second);
    fails(within("an error", second).await, ErrorKind::Timeout, true);
    let third = it.client.request(get("/3"));
    within("a response", first).await.unwrap();
    within("a response", third).await.unwrap();
    it.close().await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_place_in_the_queue_times_out() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 1)])
            .await;
        let first = conn.next_request().await;
        tokio::time::sleep(5 * SHORT).await;
        conn.respond(first.stream, 200, b"").await;
        let second = conn.next_request().await;
        assert_eq!(second.path(), "/2");
        conn.respond(second.stream, 200, b"").await;
        conn.expect_eof().await;
    });
    let mut it = connect_with(&peer, Builder::new().queue_capacity(1)).await;
    within("the acknowledgment", &mut it.ack).await.unwrap();
    let mut first = it.client.request(get("/1"));
    pending(&mut first).await;
    tokio::time::sleep(SHORT / 2).await;
    let second = it.client.request(get("/2"));
    // The driver has seen it, and sleeps again.
    tokio::time::sleep(SHORT / 2).await;
    let mut third = get("/3");
    third.extensions_mut().insert(RequestTimeout(SHORT));
    let third = it.client.request(third);
    assert!(format!("{third:?}").contains("waiting for a place"));
    let begin = Instant::now();
    fails(within("an error", third).await, ErrorKind::Timeout, true);
    let took = begin.elapsed();
    assert!(took < 2 * SHORT, "only when there was a place: {took:?}");
    within("a response", first).await.unwrap();
    within("a response", second).await.unwrap();
    it.close().await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn the_requests_own_time_goes_before_the_builders() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        let first = conn.next_request().await;
        let second = conn.next_request().await;
        assert_eq!(conn.expect_rst(first.stream).await, code::CANCEL);
        conn.respond(second.stream, 200, b"slow").await;
        conn.expect_eof().await;
    });
    let it = connect_with(&peer, Builder::new().timeout(SHORT)).await;
    let first = it.client.request(get("/1"));
    let mut second = get("/2");
    second.extensions_mut().insert(RequestTimeout(100 * SHORT));
    let second = it.client.request(second);
    fails(within("an error", first).await, ErrorKind::Timeout, false);
    let response = within("a response", second).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"slow");
    it.close().await.unwrap();
    peer.finish().await;
}

/// Later requests with earlier deadlines move the one timer forward; ended requests do not fire it for others
/// (microsoft/reverse-proxy#876).
#[tokio::test]
async fn deadlines_in_any_order_are_kept() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        while conn.read().await.is_some() {}
    });
    let it = connect(&peer).await;
    let begin = Instant::now();
    let mut waits = Vec::new();
    for millis in [400, 100, 300, 200, 100, 350] {
        let mut request = get("/");
        let timeout = Duration::from_millis(millis);
        request.extensions_mut().insert(RequestTimeout(timeout));
        let future = it.client.request(request);
        waits.push(tokio::spawn(async move {
            fails(within("an error", future).await, ErrorKind::Timeout, false);
            (timeout, begin.elapsed())
        }));
    }
    for wait in waits {
        let (timeout, took) = wait.await.unwrap();
        assert!(took >= timeout, "{took:?} is before {timeout:?}");
        assert!(
            took < timeout + Duration::from_millis(250),
            "{took:?} is long after {timeout:?}"
        );
    }
    it.close().await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn an_upload_times_out() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        let request = conn.next_request().await;
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        conn.expect_eof().await;
    });
    let it = connect_with(&peer, Builder::new().timeout(SHORT)).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    fails(it.send(post("/", body)).await, ErrorKind::Timeout, false);
    it.close().await.unwrap();
    peer.finish().await;
}

/// A server that accepts and says nothing at all, not even SETTINGS.
#[tokio::test]
async fn a_mute_server_ends_in_timeouts() {
    let peer = Peer::start(async |mut conn| {
        conn.preface().await;
        conn.expect_eof().await;
    });
    let it = connect_with(&peer, Builder::new().timeout(SHORT)).await;
    fails(it.send(get("/")).await, ErrorKind::Timeout, false);
    it.idle().await;
    drop(it.client);
    within("the driver's end", it.driver)
        .await
        .unwrap()
        .unwrap();
    peer.finish().await;
}

/// A server that does not read, until nothing can be written any more.
#[tokio::test]
async fn a_blocked_server_ends_in_timeouts() {
    let peer = Peer::start_narrow(async |conn| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(conn);
    });
    let it = connect_with(&peer, Builder::new().timeout(5 * SHORT)).await;
    let mut futures = Vec::new();
    for _ in 0..400 {
        let mut request = get("/");
        let value = "x".repeat(15_000).parse().unwrap();
        request.headers_mut().insert("x-long", value);
        futures.push(it.client.request(request));
    }
    for future in futures {
        let error = within("an error", future).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    it.idle().await;
    drop(it.client);
    // Closing takes no longer than the grace.
    let _ = within("the driver's end", it.driver).await.unwrap();
    peer.finish().await;
}

/// The one timer goes on to the next deadline of those that wait, also when no stream has one.
#[tokio::test]
async fn queued_requests_time_out_one_after_the_other() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 1)])
            .await;
        let first = conn.next_request().await;
        tokio::time::sleep(6 * SHORT).await;
        conn.respond(first.stream, 200, b"").await;
        conn.expect_eof().await;
    });
    let mut it = connect(&peer).await;
    within("the acknowledgment", &mut it.ack).await.unwrap();
    let first = it.client.request(get("/1"));
    let begin = Instant::now();
    let queued: Vec<_> = [SHORT, 2 * SHORT, 3 * SHORT]
        .into_iter()
        .map(|timeout| {
            let mut request = get("/");
            request.extensions_mut().insert(RequestTimeout(timeout));
            it.client.request(request)
        })
        .collect();
    for future in queued {
        fails(within("an error", future).await, ErrorKind::Timeout, true);
    }
    let took = begin.elapsed();
    assert!(took < 5 * SHORT, "only when there was a stream: {took:?}");
    within("a response", first).await.unwrap();
    it.close().await.unwrap();
    peer.finish().await;
}
