//! Dropped futures: queued, on the way, late.

use completion_h2::ErrorKind;
use completion_h2::client::Builder;

use crate::common::{
    Fixture, Step, Told, agree, connect, connect_with, drive, ended, fails, full, get, pending,
    post, read, settle, signal, steps,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

/// h2#856: cancelled before it was sent, nothing is sent.
#[tokio::test]
async fn a_queued_request_that_is_dropped_is_never_sent() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        let first = conn.next_request().await;
        assert_eq!(first.path(), "/first");
        conn.barrier().await;
        conn.respond(first.stream, 200, b"").await;
        assert_eq!(conn.reply(b"").await.path(), "/third");
        let rest = conn.expect_eof().await;
        lacks(&rest, kind::HEADERS);
        lacks(&rest, kind::RST_STREAM);
    });
    let it = agree(&peer).await;
    let mut first = it.client.request(get("/first"));
    let mut second = it.client.request(get("/second"));
    pending(&mut first).await;
    pending(&mut second).await;
    // The driver has both by now: one is sent, one waits.
    tokio::task::yield_now().await;
    drop(second);
    let third = it.client.request(get("/third"));
    within("the first", first).await.unwrap();
    within("the third", third).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_request_dropped_before_the_driver_saw_it_is_never_sent() {
    let peer = Peer::serve(&[], async |conn| {
        let second = conn.next_request().await;
        assert_eq!((second.path(), second.stream), ("/second", 1));
        conn.respond(second.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    drop(it.client.request(get("/first")));
    it.send(get("/second")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_request_on_the_way_that_is_dropped_is_reset() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        // Too late, and no harm.
        conn.respond(request.stream, 200, b"late").await;
        conn.reply(b"in time").await;
    });
    let it = agree(&peer).await;
    let mut request = it.client.request(get("/"));
    pending(&mut request).await;
    sent.wait().await;
    drop(request);
    let response = it.send(get("/next")).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"in time");
    it.finish(peer).await;
}

/// h2's `SendRequest` keeps a handle to the stream that fills the peer's limit, for as long as it is not asked for another.
#[tokio::test]
async fn a_request_that_fills_the_peers_limit_is_reset_when_dropped() {
    let (tell, mut sent) = signal();
    let (tell_reset, mut reset) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        tell_reset.now();
    });
    let it = agree(&peer).await;
    let mut request = it.client.request(get("/"));
    pending(&mut request).await;
    sent.wait().await;
    drop(request);
    // Nothing else is asked of the client.
    reset.wait().await;
    it.finish(peer).await;
}

/// h2#880, #881, #896: with a closed window and data in the buffer.
#[tokio::test]
async fn an_upload_that_waits_for_the_window_is_reset_when_dropped() {
    let (tell, mut blocked) = signal();
    let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 5)], async move |conn| {
        let request = conn.next_request().await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.barrier().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        conn.reply(b"").await;
    });
    let it = agree(&peer).await;
    let mut request = it.client.request(post("/", full(vec![0; 10_000])));
    pending(&mut request).await;
    blocked.wait().await;
    drop(request);
    it.send(get("/next")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn an_upload_that_waits_for_its_body_is_reset_when_dropped() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let mut request = it.client.request(post("/", body));
    pending(&mut request).await;
    sent.wait().await;
    drop(request);
    it.finish(peer).await;
}

/// Drops one request after the other, each when the peer says that it has it.
async fn cancel_often(it: &Fixture, sent: &mut Told, count: u32) {
    for n in 0..count {
        assert!(!it.client.is_unusable(), "after {n}");
        let request = it.client.request(get("/"));
        sent.wait().await;
        drop(request);
        it.idle().await;
    }
}

/// h2#856, hyper#4021: the budget is counted, and said, before anybody's patience is over.
#[tokio::test]
async fn a_storm_of_cancels_spends_the_reset_budget() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        for _ in 0..10 {
            let request = conn.next_request().await;
            tell.now();
            assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
            conn.send(Frame::ping(*b"next-one", false)).await;
        }
        conn.reply(b"").await;
    });
    let it = connect_with(&peer, Builder::new().reset_budget(10)).await;
    cancel_often(&it, &mut sent, 10).await;
    assert!(it.client.is_unusable());
    // It is still served: only a connector looks for another connection.
    it.send(get("/last")).await.unwrap();
    it.finish(peer).await;
}

