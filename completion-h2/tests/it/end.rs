//! The end of the driver: dropped, panicked, done.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use completion_h2::client::Builder;
use completion_h2::{Error, ErrorKind};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::common::{
    Fixture, Step, agree, agree_with, connect, connect_with, drive, ended, fails, full, get,
    opening, pending, post, read, says, settle, signal, steps, undriven,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

#[tokio::test]
async fn a_driver_dropped_before_its_first_poll_fails_everything() {
    let peer = Peer::start(async |mut conn| {
        conn.preface().await;
        conn.expect_eof().await;
    });
    let (client, mut driver) = undriven(&peer, Builder::new()).await;
    let ack = driver.settings_ack().unwrap();
    let change = client.set_initial_window_size(1);
    let request = client.request(get("/"));
    drop(driver);
    let gone = ErrorKind::Abandoned;
    let error = fails(within("an error", request).await, gone, true);
    assert!(error.is_abandoned());
    assert!(error.to_string().contains("dropped"), "{error}");
    fails(within("an error", ack).await, gone, false);
    fails(within("an error", change).await, gone, false);
    let late = client.request(get("/"));
    fails(within("an error", late).await, gone, true);
    assert!(client.is_closed());
    assert_eq!(client.pool_stats().in_use, 0);
    peer.finish().await;
}

/// h2 wakes all streams under its lock when it is dropped. An executor may do anything inside of a wake.
#[tokio::test]
async fn a_driver_dropped_asleep_wakes_no_executor() {
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let (io, _peer) = tokio::io::duplex(4096);
    let (client, mut driver) = Builder::new().handshake(io).await.unwrap();
    let request = client.request(get("/"));
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let polled = Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "not asleep");
    drop(driver);
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    fails(
        within("an error", request).await,
        ErrorKind::Abandoned,
        false,
    );
}

#[tokio::test]
async fn a_dropped_driver_fails_what_is_queued_under_way_and_read() {
    let (tell, mut sent_both) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 2)], async move |conn| {
        conn.begin().await;
        conn.next_request().await;
        tell.now();
    });
    let it = agree(&peer).await;
    let response = it.send(get("/body")).await.unwrap();
    let reading = tokio::spawn(read(response));
    let mut sent = it.client.request(get("/sent"));
    let mut queued = it.client.request(get("/queued"));
    pending(&mut sent).await;
    pending(&mut queued).await;
    sent_both.wait().await;
    it.driver.abort();
    let gone = ErrorKind::Abandoned;
    fails(within("an error", sent).await, gone, false);
    fails(within("an error", queued).await, gone, true);
    fails(within("an error", reading).await.unwrap(), gone, false);
    assert_eq!(it.client.pool_stats().in_use, 0);
    peer.finish().await;
}

#[tokio::test]
async fn a_driver_that_panics_in_a_body_fails_everything() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 3)], async |conn| {
        conn.begin().await;
    });
    let it = agree(&peer).await;
    let response = it.send(get("/body")).await.unwrap();
    let unread = it.client.request(get("/sent"));
    let panics = it.client.request(post("/panics", steps([Step::Panic])));
    let queued = it.client.request(get("/queued"));
    let gone = ErrorKind::Abandoned;
    let error = fails(within("an error", panics).await, gone, false);
    says(&error, "panicked");
    fails(within("an error", unread).await, gone, false);
    fails(within("an error", queued).await, gone, true);
    fails(read(response).await, gone, false);
    assert_eq!(it.client.pool_stats().in_use, 0);
    let panicked = within("the driver's end", it.driver).await;
    assert!(panicked.unwrap_err().is_panic());
    peer.finish().await;
}

/// Whoever catches the panic may keep the driver.
#[tokio::test]
async fn a_driver_that_panicked_has_ended_although_it_is_kept() {
    let (io, _peer) = tokio::io::duplex(4096);
    let (client, mut driver) = Builder::new().handshake(io).await.unwrap();
    let sent = client.request(get("/sent"));
    let panics = client.request(post("/panics", steps([Step::Panic])));
    let mut poll = || {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut driver).poll(&mut cx)
    };
    std::panic::catch_unwind(AssertUnwindSafe(&mut poll)).unwrap_err();
    let gone = ErrorKind::Abandoned;
    fails(within("an error", sent).await, gone, false);
    fails(within("an error", panics).await, gone, false);
    let late = client.request(get("/late"));
    fails(within("an error", late).await, gone, true);
    let Poll::Ready(result) = poll() else {
        panic!("it has not ended");
    };
    says(&fails(result, gone, false), "panicked");
}

