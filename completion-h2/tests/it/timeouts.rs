//! Deadlines: in the queue, for a place in it, on the way. Those in the body are in `bodies.rs`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use completion_h2::ErrorKind;
use completion_h2::client::RequestTimeout;
use tokio::io::AsyncWriteExt;

use crate::clock::Clock;
use crate::common::{
    AnyBody, Fixture, Step, agree_with, connect_with, drive, ended, fails, get, idle, opening,
    pending, post, read, settle, signal, steps,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

const SHORT: Duration = Duration::from_millis(100);
const MOMENT: Duration = Duration::from_millis(1);

/// A request that may take so long.
fn limited(timeout: Duration) -> http::Request<AnyBody> {
    let mut request = get("/limited");
    request.extensions_mut().insert(RequestTimeout(timeout));
    request
}

#[tokio::test]
async fn a_silent_server_ends_in_timeouts_and_resets() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        for _ in 0..10 {
            let request = conn.next_request().await;
            tell.now();
            assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        }
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().timeout(SHORT)).await;
    for _ in 0..10 {
        let mut request = it.client.request(get("/"));
        sent.wait().await;
        clock.advance(SHORT - MOMENT);
        settle().await;
        pending(&mut request).await;
        clock.advance(MOMENT);
        let error = fails(within("an error", request).await, ErrorKind::Timeout, false);
        assert!(error.is_timeout());
    }
    it.finish(peer).await;
}

/// The time in the queue counts, and what times out there is never sent.
#[tokio::test]
async fn a_queued_request_times_out_unsent() {
    let (go, mut timed_out) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let first = conn.next_request().await;
        timed_out.wait().await;
        let rest = conn.barrier().await;
        lacks(&rest, kind::HEADERS);
        conn.respond(first.stream, 200, b"").await;
        assert_eq!(conn.reply(b"").await.path(), "/3");
    });
    let clock = Clock::new();
    let it = agree_with(&peer, clock.builder()).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(limited(SHORT));
    clock.advance(SHORT);
    fails(within("an error", second).await, ErrorKind::Timeout, true);
    let third = it.client.request(get("/3"));
    go.now();
    within("a response", first).await.unwrap();
    within("a response", third).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_request_that_waits_for_a_place_in_the_queue_times_out() {
    let (tell, mut sent) = signal();
    let (go, mut timed_out) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let first = conn.next_request().await;
        tell.now();
        timed_out.wait().await;
        conn.respond(first.stream, 200, b"").await;
        assert_eq!(conn.reply(b"").await.path(), "/2");
    });
    let clock = Clock::new();
    let it = agree_with(&peer, clock.builder().queue_capacity(1)).await;
    let first = it.client.request(get("/1"));
    sent.wait().await;
    let second = it.client.request(get("/2"));
    // The driver has seen it, and sleeps again.
    settle().await;
    let mut third = it.client.request(limited(SHORT));
    assert!(format!("{third:?}").contains("waiting for a place"));
    pending(&mut third).await;
    // It has heard of the deadline, which only moves the alarm.
    settle().await;
    clock.advance(SHORT);
    // With neither a stream nor a place for it.
    fails(within("an error", third).await, ErrorKind::Timeout, true);
    go.now();
    within("a response", first).await.unwrap();
    within("a response", second).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn the_requests_own_time_goes_before_the_builders() {
    let (tell, mut sent_both) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let first = conn.next_request().await;
        let second = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(first.stream).await, code::CANCEL);
        conn.respond(second.stream, 200, b"slow").await;
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().timeout(SHORT)).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(limited(2 * SHORT));
    sent_both.wait().await;
    clock.advance(SHORT);
    fails(within("an error", first).await, ErrorKind::Timeout, false);
    let response = within("a response", second).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"slow");
    it.finish(peer).await;
}

/// Later requests with earlier deadlines move the one timer forward; ended requests do not fire it for others
/// (microsoft/reverse-proxy#876).
#[tokio::test]
async fn deadlines_in_any_order_are_kept() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        while conn.read().await.is_some() {}
    });
    let clock = Clock::new();
    let it = agree_with(&peer, clock.builder()).await;
    let mut waits: Vec<_> = [4, 1, 3, 2, 1, 3]
        .into_iter()
        .map(|times| (times, it.client.request(limited(times * SHORT))))
        .collect();
    settle().await;
    for passed in 1..=4 {
        clock.advance(SHORT - MOMENT);
        settle().await;
        for (_, wait) in &mut waits {
            pending(wait).await;
        }
        clock.advance(MOMENT);
        let due: Vec<_> = waits.extract_if(.., |it| it.0 == passed).collect();
        assert!(!due.is_empty());
        for (_, wait) in due {
            fails(within("an error", wait).await, ErrorKind::Timeout, false);
        }
    }
    it.finish(peer).await;
}

#[tokio::test]
async fn an_upload_times_out() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().timeout(SHORT)).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let upload = it.client.request(post("/", body));
    sent.wait().await;
    clock.advance(SHORT);
    fails(within("an error", upload).await, ErrorKind::Timeout, false);
    it.finish(peer).await;
}

