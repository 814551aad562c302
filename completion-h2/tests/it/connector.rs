//! The connector: one connection, replaced in time, and what is sent again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use completion_h2::client::{Builder, Connector, RequestTimeout};
use completion_h2::{Error, ErrorKind};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::clock::Clock;
use crate::common::{
    AnyBody, Outcome, Step, fails, full, get, pending, post, read, says, settle, signal, steps,
};
use crate::support::{Conn, Door, Frame, Peer, code, kind, lacks, setting, within};

const SHORT: Duration = Duration::from_millis(100);

fn connector<T>(peer: &Peer<T>, builder: Builder) -> Connector<AnyBody> {
    let addr = peer.addr();
    Connector::new(builder, move || TcpStream::connect(addr), tokio::spawn)
}

async fn send(connector: &Connector<AnyBody>, path: &str) -> Outcome {
    within("an outcome", connector.request(get(path))).await
}

async fn idle(connector: &Connector<AnyBody>) {
    crate::common::idle(|| connector.stats().pool).await;
}

async fn refuse(conn: &mut Conn) {
    let request = conn.next_request().await;
    conn.send(Frame::rst(request.stream, code::REFUSED_STREAM))
        .await;
}

/// Connections established, reconnects and requests sent again.
fn counts(connector: &Connector<AnyBody>) -> (u64, u64, u64) {
    let stats = connector.stats();
    let made = stats.connections_established;
    (made, stats.reconnects, stats.resent)
}

#[tokio::test]
async fn one_connection_is_made_at_the_first_request_and_used_for_all() {
    let peer = Peer::start_many(async |mut door: Door| {
        let mut conn = door.welcome(&[]).await;
        for _ in 0..3 {
            conn.reply(b"").await;
        }
        conn.expect_go_away().await;
        conn.expect_eof().await;
    });
    let connector = connector(&peer, Builder::new());
    assert_eq!(connector.stats().connections_established, 0);
    assert_eq!(connector.stats().settings_ack, None);
    for _ in 0..3 {
        send(&connector.clone(), "/").await.unwrap();
    }
    idle(&connector).await;
    assert_eq!(counts(&connector), (1, 0, 0));
    let stats = connector.stats();
    assert!(stats.settings_ack.is_some());
    assert_eq!(stats.pool.rented, 3);
    drop(connector);
    peer.finish().await;
}

#[tokio::test]
async fn a_goaway_replaces_the_connection_and_what_was_not_processed_is_sent_again() {
    let (tell, mut sent_again) = signal();
    let peer = Peer::start_many(async move |mut door: Door| {
        let mut old = door.welcome(&[]).await;
        let first = old.next_request().await;
        let second = old.next_request().await;
        old.send(Frame::go_away(first.stream, code::NO_ERROR, b""))
            .await;
        let mut new = door.welcome(&[]).await;
        let again = new.next_request().await;
        assert_eq!(again.fields, second.fields);
        tell.now();
        let (body, _) = new.body(again.stream).await;
        assert_eq!(body, b"the body");
        new.respond(again.stream, 200, b"new").await;
        // The old one finishes what is under way.
        old.respond(first.stream, 200, b"old").await;
        old.expect_eof().await;
        new.expect_eof().await;
    });
    let connector = connector(&peer, Builder::new());
    let first = connector.request(get("/1"));
    let (give, body) = Delayed::body();
    let mut request = post("/2", body);
    request.headers_mut().insert("x-kept", "1".parse().unwrap());
    let second = tokio::spawn(connector.request(request));
    sent_again.wait().await;
    give.send("the body").unwrap();
    let second = within("a response", second).await.unwrap().unwrap();
    assert_eq!(read(second).await.unwrap(), b"new");
    let first = within("a response", first).await.unwrap();
    assert_eq!(read(first).await.unwrap(), b"old");
    idle(&connector).await;
    assert_eq!(counts(&connector), (2, 1, 1));
    drop(connector);
    peer.finish().await;
}

/// A body whose data comes when the test says so, and which is untouched until then.
struct Delayed(Option<tokio::sync::oneshot::Receiver<&'static str>>);

impl Delayed {
    fn body() -> (tokio::sync::oneshot::Sender<&'static str>, AnyBody) {
        let (give, given) = tokio::sync::oneshot::channel();
        (give, http_body_util::BodyExt::boxed(Self(Some(given))))
    }
}

impl http_body::Body for Delayed {
    type Data = bytes::Bytes;
    type Error = crate::common::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let Some(given) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let data = ready!(Pin::new(given).poll(cx))?;
        self.0 = None;
        Poll::Ready(Some(Ok(http_body::Frame::data(data.into()))))
    }
}