/// Whoever is woken for that panics as well: the next poll sees to the rest.
#[tokio::test]
async fn a_driver_that_panicked_and_woke_one_that_panics_has_ended_at_the_next_poll() {
    let (io, _peer) = tokio::io::duplex(4096);
    let (client, mut driver) = Builder::new().handshake(io).await.unwrap();
    // The first is sent and panics; those behind it wait for the answer, and are failed in turn.
    let panics = client.request(post("/panics", steps([Step::Panic])));
    let [mut bomb, other] = ["/bomb", "/other"].map(|path| client.request(get(path)));
    let waker = Waker::from(Arc::new(Bomb));
    let polled = Pin::new(&mut bomb).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let mut poll = || {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut driver).poll(&mut cx)
    };
    std::panic::catch_unwind(AssertUnwindSafe(&mut poll)).unwrap_err();
    let gone = ErrorKind::Abandoned;
    let Poll::Ready(result) = poll() else {
        panic!("it has not ended");
    };
    says(&fails(result, gone, false), "panicked");
    for request in [panics, bomb, other] {
        let error = within("an error", request).await.unwrap_err();
        assert_eq!(error.kind(), gone);
    }
    assert_eq!(client.pool_stats().in_use, 0);
}

/// The mutex inside h2 is poisoned by a buffer that panics under it: nothing may touch h2 any more, also when the unwinding
/// is over before the driver is dropped.
#[tokio::test]
async fn a_driver_that_panics_under_h2s_lock_fails_everything() {
    panic_under_h2s_lock(&[], false).await;
}

/// h2 still has a handle of its own to the stream that fills the limit.
#[tokio::test]
async fn a_driver_that_panics_under_h2s_lock_at_the_peers_limit_fails_everything() {
    panic_under_h2s_lock(&[(setting::MAX_CONCURRENT_STREAMS, 2)], true).await;
}

/// Whether the last request `waits` for its stream.
async fn panic_under_h2s_lock(parameters: &'static [(u16, u32)], waits: bool) {
    struct Shrapnel;
    impl bytes::Buf for Shrapnel {
        fn remaining(&self) -> usize {
            1
        }
        // h2 asks as it writes the frame, under its lock.
        fn chunk(&self) -> &[u8] {
            panic!("the buffer was told to panic")
        }
        fn advance(&mut self, _: usize) {}
    }
    /// Has data once it is told so, if anybody can.
    struct Body(Option<oneshot::Receiver<()>>);
    impl http_body::Body for Body {
        type Data = Shrapnel;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Shrapnel>, Self::Error>>> {
            let Some(told) = &mut self.0 else {
                return Poll::Pending;
            };
            ready!(Pin::new(told).poll(cx)).unwrap();
            self.0 = None;
            Poll::Ready(Some(Ok(http_body::Frame::data(Shrapnel))))
        }
    }
    let request = |told| {
        let request = http::Request::get("http://peer/");
        request.body(Body(told)).unwrap()
    };

    let peer = Peer::serve(parameters, async |conn| {
        conn.begin().await;
    });
    let io = crate::common::dial(&peer).await;
    let (client, driver) = Builder::new().handshake(io).await.unwrap();
    // Catches the panic first, and polls and drops the driver later.
    let driver = tokio::spawn(async move {
        let mut driver = driver;
        let panicked = std::future::poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| Pin::new(&mut driver).poll(cx).is_ready());
            match std::panic::catch_unwind(poll) {
                Ok(ready) => {
                    assert!(!ready, "the driver ended by itself");
                    Poll::Pending
                }
                Err(panicked) => Poll::Ready(panicked),
            }
        });
        let panicked = panicked.await;
        // Not by what h2 says of its lock.
        assert_eq!(
            panicked.downcast_ref(),
            Some(&"the buffer was told to panic")
        );
        let result = driver.await;
        says(&fails(result, ErrorKind::Abandoned, false), "panicked");
    });
    let (tell, told) = oneshot::channel();
    let open = within("a response", client.request(request(Some(told))))
        .await
        .unwrap();
    // The driver sends the next head and the data in one go.
    let next = client.request(request(None));
    let last = client.request(request(None));
    tell.send(()).unwrap();
    let gone = ErrorKind::Abandoned;
    within("the driver's end", driver).await.unwrap();
    fails(within("an error", next).await, gone, false);
    fails(within("an error", last).await, gone, waits);
    let cut = http_body_util::BodyExt::collect(open.into_body()).await;
    fails(cut, gone, false);
    peer.finish().await;
}

