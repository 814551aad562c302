//! Bodies of responses: flow control, ends and cut-offs.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use completion_h2::client::{Builder, ResponseBody};
use completion_h2::{Error, ErrorKind, Reason, Timer};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::clock::Clock;
use crate::common::{
    BoxError, Fixture, Step, connect, connect_with, ended, fails, get, post, read, says, settle,
    signal, steps,
};
use crate::support::{Conn, Frame, Peer, code, kind, lacks, setting, within};

const SHORT: Duration = Duration::from_millis(100);

/// Waits for the first data of a body.
async fn first_data(body: &mut ResponseBody) -> Bytes {
    let frame = within("data", body.frame()).await.unwrap().unwrap();
    frame.into_data().unwrap()
}

/// Waits for what comes next, which is to be an error; after it the body is over.
async fn cut_off(mut body: ResponseBody) -> Error {
    let next = within("the end", body.frame()).await;
    let error = next.expect("not a clean end").expect_err("not more data");
    assert!(!body.is_end_stream(), "a failed body has not ended");
    assert!(within("nothing", body.frame()).await.is_none());
    assert!(!error.is_retry_safe());
    error
}

/// Begins a response with some data, and hands its stream to the script.
fn begun(script: impl AsyncFnOnce(Conn, u32) + Send + 'static) -> Peer<()> {
    Peer::start(async move |mut conn: Conn| {
        conn.handshake(&[]).await;
        let request = conn.begin().await;
        conn.send(Frame::data(request.stream, *b"begun", false))
            .await;
        script(conn, request.stream).await;
    })
}

async fn begin(peer: &Peer<()>) -> (Fixture, ResponseBody) {
    begin_with(peer, Builder::new()).await
}

async fn begin_with<C: Timer>(peer: &Peer<()>, builder: Builder<C>) -> (Fixture, ResponseBody) {
    let it = connect_with(peer, builder).await;
    let mut body = it.send(get("/")).await.unwrap().into_body();
    assert_eq!(first_data(&mut body).await, "begun");
    (it, body)
}

/// Much more than both windows, which are given back only as the data is taken.
#[tokio::test]
async fn a_body_larger_than_the_windows_flows_as_it_is_read() {
    flows(Builder::new()).await;
    // Each connection begins with more.
    flows(Builder::new().initial_connection_window_size(0)).await;
}

async fn flows(builder: Builder) {
    const SIZE: usize = 1 << 20;
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        let stream = request.stream;
        conn.respond_headers(stream, 200, &[("content-length", &SIZE.to_string())], false)
            .await;
        let (mut left, mut stream_window, mut connection_window) = (SIZE, 65535, 65535);
        while left > 0 {
            let size = left.min(16384).min(stream_window).min(connection_window);
            if size > 0 {
                left -= size;
                stream_window -= size;
                connection_window -= size;
                conn.send(Frame::data(stream, vec![b'x'; size], left == 0))
                    .await;
                continue;
            }
            let update = conn
                .wait("WINDOW_UPDATE", |frame| frame.kind == kind::WINDOW_UPDATE)
                .await;
            let size = update.number(0) as usize;
            if update.stream == 0 {
                connection_window += size;
            } else {
                stream_window += size;
            }
        }
    });
    let it = connect_with(&peer, builder).await;
    let mut body = it.send(get("/")).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(SIZE as u64));
    let mut read = 0;
    while let Some(frame) = within("data", body.frame()).await {
        read += frame.unwrap().into_data().unwrap().len();
        assert_eq!(body.size_hint().exact(), Some((SIZE - read) as u64));
    }
    assert_eq!(read, SIZE);
    assert!(body.is_end_stream());
    drop(body);
    it.finish(peer).await;
}