#[tokio::test]
async fn a_refused_request_is_sent_again_on_the_same_connection() {
    let peer = Peer::serve(&[], async |conn| {
        for _ in 0..3 {
            refuse(conn).await;
        }
        conn.reply(b"at last").await;
    });
    let connector = connector(&peer, Builder::new());
    let response = send(&connector, "/").await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"at last");
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 3);
    drop(connector);
    peer.finish().await;
}

/// RFC 8441: an extended CONNECT is sent again with its protocol.
#[tokio::test]
async fn a_refused_extended_connect_is_sent_again_whole() {
    let peer = Peer::serve(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)], async |conn| {
        let refused = conn.next_request().await;
        assert_eq!(refused.get(":protocol"), Some("websocket"));
        conn.send(Frame::rst(refused.stream, code::REFUSED_STREAM))
            .await;
        let again = conn.reply(b"hello").await;
        assert_eq!(again.fields, refused.fields);
    });
    let connector = connector(&peer, Builder::new());
    let mut request = get("/chat");
    *request.method_mut() = http::Method::CONNECT;
    let protocol = h2::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let response = within("a response", connector.request(request)).await;
    assert_eq!(read(response.unwrap()).await.unwrap(), b"hello");
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 1);
    drop(connector);
    peer.finish().await;
}

#[tokio::test]
async fn what_is_refused_too_often_fails() {
    let peer = Peer::serve(&[], async |conn| {
        for _ in 0..4 {
            refuse(conn).await;
        }
        let rest = conn.expect_eof().await;
        lacks(&rest, kind::HEADERS);
    });
    let connector = connector(&peer, Builder::new());
    fails(send(&connector, "/").await, ErrorKind::Refused, true);
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 3);
    drop(connector);
    peer.finish().await;
}

#[tokio::test]
async fn without_resends_the_first_refusal_counts() {
    let peer = Peer::serve(&[], async |conn| {
        refuse(conn).await;
    });
    let connector = connector(&peer, Builder::new().resend_limit(0));
    fails(send(&connector, "/").await, ErrorKind::Refused, true);
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 0);
    drop(connector);
    peer.finish().await;
}

#[tokio::test]
async fn what_may_have_been_processed_is_never_sent_again() {
    let peer = Peer::start_many(async |mut door: Door| {
        let mut conn = door.welcome(&[]).await;
        let reset = conn.next_request().await;
        conn.send(Frame::rst(reset.stream, code::CANCEL)).await;
        let touched = conn.next_request().await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.send(Frame::rst(touched.stream, code::REFUSED_STREAM))
            .await;
        conn.next_request().await;
        conn.abort();
    });
    let connector = connector(&peer, Builder::new());
    fails(send(&connector, "/").await, ErrorKind::Reset, false);
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let touched = within("an error", connector.request(post("/", body))).await;
    fails(touched, ErrorKind::Refused, true);
    let lost = ErrorKind::ConnectionLost;
    fails(send(&connector, "/").await, lost, false);
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 0);
    peer.finish().await;
}