/// The connection is being closed for another cause then. What was received is not touched for that either.
#[tokio::test]
async fn a_driver_that_panics_under_h2s_lock_while_closing_leaves_bodies_in_peace() {
    struct Mine(Vec<u8>);
    impl AsRef<[u8]> for Mine {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Mine {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "the data was told to panic");
        }
    }

    let (tell, mut both_sent) = signal();
    let peer = Peer::start(async move |mut conn| {
        conn.handshake_without_ack(&[]).await;
        conn.begin().await;
        conn.next_request().await;
        tell.now();
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let limit = Duration::from_secs(1);
    let it = connect_with(&peer, clock.builder().settings_timeout(limit)).await;
    let body = it.send(get("/body")).await.unwrap();
    // More than the window, so that h2 keeps some, and drops it under its lock.
    let data = bytes::Bytes::from_owner(Mine(vec![0; 1 << 17]));
    let upload = it.client.request(post("/upload", full(data)));
    both_sent.wait().await;
    settle().await;
    clock.advance(limit);
    let kind = ErrorKind::SettingsTimeout;
    fails(within("an error", upload).await, kind, false);
    let panicked = within("the driver's end", it.driver).await;
    assert!(panicked.unwrap_err().is_panic());
    fails(read(body).await, kind, false);
    peer.finish().await;
}

#[tokio::test]
async fn without_clients_the_connection_is_closed_after_what_is_under_way() {
    let peer = Peer::serve(&[], async |conn| {
        let first = conn.next_request().await;
        let rest = conn.barrier().await;
        lacks(&rest, kind::GOAWAY);
        conn.respond(first.stream, 200, b"").await;
        let (_, code) = conn.expect_go_away().await;
        assert_eq!(code, code::NO_ERROR);
    });
    let it = connect(&peer).await;
    let request = it.client.request(get("/"));
    let clone = it.client.clone();
    drop(it.client);
    drop(clone);
    within("a response", request).await.unwrap();
    ended(it.driver).await.unwrap();
    peer.finish().await;
}

/// A socket that is closed with something unread resets the connection, and takes the GOAWAY back.
#[tokio::test]
async fn what_the_peer_says_after_the_goodbye_is_read_and_thrown_away() {
    let (io, mut peer) = tokio::io::duplex(1 << 20);
    let it = drive(io, Clock::new().builder()).await;
    peer.write_all(&opening(&[])).await.unwrap();
    settle().await;
    drop(it.client);
    settle().await;
    // More than in one poll.
    peer.write_all(&[0; 1 << 18]).await.unwrap();
    settle().await;
    assert!(!it.driver.is_finished());
    drop(peer);
    ended(it.driver).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_answers_the_goodbye_with_a_reset_has_ended_as_well() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        conn.expect_go_away().await;
        conn.abort();
    });
    let it = agree_with(&peer, Clock::new().builder()).await;
    it.finish(peer).await;
}

/// What was submitted before the last handle went is still served, also what waits for a place in the queue.
#[tokio::test]
async fn requests_outlive_the_clients_that_made_them() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        for _ in 0..4 {
            conn.reply(b"").await;
        }
        conn.expect_go_away().await;
    });
    let it = connect_with(&peer, Builder::new().queue_capacity(1)).await;
    let futures: Vec<_> = (0..4).map(|_| it.client.request(get("/"))).collect();
    drop(it.client);
    for future in futures {
        within("a response", future).await.unwrap();
    }
    ended(it.driver).await.unwrap();
    peer.finish().await;
}