/// h2#930, with an upload that keeps the stream: the data of a dropped body is nobody's any more.
#[tokio::test]
async fn a_dropped_body_gives_back_its_window_although_the_upload_goes_on() {
    const WINDOW: u32 = 65535;
    let (tell, mut arrived) = signal();
    let (tell_window, mut given_back) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.begin().await;
        for size in [16384, 16384, 16384, 16383] {
            let end = size == 16383;
            conn.send(Frame::data(request.stream, vec![0; size], end))
                .await;
        }
        conn.ping().await;
        tell.now();
        conn.wait("WINDOW_UPDATE", |frame| {
            frame.kind == kind::WINDOW_UPDATE && frame.stream == 0
        })
        .await;
        tell_window.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let clock = Clock::new();
    let builder = clock.builder().initial_connection_window_size(WINDOW);
    let it = connect_with(&peer, builder.timeout(SHORT)).await;
    let upload = post("/", steps([Step::Data("x".into()), Step::Hang]));
    let response = it.send(upload).await.unwrap();
    arrived.wait().await;
    drop(response);
    given_back.wait().await;
    clock.advance(SHORT);
    it.finish(peer).await;
}

/// h2 does not close while somebody has a handle, so it says no GOAWAY either.
#[tokio::test]
async fn a_body_that_timed_out_and_is_kept_holds_up_the_close_no_longer_than_the_grace() {
    let peer = begun(async |mut conn, stream| {
        assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
        let rest = conn.expect_eof().await;
        lacks(&rest, kind::GOAWAY);
    });
    let clock = Clock::new();
    let (it, kept) = begin_with(&peer, clock.builder().timeout(SHORT)).await;
    clock.advance(SHORT);
    settle().await;
    drop(it.client);
    settle().await;
    clock.advance(Duration::from_secs(1));
    ended(it.driver).await.unwrap();
    assert!(cut_off(kept).await.is_timeout());
    peer.finish().await;
}

/// h2#930: a dropped body gives its part of the connection window back, also of data that nobody has taken.
#[tokio::test]
async fn dropped_bodies_do_not_hold_the_connection_window() {
    let (tell, mut arrived) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let mut window = 65535_usize;
        for _ in 0..10 {
            let request = conn.begin().await;
            while window < 16384 {
                let update = conn
                    .wait("WINDOW_UPDATE", |frame| {
                        frame.kind == kind::WINDOW_UPDATE && frame.stream == 0
                    })
                    .await;
                window += update.number(0) as usize;
            }
            window -= 16384;
            conn.send(Frame::data(request.stream, vec![0; 16384], false))
                .await;
            conn.ping().await;
            tell.now();
            assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        }
    });
    let it = connect(&peer).await;
    for _ in 0..10 {
        let body = it.send(get("/")).await.unwrap().into_body();
        arrived.wait().await;
        drop(body);
    }
    it.finish(peer).await;
}

#[tokio::test]
async fn a_body_dropped_early_resets_its_stream_and_frees_its_permit() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        let first = conn.begin().await;
        let waiting = conn.barrier().await;
        // The permit is held by the body.
        lacks(&waiting, kind::HEADERS);
        conn.send(Frame::data(first.stream, *b"x", false)).await;
        assert_eq!(conn.expect_rst(first.stream).await, code::CANCEL);
        conn.reply(b"").await;
    });
    let it = connect(&peer).await;
    let mut body = it.send(get("/1")).await.unwrap().into_body();
    let second = it.client.request(get("/2"));
    assert_eq!(first_data(&mut body).await, "x");
    drop(body);
    within("the second", second).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_body_that_ended_unread_is_not_reset_when_dropped() {
    let peer = Peer::serve(&[], async |conn| {
        conn.reply(b"nobody reads this").await;
        conn.reply(b"").await;
        let rest = conn.expect_eof().await;
        lacks(&rest, kind::RST_STREAM);
    });
    // One reset would make it unusable.
    let it = connect_with(&peer, Builder::new().reset_budget(1)).await;
    let response = it.send(get("/1")).await.unwrap();
    it.send(get("/2")).await.unwrap();
    drop(response);
    it.idle().await;
    assert!(!it.client.is_unusable());
    it.finish(peer).await;
}