/// A server that accepts and says nothing at all, not even SETTINGS.
#[tokio::test]
async fn a_mute_server_ends_in_timeouts() {
    let peer = Peer::start(async |mut conn| {
        conn.preface().await;
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().timeout(SHORT)).await;
    let request = it.client.request(get("/"));
    settle().await;
    clock.advance(SHORT);
    fails(within("an error", request).await, ErrorKind::Timeout, false);
    it.finish(peer).await;
}

/// A server that does not read, until nothing can be written any more.
#[tokio::test]
async fn a_blocked_server_ends_in_timeouts() {
    let clock = Clock::new();
    let (io, peer) = tokio::io::duplex(1000);
    let builder = clock.builder().timeout(SHORT);
    let Fixture { client, driver, .. } = drive(io, builder).await;
    let request = |path: &str| {
        let mut request = get(path);
        let value = "x".repeat(15_000).parse().unwrap();
        request.headers_mut().insert("x-long", value);
        client.request(request)
    };
    // More than there is room for in the queue.
    let futures: Vec<_> = (0..400).map(|n| request(&format!("/{n}"))).collect();
    settle().await;
    clock.advance(SHORT);
    for future in futures {
        let error = within("an error", future).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    idle(|| client.pool_stats()).await;
    drop(client);
    settle().await;
    // Closing takes no longer than the grace.
    clock.advance(Duration::from_secs(1));
    let _ = ended(driver).await;
    drop(peer);
}

/// An earlier deadline, of something that ended in time, makes the one timer go off before the grace is over.
#[tokio::test]
async fn closing_ends_after_the_grace_although_the_timer_goes_off_before() {
    let clock = Clock::new();
    let (io, mut peer) = tokio::io::duplex(10_000);
    let limit = clock.builder().settings_timeout(10 * SHORT);
    let mut it = drive(io, limit).await;
    settle().await;
    peer.write_all(&opening(&[])).await.unwrap();
    within("the acknowledgment", &mut it.ack).await.unwrap();
    clock.advance(9 * SHORT);
    // The peer, which is not gone, never closes its side.
    drop(it.client);
    settle().await;
    clock.advance(SHORT);
    settle().await;
    clock.advance(Duration::from_secs(1) - SHORT - MOMENT);
    settle().await;
    assert!(!it.driver.is_finished());
    clock.advance(MOMENT);
    ended(it.driver).await.unwrap();
}

/// A stream may time out in the pass that looks at the clock a second time: its place is not forgotten.
#[tokio::test]
async fn a_place_that_a_timeout_frees_late_in_a_pass_is_taken() {
    /// Time that passes while the driver fails a request.
    struct Passes(Clock);

    impl Wake for Passes {
        fn wake(self: Arc<Self>) {
            self.0.advance(SHORT);
        }
    }

    let clock = Clock::new();
    let (io, mut peer) = tokio::io::duplex(10_000);
    let mut it = drive(io, clock.builder()).await;
    let limit = [(setting::MAX_CONCURRENT_STREAMS, 1)];
    peer.write_all(&opening(&limit)).await.unwrap();
    within("the acknowledgment", &mut it.ack).await.unwrap();
    let mut unread = it.client.request(limited(2 * SHORT));
    pending(&mut unread).await;
    settle().await;
    // `:status: 200` of HPACK's static table.
    let response = [
        Frame::headers(1, [0x88], false),
        Frame::data(1, *b"x", true),
    ];
    let response = response.map(|frame| frame.encode()).concat();
    peer.write_all(&response).await.unwrap();
    let unread = within("a response", unread).await.unwrap();
    let mut queued = it.client.request(limited(SHORT));
    let waker = Waker::from(Arc::new(Passes(clock.clone())));
    let polled = Pin::new(&mut queued).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let next = it.client.request(get("/next"));
    settle().await;
    clock.advance(SHORT);
    settle().await;
    // To answer what was not sent would be a protocol error.
    let response = Frame::headers(3, [0x88], true);
    peer.write_all(&response.encode()).await.unwrap();
    within("a response", next).await.unwrap();
    fails(queued.await, ErrorKind::Timeout, true);
    fails(read(unread).await, ErrorKind::Timeout, false);
    drop((it.client, peer));
    let _ = ended(it.driver).await;
}

/// The one timer goes on to the next deadline of those that wait, also when no stream has one.
#[tokio::test]
async fn queued_requests_time_out_one_after_the_other() {
    let (go, mut timed_out) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        let first = conn.next_request().await;
        timed_out.wait().await;
        conn.respond(first.stream, 200, b"").await;
    });
    let clock = Clock::new();
    let it = agree_with(&peer, clock.builder()).await;
    let first = it.client.request(get("/1"));
    let queued: Vec<_> = [SHORT, 2 * SHORT, 3 * SHORT]
        .into_iter()
        .map(|timeout| it.client.request(limited(timeout)))
        .collect();
    settle().await;
    for future in queued {
        clock.advance(SHORT);
        fails(within("an error", future).await, ErrorKind::Timeout, true);
    }
    // There never was a stream for them.
    go.now();
    within("a response", first).await.unwrap();
    it.finish(peer).await;
}

/// What has arrived wins, also over a deadline that has passed before anybody looked at either: an executor may be held up.
#[tokio::test]
async fn a_response_that_is_there_wins_over_a_deadline_that_passed() {
    let clock = Clock::new();
    let (io, mut peer) = tokio::io::duplex(10_000);
    let it = drive(io, clock.builder()).await;
    let mut request = it.client.request(limited(SHORT));
    pending(&mut request).await;
    settle().await;
    // `:status: 204` of HPACK's static table.
    let response = Frame::headers(1, [0x89], true);
    let bytes = [Frame::settings(&[]).encode(), response.encode()].concat();
    // Nothing else runs between these two.
    peer.write_all(&bytes).await.unwrap();
    clock.advance(SHORT);
    let response = within("a response", request).await.unwrap();
    assert_eq!(response.status(), 204);
    drop((it.client, peer));
    let _ = ended(it.driver).await;
}