#[tokio::test]
async fn requests_in_the_queue_of_a_lost_connection_are_sent_again() {
    let peer = Peer::start_many(async |mut door: Door| {
        let mut old = door.welcome(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await;
        old.reply(b"").await;
        let lost = old.next_request().await;
        assert_eq!(lost.path(), "/lost");
        old.barrier().await;
        old.abort();
        let mut new = door.welcome(&[]).await;
        let queued = new.next_request().await;
        assert_eq!(queued.path(), "/queued");
        let (body, _) = new.body(queued.stream).await;
        assert_eq!(body, b"intact");
        new.respond(queued.stream, 200, b"").await;
        new.expect_eof().await;
    });
    let connector = connector(&peer, Builder::new());
    send(&connector, "/").await.unwrap();
    let lost = connector.request(get("/lost"));
    let queued = connector.request(post("/queued", full("intact")));
    let kind = ErrorKind::ConnectionLost;
    fails(within("an error", lost).await, kind, false);
    within("a response", queued).await.unwrap();
    idle(&connector).await;
    assert_eq!(connector.stats().resent, 1);
    drop(connector);
    peer.finish().await;
}

/// The connection is replaced before the peer's or h2's patience with resets is over, and nothing fails.
#[tokio::test]
async fn a_spent_reset_budget_replaces_the_connection() {
    let (tell, mut sent) = signal();
    let peer = Peer::start_many(async move |mut door: Door| {
        let mut old = door.welcome(&[]).await;
        let kept = old.next_request().await;
        for _ in 0..5 {
            let request = old.next_request().await;
            tell.now();
            assert_eq!(old.expect_rst(request.stream).await, code::CANCEL);
        }
        let mut new = door.welcome(&[]).await;
        new.reply(b"new").await;
        old.respond(kept.stream, 200, b"kept").await;
        let (_, code) = old.expect_go_away().await;
        assert_eq!(code, code::NO_ERROR);
        old.expect_eof().await;
        new.expect_eof().await;
    });
    let connector = connector(&peer, Builder::new().reset_budget(5));
    let mut kept = connector.request(get("/kept"));
    pending(&mut kept).await;
    for _ in 0..5 {
        let request = connector.request(get("/"));
        sent.wait().await;
        drop(request);
    }
    // All but the one that is kept.
    let home = async {
        while connector.stats().pool.in_use > 1 {
            tokio::task::yield_now().await;
        }
    };
    within("what was dropped to come home", home).await;
    let response = send(&connector, "/new").await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"new");
    let response = within("a response", kept).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"kept");
    idle(&connector).await;
    assert_eq!(counts(&connector), (2, 1, 0));
    drop(connector);
    peer.finish().await;
}

/// As nginx does with its default of 1000 requests per connection.
#[tokio::test]
async fn a_server_that_goes_away_every_few_requests_loses_nothing() {
    const CONNECTIONS: u32 = 20;
    let peer = Peer::start_many(async |mut door: Door| {
        let mut finishing = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut conn = door.accept().await;
            finishing.push(tokio::spawn(async move {
                conn.handshake(&[]).await;
                for n in 0..10 {
                    let request = conn.next_request().await;
                    if n == 9 {
                        conn.send(Frame::go_away(request.stream, code::NO_ERROR, b""))
                            .await;
                    }
                    conn.respond(request.stream, 200, b"").await;
                }
                conn.expect_eof().await;
            }));
        }
        for task in finishing {
            task.await.unwrap();
        }
    });
    let connector = connector(&peer, Builder::new().resend_limit(20));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let connector = connector.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..50 {
                send(&connector, "/").await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    idle(&connector).await;
    assert_eq!(
        connector.stats().connections_established,
        u64::from(CONNECTIONS)
    );
    drop(connector);
    peer.finish().await;
}

fn refusing(calls: &Arc<AtomicUsize>) -> Connector<AnyBody> {
    let calls = Arc::clone(calls);
    let connect = move || {
        calls.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::task::yield_now().await;
            Err::<TcpStream, _>(std::io::Error::other("no route"))
        }
    };
    Connector::new(Builder::new(), connect, tokio::spawn)
}

#[tokio::test]
async fn a_failure_to_connect_reaches_all_who_wait_with_its_cause() {
    let calls = Arc::new(AtomicUsize::new(0));
    let connector = refusing(&calls);
    let waiting: Vec<_> = (0..10).map(|_| connector.request(get("/"))).collect();
    for future in waiting {
        let error = fails(within("an error", future).await, ErrorKind::Connect, true);
        assert!(error.is_connect());
        says(&error, "no route");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one attempt for all");
    fails(send(&connector, "/").await, ErrorKind::Connect, true);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "another one for the next");
    assert_eq!(counts(&connector), (0, 0, 0));
    assert_eq!(connector.stats().pool.in_use, 0);
}

/// A waker that panics, while those behind it are told.
#[tokio::test]
async fn a_failure_to_connect_reaches_all_whoever_panics_at_it() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("the waker was told to panic");
        }
    }

    let connector = refusing(&Arc::new(AtomicUsize::new(0)));
    let mut requests = [(); 3].map(|()| connector.request(get("/")));
    for bomb in &mut requests[..2] {
        let waker = Waker::from(Arc::new(Bomb));
        let polled = Pin::new(bomb).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    settle().await;
    for request in requests {
        fails(within("an error", request).await, ErrorKind::Connect, true);
    }
    assert_eq!(connector.stats().pool.in_use, 0);
}