#[tokio::test]
async fn a_reset_cuts_a_body_off() {
    let peer = begun(async |mut conn, stream| {
        conn.send(Frame::rst(stream, code::CANCEL)).await;
        conn.expect_eof().await;
    });
    let (it, body) = begin(&peer).await;
    let error = cut_off(body).await;
    assert_eq!(error.kind(), ErrorKind::Reset);
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    it.finish(peer).await;
}

/// hyper#3681: a cancelled body must not look like a clean end.
#[tokio::test]
async fn a_reset_without_error_before_the_end_cuts_a_body_off() {
    let peer = begun(async |mut conn, stream| {
        conn.send(Frame::rst(stream, code::NO_ERROR)).await;
        conn.expect_eof().await;
    });
    let (it, body) = begin(&peer).await;
    let error = cut_off(body).await;
    assert_eq!(error.kind(), ErrorKind::Reset);
    it.finish(peer).await;
}

#[tokio::test]
async fn connection_loss_cuts_a_body_off() {
    let peer = begun(async |conn, _| conn.abort());
    let (it, body) = begin(&peer).await;
    let error = cut_off(body).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    fails(it.close().await, ErrorKind::ConnectionLost, false);
    peer.finish().await;
}

#[tokio::test]
async fn the_end_of_the_connection_cuts_a_body_off() {
    let peer = begun(async |mut conn, _| conn.shutdown().await);
    let (it, body) = begin(&peer).await;
    let error = cut_off(body).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    fails(it.close().await, ErrorKind::ConnectionLost, false);
    peer.finish().await;
}

/// anthropics/connect-rust#285, hyper#3673: the cause is the GOAWAY, not the broken pipe that follows.
#[tokio::test]
async fn a_goaway_followed_by_the_end_cuts_a_body_off_as_goaway() {
    let peer = begun(async |mut conn, stream| {
        conn.send(Frame::go_away(stream, code::NO_ERROR, b"restart"))
            .await;
        conn.shutdown().await;
    });
    let (it, body) = begin(&peer).await;
    let error = cut_off(body).await;
    assert_eq!(error.kind(), ErrorKind::GoAway);
    says(&error, "last-stream-id 1");
    peer.finish().await;
    drop(it);
}

#[tokio::test]
async fn what_arrived_before_the_cut_is_read_first() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.begin().await;
        for part in [b"a", b"b", b"c"] {
            conn.send(Frame::data(request.stream, *part, false)).await;
        }
        conn.send(Frame::go_away(request.stream, code::NO_ERROR, b""))
            .await;
        conn.shutdown().await;
    });
    let it = connect(&peer).await;
    let mut body = it.send(get("/")).await.unwrap().into_body();
    peer.finish().await;
    for part in ["a", "b", "c"] {
        assert_eq!(first_data(&mut body).await, part);
    }
    assert_eq!(cut_off(body).await.kind(), ErrorKind::GoAway);
}