/// h2#125: dropped with its HEADERS in h2's buffer, behind a transport that takes no more. The peer sees it reset or not at
/// all, and its compression state still fits: the next request is whole.
#[tokio::test]
async fn a_request_whose_headers_are_stuck_may_be_dropped() {
    let (io, peer) = tokio::io::duplex(200);
    let it = drive(io, Builder::new()).await;
    let mut stuck = get("/stuck");
    stuck
        .headers_mut()
        .insert("x-long", "x".repeat(1000).parse().unwrap());
    let mut stuck = it.client.request(stuck);
    pending(&mut stuck).await;
    settle().await;
    drop(stuck);
    let next = it.client.request(get("/next"));
    settle().await;
    let server = tokio::spawn(async move {
        let mut connection = h2::server::handshake(peer).await.unwrap();
        let mut served = Vec::new();
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted.unwrap();
            if request.uri().path() == "/stuck" {
                let reset = std::future::poll_fn(|cx| {
                    // Its RST_STREAM follows, which is read when the connection is polled.
                    let _ = connection.poll_closed(cx).is_ready();
                    respond.poll_reset(cx)
                });
                let reset = within("a reset", reset).await;
                assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
            } else {
                respond
                    .send_response(http::Response::new(()), true)
                    .unwrap();
            }
            served.push(request.uri().path().to_owned());
        }
        served
    });
    within("a response", next).await.unwrap();
    it.close().await.unwrap();
    let served = within("the server's end", server).await.unwrap();
    assert_eq!(served.last().unwrap(), "/next");
}

/// h2#939: what h2 charges for a small frame that comes too late is never given back, and by default 100 of them end the
/// connection, long before the reset budget does.
#[tokio::test]
async fn small_frames_that_come_too_late_do_not_end_the_connection() {
    const CANCELS: u32 = 800;
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        for _ in 0..CANCELS {
            let stream = conn.begin().await.stream;
            tell.now();
            conn.expect_rst(stream).await;
            for _ in 0..3 {
                conn.send(Frame::data(stream, *b"late", false)).await;
            }
        }
        conn.reply(b"").await;
    });
    let it = connect_with(&peer, Builder::new().reset_budget(CANCELS)).await;
    cancel_often(&it, &mut sent, CANCELS).await;
    it.send(get("/last")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_response_that_nobody_waits_for_any_more_is_let_go() {
    let (tell, mut arrived) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.begin().await;
        conn.ping().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = connect(&peer).await;
    // Polled once, so that its outcome comes while it lies around.
    let mut request = it.client.request(get("/"));
    pending(&mut request).await;
    arrived.wait().await;
    drop(request);
    it.finish(peer).await;
}

#[tokio::test]
async fn many_cancels_at_random_leave_nothing_behind() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 10)])
            .await;
        // Answers every other stream.
        let mut answered = 0;
        while let Some(frame) = conn.read().await {
            if frame.kind == kind::HEADERS && frame.stream % 4 == 1 {
                conn.respond(frame.stream, 200, b"x").await;
                answered += 1;
            }
        }
        answered
    });
    let it = connect_with(&peer, Builder::new().reset_budget(u32::MAX)).await;
    let mut random = 1_u64;
    for _ in 0..50 {
        let mut futures = Vec::new();
        for _ in 0..20 {
            futures.push(it.client.request(get("/")));
        }
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
        for _ in 0..random >> 60 {
            tokio::task::yield_now().await;
        }
        for mut future in futures {
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx))
            });
            if let std::task::Poll::Ready(outcome) = polled.await {
                drop(outcome.unwrap());
            }
        }
    }
    it.close().await.unwrap();
    assert!(peer.finish().await > 0);
}

#[tokio::test]
async fn a_dropped_client_does_not_cancel() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.barrier().await;
        conn.respond(request.stream, 200, b"").await;
        conn.expect_go_away().await;
    });
    let it = connect(&peer).await;
    let request = it.client.request(get("/"));
    drop(it.client);
    within("a response", request).await.unwrap();
    ended(it.driver).await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn a_lost_connection_fails_queued_requests_as_retry_safe_and_others_not() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 1)])
            .await;
        conn.next_request().await;
        conn.barrier().await;
        conn.abort();
    });
    let it = agree(&peer).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(get("/2"));
    let lost = ErrorKind::ConnectionLost;
    fails(within("an error", first).await, lost, false);
    fails(within("an error", second).await, lost, true);
    assert!(it.client.is_closed());
    // And so is what comes later.
    fails(it.send(get("/3")).await, lost, true);
    fails(it.close().await, lost, false);
    peer.finish().await;
}