#[tokio::test]
async fn requests_time_out_and_are_cancelled_while_connecting() {
    let connect = || std::future::pending::<std::io::Result<TcpStream>>();
    let clock = Clock::new();
    let connector = Connector::<AnyBody>::new(clock.builder(), connect, tokio::spawn);
    let mut request = get("/");
    request.extensions_mut().insert(RequestTimeout(SHORT));
    let dropped = connector.request(get("/"));
    let timed_out = connector.request(request);
    settle().await;
    clock.advance(SHORT);
    let timed_out = within("an error", timed_out).await;
    fails(timed_out, ErrorKind::Timeout, true);
    drop(dropped);
    idle(&connector).await;
}

#[tokio::test]
async fn a_dropped_task_fails_who_waits() {
    let connector = Connector::<AnyBody>::new(
        Builder::new(),
        std::future::pending::<std::io::Result<TcpStream>>,
        drop,
    );
    let error = send(&connector, "/").await;
    // Sent again a few times, each time to another task that is dropped.
    fails(error, ErrorKind::Abandoned, true);
    assert_eq!(connector.stats().resent, 3);
    assert_eq!(connector.stats().pool.in_use, 0);
}

/// An executor that was shut down drops every task. The service is ready then: its request tells what is wrong.
#[tokio::test]
async fn the_service_does_not_insist_on_a_connection_that_is_dropped_at_once() {
    let spawned = Arc::new(AtomicUsize::new(0));
    let spawn = {
        let spawned = Arc::clone(&spawned);
        move |task| {
            assert!(spawned.fetch_add(1, Ordering::SeqCst) < 10, "for ever");
            drop(task);
        }
    };
    let mut connector = Connector::<AnyBody>::new(
        Builder::new(),
        std::future::pending::<std::io::Result<TcpStream>>,
        spawn,
    );
    ready(&mut connector).await.unwrap();
    assert_eq!(spawned.load(Ordering::SeqCst), 1);
    let error = within("an error", connector.call(get("/"))).await;
    fails(error, ErrorKind::Abandoned, true);
    assert_eq!(connector.stats().pool.in_use, 0);
}

#[tokio::test]
async fn the_service_reserves_a_place_and_follows_the_connection() {
    let (tell, mut gone) = signal();
    let peer = Peer::start_many(async move |mut door: Door| {
        for _ in 0..2 {
            let mut conn = door.welcome(&[]).await;
            conn.reply(b"").await;
            conn.send(Frame::go_away(1, code::NO_ERROR, b"")).await;
            conn.expect_eof().await;
            tell.now();
        }
    });
    let mut connector = connector(&peer, Builder::new().queue_capacity(1));
    for _ in 0..2 {
        ready(&mut connector).await.unwrap();
        let mut other = connector.clone();
        // The only place is taken.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(other.poll_ready(&mut cx).is_pending());
        let response = connector.call(get("/"));
        within("a response", response).await.unwrap();
        ready(&mut other).await.unwrap();
        drop(other);
        // The GOAWAY follows the response.
        gone.wait().await;
    }
    drop(connector);
    peer.finish().await;
}

async fn ready(connector: &mut Connector<AnyBody>) -> Result<(), Error> {
    let ready = std::future::poll_fn(|cx| connector.poll_ready(cx));
    within("readiness", ready).await
}

#[tokio::test]
async fn a_resent_request_keeps_its_deadline() {
    let (tell, mut sent) = signal();
    let (go, mut late) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.next_request().await;
        tell.now();
        late.wait().await;
        conn.send(Frame::rst(request.stream, code::REFUSED_STREAM))
            .await;
        let again = conn.next_request().await;
        tell.now();
        assert_eq!(conn.expect_rst(again.stream).await, code::CANCEL);
    });
    let (clock, addr) = (Clock::new(), peer.addr());
    let connector = Connector::new(
        clock.builder().timeout(2 * SHORT),
        move || TcpStream::connect(addr),
        tokio::spawn,
    );
    let request = tokio::spawn(connector.request(get("/")));
    sent.wait().await;
    clock.advance(SHORT);
    go.now();
    sent.wait().await;
    clock.advance(SHORT);
    let outcome = within("an error", request).await.unwrap();
    fails(outcome, ErrorKind::Timeout, false);
    idle(&connector).await;
    drop(connector);
    peer.finish().await;
}