#[tokio::test]
async fn the_deadline_cuts_a_body_off_and_frees_its_permit() {
    let peer = begun(async |mut conn, stream| {
        assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let (it, body) = begin_with(&peer, clock.builder().timeout(SHORT)).await;
    // Also without anybody reading: the driver keeps the time.
    clock.advance(SHORT);
    settle().await;
    assert_eq!(cut_off(body).await.kind(), ErrorKind::Timeout);
    it.finish(peer).await;
}

/// A body that is read in the very moment in which its stream is reset does not take that for the peer's doing.
#[tokio::test]
async fn a_body_that_is_read_while_the_deadline_cuts_it_off_knows_why() {
    /// A request body that reads the response's when it is dropped.
    struct Nosy {
        response: Arc<Mutex<Option<ResponseBody>>>,
        heard: Arc<Mutex<Option<Error>>>,
    }
    impl http_body::Body for Nosy {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(response) = &mut *self.response.lock().unwrap() {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(Some(Err(error))) = Pin::new(response).poll_frame(&mut cx) {
                    *self.heard.lock().unwrap() = Some(error);
                }
            }
        }
    }

    let peer = begun(async |mut conn, stream| {
        assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().timeout(SHORT)).await;
    let (response, heard) = <(Arc<Mutex<Option<ResponseBody>>>, Arc<Mutex<_>>)>::default();
    let request = Nosy {
        response: Arc::clone(&response),
        heard: Arc::clone(&heard),
    };
    let request = it.send(post("/", request.boxed())).await;
    let mut body = request.unwrap().into_body();
    assert_eq!(first_data(&mut body).await, "begun");
    *response.lock().unwrap() = Some(body);
    clock.advance(SHORT);
    settle().await;
    let error = heard.lock().unwrap().take().expect("an error");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(response);
    it.finish(peer).await;
}

#[tokio::test]
async fn the_deadline_wakes_who_waits_for_data() {
    let peer = begun(async |mut conn, stream| {
        assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let (it, body) = begin_with(&peer, clock.builder().timeout(SHORT)).await;
    let reading = tokio::spawn(cut_off(body));
    settle().await;
    clock.advance(SHORT);
    assert_eq!(reading.await.unwrap().kind(), ErrorKind::Timeout);
    it.finish(peer).await;
}

#[tokio::test]
async fn a_body_outlives_its_client_and_keeps_the_connection() {
    let peer = begun(async |mut conn, stream| {
        let before = conn.barrier().await;
        lacks(&before, kind::GOAWAY);
        conn.send(Frame::data(stream, *b"rest", true)).await;
        let (_, code) = conn.expect_go_away().await;
        assert_eq!(code, code::NO_ERROR);
        conn.expect_eof().await;
    });
    let (it, mut body) = begin(&peer).await;
    drop(it.client);
    assert_eq!(first_data(&mut body).await, "rest");
    assert!(within("the end", body.frame()).await.is_none());
    drop(body);
    ended(it.driver).await.unwrap();
    peer.finish().await;
}

/// A waker that does what it may not do under h2's lock: use the connection.
#[tokio::test]
async fn a_hostile_waker_may_use_the_body_that_wakes_it() {
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Wake, Waker};

    struct Hostile {
        body: Mutex<Option<ResponseBody>>,
        saw: tokio::sync::mpsc::UnboundedSender<bool>,
    }
    impl Wake for Hostile {
        fn wake(self: Arc<Self>) {
            // Polls and drops the body inside the wake: h2's lock is taken several times.
            let body = self.body.lock().unwrap().take();
            if let Some(mut body) = body {
                let mut cx = Context::from_waker(Waker::noop());
                let poll = std::pin::Pin::new(&mut body).poll_frame(&mut cx);
                let _ = self.saw.send(matches!(poll, Poll::Ready(Some(Ok(_)))));
            }
        }
    }

    let peer = begun(async |mut conn, stream| {
        conn.barrier().await;
        conn.send(Frame::data(stream, *b"wake up", false)).await;
        assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
        conn.expect_eof().await;
    });
    let (it, mut body) = begin(&peer).await;
    let (saw, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let hostile = Arc::new(Hostile {
        body: Mutex::new(None),
        saw,
    });
    let waker = Waker::from(Arc::clone(&hostile));
    let poll = std::pin::Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    *hostile.body.lock().unwrap() = Some(body);
    assert_eq!(within("the wake", seen.recv()).await, Some(true));
    it.finish(peer).await;
}

#[tokio::test]
async fn a_whole_body_can_be_read_after_the_connection_is_gone() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.reply(b"complete").await;
        conn.send(Frame::go_away(request.stream, code::NO_ERROR, b""))
            .await;
        conn.shutdown().await;
    });
    let it = connect(&peer).await;
    let response = it.send(get("/")).await.unwrap();
    peer.finish().await;
    ended(it.driver).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"complete");
}