/// Whose request cannot be sent yet. The driver sleeps meanwhile.
#[tokio::test]
async fn a_request_that_outlives_the_clients_waits_for_the_peers_limit_asleep() {
    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let (io, mut peer) = tokio::io::duplex(4096);
    let (client, mut driver) = Builder::new().handshake(io).await.unwrap();
    let woken = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut run = || {
        let mut polls = 0;
        while woken.0.swap(false, Ordering::SeqCst) {
            polls += 1;
            assert!(polls < 20, "it does not sleep");
            let polled = Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(result) = polled {
                result.unwrap();
                break;
            }
        }
    };
    let closed = [(setting::MAX_CONCURRENT_STREAMS, 0)];
    peer.write_all(&opening(&closed)).await.unwrap();
    run();
    let mut request = client.request(get("/"));
    drop(client);
    run();
    pending(&mut request).await;
    let open = Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]);
    peer.write_all(&open.encode()).await.unwrap();
    run();
    // `:status: 204` of HPACK's static table.
    let response = Frame::headers(1, [0x89], true);
    peer.write_all(&response.encode()).await.unwrap();
    run();
    assert_eq!(within("a response", request).await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_finished_driver_keeps_its_result() {
    let peer = Peer::serve(&[], async |_| {});
    let (client, mut driver) = undriven(&peer, Builder::new()).await;
    let ack = driver.settings_ack();
    let first = async {
        let (acknowledged, driven) = tokio::join!(
            async {
                ack.unwrap().await.unwrap();
                drop(client);
            },
            &mut driver
        );
        let () = acknowledged;
        driven
    };
    within("the driver's end", first).await.unwrap();
    within("its result", &mut driver).await.unwrap();
    assert!(format!("{driver:?}").contains("result: Some(Ok(()))"));
    peer.finish().await;
}

/// redis-rs#275: connection loss fails all, also the one just being inserted; insert after close fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_that_race_the_drivers_end_all_end() {
    let rounds = 200;
    let peer = Peer::start_many(async move |mut door| {
        for _ in 0..rounds {
            drop(door.accept().await);
        }
    });
    for _ in 0..rounds {
        let it = connect(&peer).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let client = it.client.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..5 {
                    within("an outcome", client.request(get("/")))
                        .await
                        .unwrap_err();
                }
            }));
        }
        it.driver.abort();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(it.client.pool_stats().in_use, 0);
    }
    peer.finish().await;
}

/// An executor that polls the waiter inside its wake: completing holds nothing that this could need.
#[tokio::test]
async fn a_waiter_may_be_polled_and_submit_inside_its_wake() {
    use std::sync::Mutex;

    type Waiting = std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;
    struct Inside {
        future: Mutex<Option<Waiting>>,
        done: tokio::sync::mpsc::UnboundedSender<Result<(), Error>>,
    }
    impl Wake for Inside {
        fn wake(self: Arc<Self>) {
            let Ok(mut future) = self.future.try_lock() else {
                return;
            };
            let waker = Waker::from(Arc::clone(&self));
            if let Some(waiting) = &mut *future
                && let Poll::Ready(outcome) =
                    waiting.as_mut().poll(&mut Context::from_waker(&waker))
            {
                *future = None;
                let _ = self.done.send(outcome);
            }
        }
    }

    let peer = Peer::serve(&[], async |conn| {
        for _ in 0..3 {
            conn.reply(b"x").await;
        }
    });
    let it = connect(&peer).await;
    let client = it.client.clone();
    let future = async move {
        for _ in 0..3 {
            let response = client.request(get("/")).await?;
            http_body_util::BodyExt::collect(response.into_body()).await?;
        }
        Ok(())
    };
    let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let inside = Arc::new(Inside {
        future: Mutex::new(Some(Box::pin(future))),
        done,
    });
    Waker::from(inside).wake();
    within("the end", ended.recv()).await.unwrap().unwrap();
    it.finish(peer).await;
}

/// A waker that panics.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("the waker was told to panic");
    }
}

#[tokio::test]
async fn a_waker_that_panics_takes_the_driver_down_and_nothing_hangs() {
    let peer = Peer::serve(&[], async |conn| {
        let first = conn.next_request().await;
        conn.next_request().await;
        conn.respond(first.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let mut bomb = it.client.request(get("/bomb"));
    let other = it.client.request(get("/other"));
    let waker = Waker::from(Arc::new(Bomb));
    let poll = std::pin::Pin::new(&mut bomb).poll(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    fails(within("an error", other).await, ErrorKind::Abandoned, false);
    // Its response had been handed over before the wake.
    within("a response", bomb).await.unwrap();
    let panicked = within("the driver's end", it.driver).await;
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(it.client.pool_stats().in_use, 0);
    peer.finish().await;
}

/// The peer goes away and closes while the client still sends, which resets the connection: what was answered, and what the
/// GOAWAY says, is read although no more can be written.
#[tokio::test]
async fn what_the_peer_said_last_is_heard_although_writing_fails() {
    /// Reads in peace; writing fails from some moment on.
    struct Unwritable {
        io: tokio::net::TcpStream,
        broken: Arc<std::sync::atomic::AtomicBool>,
    }
    impl tokio::io::AsyncRead for Unwritable {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.io).poll_read(cx, buf)
        }
    }
    impl tokio::io::AsyncWrite for Unwritable {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
                return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
            }
            std::pin::Pin::new(&mut self.io).poll_write(cx, buf)
        }
        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.io).poll_flush(cx)
        }
        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    for said in [Some(true), Some(false), None] {
        let (tell, mut sent) = signal();
        let (go, mut unwritable) = signal();
        let peer = Peer::serve(&[], async move |conn| {
            conn.next_request().await;
            conn.next_request().await;
            conn.next_request().await;
            tell.now();
            // The third is on its way only to the transport; the first is answered, the second not, the third not processed.
            if let Some(ends) = said {
                unwritable.wait().await;
                conn.respond(1, 200, b"answered").await;
                conn.send(crate::support::Frame::go_away(3, code::NO_ERROR, b""))
                    .await;
                if ends {
                    conn.shutdown().await;
                }
            }
        });
        let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let io = Unwritable {
            io: crate::common::dial(&peer).await,
            broken: Arc::clone(&broken),
        };
        let Fixture { client, driver, .. } = drive(io, Builder::new()).await;
        let mut answered = client.request(get("/1"));
        let mut lost = client.request(get("/2"));
        let mut unprocessed = client.request(get("/3"));
        pending(&mut answered).await;
        pending(&mut lost).await;
        pending(&mut unprocessed).await;
        sent.wait().await;
        broken.store(true, std::sync::atomic::Ordering::SeqCst);
        // This one makes it write; it never leaves.
        let never = client.request(get("/4"));
        let noticed = async {
            while !client.is_unusable() {
                tokio::task::yield_now().await;
            }
        };
        within("the failure to be noticed", noticed).await;
        let unsent = client.request(get("/5"));
        go.now();
        let kind = match said {
            Some(_) => {
                let response = within("a response", answered).await.unwrap();
                assert_eq!(read(response).await.unwrap(), b"answered");
                ErrorKind::GoAway
            }
            None => {
                let lost = within("an error", answered).await;
                fails(lost, ErrorKind::ConnectionLost, false).kind()
            }
        };
        fails(within("an error", unsent).await, kind, true);
        fails(within("an error", lost).await, kind, false);
        fails(within("an error", unprocessed).await, kind, said.is_some());
        fails(within("an error", never).await, kind, said.is_some());
        assert_eq!(client.pool_stats().in_use, 0);
        let error = fails(ended(driver).await, kind, false);
        says(&error, "broken pipe");
        peer.finish().await;
    }
}

/// h2 writes what it has before it says that it is over. A peer that reads nothing would never let it.
#[tokio::test]
async fn a_connection_that_cannot_write_its_end_is_given_up() {
    for fault in [false, true] {
        let clock = Clock::new();
        let (io, mut peer) = tokio::io::duplex(300);
        let mut it = drive(io, clock.builder()).await;
        let limit = [(setting::MAX_CONCURRENT_STREAMS, 1)];
        peer.write_all(&opening(&limit)).await.unwrap();
        within("the acknowledgment", &mut it.ack).await.unwrap();
        let mut first = get("/first");
        let value = "x".repeat(1000).parse().unwrap();
        first.headers_mut().insert("x-long", value);
        let mut first = it.client.request(first);
        let mut queued = it.client.request(get("/queued"));
        pending(&mut first).await;
        pending(&mut queued).await;
        settle().await;
        let kind = if fault {
            // No frame of a stream is on stream 0.
            let nonsense = Frame::data(0, *b"x", false);
            peer.write_all(&nonsense.encode()).await.unwrap();
            ErrorKind::Protocol
        } else {
            peer.shutdown().await.unwrap();
            ErrorKind::ConnectionLost
        };
        fails(within("an error", first).await, kind, false);
        settle().await;
        assert!(it.client.is_unusable());
        pending(&mut queued).await;
        clock.advance(Duration::from_secs(1));
        fails(within("an error", queued).await, kind, true);
        fails(it.close().await, kind, false);
    }
}
