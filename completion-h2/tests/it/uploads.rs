//! Request bodies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use completion_h2::client::{Builder, RequestTimeout, ResponseBody};
use completion_h2::{ErrorKind, Reason};
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::common::{
    AnyBody, BoxError, Step, agree, agree_with, connect, connect_with, drive, ended, fails, frames,
    full, get, opening, pending, post, read_all, says, settle, signal, steps,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

/// A server on h2 itself that sends each request's body and trailers back.
async fn echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(serve(io));
        }
    });
    addr
}

async fn serve(io: tokio::net::TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(io).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut send = respond.send_response(http::Response::new(()), false)?;
            while let Some(data) = body.data().await {
                let mut data = data?;
                body.flow_control().release_capacity(data.len())?;
                while !data.is_empty() {
                    send.reserve_capacity(data.len());
                    let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                    let room = room.unwrap_or(Ok(0))?;
                    let part = data.split_to(room.min(data.len()));
                    send.send_data(part, false)?;
                }
            }
            match body.trailers().await? {
                Some(trailers) => send.send_trailers(trailers),
                None => send.send_data(Bytes::new(), true),
            }
        });
    }
    Ok(())
}

async fn echoed(bodies: Vec<AnyBody>) -> Vec<(Vec<u8>, Option<HeaderMap>)> {
    let addr = echo().await;
    let io = tokio::net::TcpStream::connect(addr).await.unwrap();
    let it = drive(io, Builder::new()).await;
    let futures: Vec<_> = bodies
        .into_iter()
        .map(|body| it.client.request(post("/", body)))
        .collect();
    let mut readers = Vec::new();
    for future in futures {
        readers.push(tokio::spawn(async {
            let response = within("a response", future).await.unwrap();
            read_all(response).await.unwrap()
        }));
    }
    let mut outputs = Vec::new();
    for reader in readers {
        outputs.push(reader.await.unwrap());
    }
    it.close().await.unwrap();
    outputs
}

fn pattern(seed: usize, size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| ((n * 31 + seed * 7) % 251) as u8)
        .collect()
}

#[tokio::test]
async fn bodies_of_all_sizes_come_back() {
    let sizes = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_000_000];
    let bodies = sizes.iter().map(|&size| full(pattern(size, size)));
    let outputs = echoed(bodies.collect()).await;
    for (size, (data, trailers)) in sizes.into_iter().zip(outputs) {
        assert_eq!(data.len(), size);
        assert!(data == pattern(size, size), "{size} bytes are others");
        assert!(trailers.is_none());
    }
}

#[tokio::test]
async fn many_large_uploads_share_the_windows() {
    let bodies = (0..30).map(|seed| {
        let data = pattern(seed, 100_000);
        let parts = data
            .chunks(999)
            .map(|part| Step::Data(part.to_vec().into()));
        steps(parts.collect::<Vec<_>>())
    });
    let outputs = echoed(bodies.collect()).await;
    for (seed, (data, _)) in outputs.into_iter().enumerate() {
        assert!(data == pattern(seed, 100_000), "upload {seed} is another");
    }
}

#[tokio::test]
async fn a_stream_of_pieces_with_pauses_and_trailers_comes_back() {
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", "3".parse().unwrap());
    let body = steps([
        Step::Yield,
        Step::Data("a".into()),
        Step::Data(Bytes::new()),
        Step::Yield,
        Step::Data("bc".into()),
        Step::Yield,
        Step::Trailers(trailers.clone()),
    ]);
    let only_trailers = steps([Step::Trailers(trailers.clone())]);
    let nothing = steps([Step::Yield]);
    let outputs = echoed(vec![body, only_trailers, nothing]).await;
    assert_eq!(outputs[0], (b"abc".to_vec(), Some(trailers.clone())));
    assert_eq!(outputs[1], (vec![], Some(trailers)));
    assert_eq!(outputs[2], (vec![], None));
}

#[tokio::test]
async fn a_body_that_knows_its_end_ends_the_stream_with_its_last_data() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        let data = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        assert_eq!(data.payload, b"all");
        assert!(data.ends_stream());
        conn.respond(request.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    it.send(post("/", full("all"))).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_body_that_knows_its_end_after_all_its_data_ends_the_stream_once() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        let data = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        assert!(data.payload.is_empty() && data.ends_stream());
        lacks(&conn.barrier().await, kind::DATA);
        conn.respond(request.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let (give, body, _) = given();
    give.send(Bytes::new()).unwrap();
    it.send(post("/", body)).await.unwrap();
    it.finish(peer).await;
}

/// The end needs no room: a peer that gives back its window only at the end must see it.
#[tokio::test]
async fn a_body_as_large_as_the_window_ends_without_more_room() {
    let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 5)], async |conn| {
        let request = conn.next_request().await;
        let mut size = 0;
        loop {
            let data = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
            size += data.payload.len();
            if data.ends_stream() {
                break;
            }
        }
        assert_eq!(size, 5);
        conn.respond(request.stream, 200, b"").await;
    });
    let it = agree(&peer).await;
    let body = steps([Step::Data("12345".into()), Step::Yield]);
    it.send(post("/", body)).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_failing_body_fails_its_request_with_its_cause_and_resets() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
        conn.reply(b"").await;
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Fail("disk is gone")]);
    let error = fails(it.send(post("/", body)).await, ErrorKind::Body, false);
    says(&error, "disk is gone");
    it.send(get("/next")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_body_that_fails_after_the_response_came_cuts_the_response_off() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.begin().await;
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = connect(&peer).await;
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let body = http_body_util::StreamBody::new(Once(told));
    let response = it.send(post("/", body.boxed())).await.unwrap();
    drop(tell);
    let error = fails(read_all(response).await, ErrorKind::Body, false);
    says(&error, "channel closed");
    it.finish(peer).await;
}

/// A stream that fails when its channel is dropped.
struct Once(tokio::sync::oneshot::Receiver<()>);

impl futures_lite::Stream for Once {
    type Item = Result<http_body::Frame<Bytes>, crate::common::BoxError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let told = std::task::ready!(std::pin::Pin::new(&mut self.0).poll(cx));
        std::task::Poll::Ready(told.err().map(|error| Err(error.into())))
    }
}

#[tokio::test]
async fn a_reset_stops_an_upload() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.send(Frame::rst(request.stream, code::CANCEL)).await;
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let error = fails(it.send(post("/", body)).await, ErrorKind::Reset, false);
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    it.finish(peer).await;
}

#[tokio::test]
async fn a_response_may_come_and_end_before_the_upload_does() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        let request = conn.next_request().await;
        conn.respond(request.stream, 200, b"early").await;
        let (body, _) = conn.body(request.stream).await;
        assert_eq!(body.len(), 100_000);
        conn.reply(b"").await;
    });
    let it = connect_with(&peer, Builder::new()).await;
    let response = it.send(post("/", full(vec![1; 100_000]))).await.unwrap();
    assert_eq!(read_all(response).await.unwrap().0, b"early");
    it.send(get("/next")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn forbidden_trailers_fail_the_request() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = agree(&peer).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("connection", "close".parse().unwrap());
    let body = steps([Step::Data("x".into()), Step::Trailers(trailers)]);
    let invalid = ErrorKind::InvalidRequest;
    fails(it.send(post("/", body)).await, invalid, false);
    it.finish(peer).await;
}

/// RFC 9113, section 8.1, once more: the body of the request hangs, and nobody but the reset tells the driver to let it go.
#[tokio::test]
async fn a_reset_without_error_after_the_end_lets_go_of_a_body_that_hangs() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.respond(request.stream, 200, b"enough").await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.barrier().await;
        conn.send(Frame::rst(request.stream, code::NO_ERROR)).await;
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let response = it.send(post("/", body)).await.unwrap();
    assert_eq!(read_all(response).await.unwrap().0, b"enough");
    it.finish(peer).await;
}

#[tokio::test]
async fn a_response_body_dropped_early_stops_the_upload() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.begin().await;
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = connect(&peer).await;
    let body = steps([Step::Data("x".into()), Step::Hang]);
    let response = it.send(post("/", body)).await.unwrap();
    drop(response);
    it.finish(peer).await;
}

#[tokio::test]
async fn a_response_that_ended_may_be_dropped_unread_and_the_upload_goes_on() {
    let (tell, mut ended) = signal();
    let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 10)], async move |conn| {
        let request = conn.next_request().await;
        conn.respond(request.stream, 200, b"early").await;
        conn.ping().await;
        tell.now();
        let first = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        // By then it is dropped.
        conn.reply(b"").await;
        conn.barrier().await;
        conn.send(Frame::window_update(request.stream, 100_000))
            .await;
        let (rest, _) = conn.body(request.stream).await;
        assert_eq!(first.payload.len() + rest.len(), 50_000);
    });
    let it = agree(&peer).await;
    // In pieces, so that h2 has not all of it when the response is dropped.
    let pieces = (0..50).map(|_| Step::Data(vec![1; 1000].into()));
    let response = it.send(post("/", steps(pieces))).await.unwrap();
    // The end of the response is read by the driver, not by us.
    ended.wait().await;
    drop(response);
    it.send(get("/next")).await.unwrap();
    it.finish(peer).await;
}

/// h2 sends as much as has been reserved: one byte, if one byte was.
#[tokio::test]
async fn uploads_that_share_a_window_are_not_sent_in_crumbs() {
    const SIZE: usize = 50_000;
    let peer = Peer::serve(&[], async |conn| {
        let mut requests = Vec::new();
        for _ in 0..4 {
            requests.push(conn.next_request().await.stream);
        }
        let (mut left, mut window) = (4 * SIZE, 65_535);
        while left > 0 {
            let frame = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
            let size = frame.payload.len();
            assert!(size > 100, "a crumb of {size} bytes");
            left -= size;
            window -= size;
            if window == 0 && left > 0 {
                conn.send(Frame::window_update(0, 30_000)).await;
                window += 30_000;
            }
        }
        for stream in requests {
            conn.respond(stream, 200, b"").await;
        }
    });
    let it = connect(&peer).await;
    let uploads: Vec<_> = (0..4)
        .map(|_| it.client.request(post("/", full(vec![7; SIZE]))))
        .collect();
    for upload in uploads {
        within("a response", upload).await.unwrap();
    }
    it.finish(peer).await;
}

/// The connection's window is everybody's. None of it is held by a body that has nothing yet, however large it says it
/// will be, by one that has nothing more (hyper#4003), or by a request that waits for a stream (h2#853, #860, #863).
#[tokio::test]
async fn who_has_nothing_to_send_holds_no_window() {
    /// Says that it is large, gives a byte or nothing, and then nothing.
    struct Idle(Option<Bytes>);
    impl http_body::Body for Idle {
        type Data = Bytes;
        type Error = crate::common::BoxError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            match self.0.take() {
                Some(data) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(data)))),
                None => std::task::Poll::Pending,
            }
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(1 << 20)
        }
    }
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 3)], async |conn| {
        let [_, begun, busy] = [
            conn.next_request().await.stream,
            conn.next_request().await.stream,
            conn.next_request().await.stream,
        ];
        let mut received = 0;
        while received < 65_535 {
            let frame = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
            assert!(frame.stream == busy || (frame.stream, frame.payload.len()) == (begun, 1));
            received += frame.payload.len();
        }
        conn.respond(busy, 200, b"").await;
        let last = conn.next_request().await;
        conn.send(Frame::window_update(0, 70_000)).await;
        conn.body(last.stream).await;
        conn.respond(last.stream, 200, b"").await;
    });
    let it = agree(&peer).await;
    let mut idle = it.client.request(post("/1", Idle(None).boxed()));
    let mut begun = it
        .client
        .request(post("/2", Idle(Some("x".into())).boxed()));
    pending(&mut idle).await;
    pending(&mut begun).await;
    let busy = it.client.request(post("/3", full(vec![7; 65_534])));
    let last = it.client.request(post("/4", full(vec![7; 65_535])));
    within("a response", busy).await.unwrap();
    within("a response", last).await.unwrap();
    drop((idle, begun));
    it.finish(peer).await;
}

/// h2 holds a stream back behind a blocked transport, and wakes its upload by one waker, which nothing may replace.
#[tokio::test]
async fn an_upload_that_begins_behind_a_blocked_transport_goes_on() {
    let (pause, mut paused) = signal();
    let (resume, mut resumed) = signal();
    let (io, peer) = tokio::io::duplex(1000);
    let server = tokio::spawn(async move {
        let mut server = h2::server::Builder::new();
        server.max_concurrent_streams(2);
        let mut connection = server.handshake::<_, Bytes>(peer).await.unwrap();
        tokio::select! {
            _ = connection.accept() => panic!("a request before its time"),
            () = paused.wait() => {}
        }
        resumed.wait().await;
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted.unwrap();
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(data) = body.data().await {
                    let size = data.unwrap().len();
                    body.flow_control().release_capacity(size).unwrap();
                }
                let response = http::Response::new(());
                respond.send_response(response, true).unwrap();
            });
        }
    });
    let mut it = drive(io, Builder::new()).await;
    within("the acknowledgment", &mut it.ack).await.unwrap();
    pause.now();
    settle().await;
    let blocks = it.client.request(post("/1", full(vec![0; 10_000])));
    settle().await;
    // More than there is window for before the server reads.
    let pieces = (0..3).map(|_| Step::Data(vec![0; 50_000].into()));
    let behind = it.client.request(post("/2", steps(pieces)));
    settle().await;
    resume.now();
    within("a response", blocks).await.unwrap();
    within("a response", behind).await.unwrap();
    it.close().await.unwrap();
    within("the server's end", server).await.unwrap();
}

/// Data that comes when the test says so, and a handle that goes with the body.
struct Given {
    data: tokio::sync::oneshot::Receiver<Bytes>,
    _alive: Arc<()>,
}

/// How to give it, the body, and a handle like the body's.
fn given() -> (tokio::sync::oneshot::Sender<Bytes>, AnyBody, Arc<()>) {
    let (give, data) = tokio::sync::oneshot::channel();
    let alive = Arc::new(());
    let _alive = Arc::clone(&alive);
    (give, Given { data, _alive }.boxed(), alive)
}

impl http_body::Body for Given {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        let data = ready!(Pin::new(&mut self.data).poll(cx))?;
        Poll::Ready(Some(Ok(http_body::Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_terminated()
    }
}

/// However long its response is.
#[tokio::test]
async fn a_request_body_is_dropped_when_it_is_sent_after_the_head_of_the_response() {
    let (tell, mut uploaded) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.begin().await;
        conn.body(request.stream).await;
        tell.now();
        assert_eq!(conn.expect_rst(request.stream).await, code::CANCEL);
    });
    let it = connect(&peer).await;
    let (give, body, alive) = given();
    let response = it.send(post("/", body)).await.unwrap();
    give.send("x".into()).unwrap();
    uploaded.wait().await;
    assert_eq!(Arc::strong_count(&alive), 1);
    drop(response);
    it.finish(peer).await;
}

/// However long its response takes.
#[tokio::test]
async fn a_request_body_is_dropped_when_it_is_sent_before_the_response() {
    let (tell, mut uploaded) = signal();
    let (answer, mut asked) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let request = conn.next_request().await;
        conn.body(request.stream).await;
        tell.now();
        asked.wait().await;
        conn.respond(request.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let (give, body, alive) = given();
    let response = it.client.request(post("/", body));
    give.send("x".into()).unwrap();
    uploaded.wait().await;
    assert_eq!(Arc::strong_count(&alive), 1);
    answer.now();
    within("a response", response).await.unwrap();
    it.finish(peer).await;
}

/// `size` bytes of a body that count among the owners of `alive`.
fn owned(alive: &Arc<()>, size: usize) -> Bytes {
    struct Owned {
        data: Vec<u8>,
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.data
        }
    }
    let data = vec![1; size];
    let _alive = Arc::clone(alive);
    Bytes::from_owner(Owned { data, _alive })
}

/// A body whose only piece does not know that it is the last.
fn with_trailers(data: Bytes) -> AnyBody {
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", "3".parse().unwrap());
    steps([Step::Data(data), Step::Trailers(trailers)])
}

/// h2 has the whole body, but the peer's window lets only ten bytes of it go.
#[tokio::test]
async fn an_upload_keeps_its_permit_until_it_has_left() {
    for body in [full, |data| with_trailers(data)] {
        let (tell, mut answered) = signal();
        let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 10)], async move |conn| {
            let request = conn.next_request().await;
            conn.respond(request.stream, 200, b"").await;
            let first = conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
            assert_eq!(first.payload.len(), 10);
            tell.now();
            lacks(&conn.barrier().await, kind::HEADERS);
            conn.send(Frame::window_update(request.stream, 100_000))
                .await;
            let (rest, _) = conn.body(request.stream).await;
            assert_eq!(rest.len(), 49_990);
            assert_eq!(conn.reply(b"").await.path(), "/next");
        });
        let it = agree_with(&peer, Builder::new().max_streams(1)).await;
        it.send(post("/", body(vec![1; 50_000].into())))
            .await
            .unwrap();
        let next = it.client.request(get("/next"));
        answered.wait().await;
        within("a response", next).await.unwrap();
        it.finish(peer).await;
    }
}

/// The peer answers, and never lets the rest of the bodies go.
#[tokio::test]
async fn an_upload_that_does_not_leave_is_reset_at_its_deadline() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    for body in [full, |data| with_trailers(data)] {
        let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 1)], async |conn| {
            for _ in 0..100 {
                let streams = [
                    conn.next_request().await.stream,
                    conn.next_request().await.stream,
                ];
                for stream in streams {
                    conn.respond(stream, 200, b"").await;
                }
                for stream in streams {
                    assert_eq!(conn.expect_rst(stream).await, code::CANCEL);
                }
            }
        });
        let clock = Clock::new();
        let it = agree_with(&peer, clock.builder().max_streams(2).timeout(TIMEOUT)).await;
        let alive = Arc::new(());
        for _ in 0..100 {
            let upload = || it.client.request(post("/", body(owned(&alive, 1000))));
            let (first, second) = (upload(), upload());
            within("a response", first).await.unwrap();
            within("a response", second).await.unwrap();
            settle().await;
            assert_eq!(Arc::strong_count(&alive), 3);
            clock.advance(TIMEOUT);
            settle().await;
            assert_eq!(Arc::strong_count(&alive), 1);
        }
        it.finish(peer).await;
    }
}

/// The deadline comes while h2 is in the middle of the last piece, behind a transport that takes no more: of a stream that
/// both sides have ended h2 would forget a reset then.
#[tokio::test]
async fn an_upload_that_is_being_written_is_reset_at_its_deadline() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let (io, mut peer) = tokio::io::duplex(1000);
    let clock = Clock::new();
    let it = drive(io, clock.builder().max_streams(1)).await;
    peer.read_exact(&mut [0; 24]).await.unwrap();
    let mut bytes = Vec::new();
    frames(&mut peer, &mut bytes).await;
    let settings = opening(&[(setting::INITIAL_WINDOW_SIZE, 20_000)]);
    peer.write_all(&settings).await.unwrap();
    frames(&mut peer, &mut bytes).await;
    let alive = Arc::new(());
    let mut upload = post("/1", full(owned(&alive, 50_000)));
    upload.extensions_mut().insert(RequestTimeout(TIMEOUT));
    let upload = it.client.request(upload);
    settle().await;
    // `:status: 200`
    let head = |stream| Frame::headers(stream, [0x88], true).encode();
    peer.write_all(&head(1)).await.unwrap();
    within("a response", upload).await.unwrap();
    settle().await;
    clock.advance(TIMEOUT);
    settle().await;
    let next = it.client.request(get("/2"));
    let seen = frames(&mut peer, &mut bytes).await;
    let resets: Vec<_> = seen
        .iter()
        .filter(|it| it.kind == kind::RST_STREAM)
        .collect();
    assert_eq!(resets.len(), 1, "{seen:?}");
    assert_eq!((resets[0].stream, resets[0].number(0)), (1, code::CANCEL));
    assert_eq!(Arc::strong_count(&alive), 1);
    // The permit has come back for the next one, and for the one after that.
    peer.write_all(&head(3)).await.unwrap();
    within("a response", next).await.unwrap();
    let last = it.client.request(get("/3"));
    settle().await;
    peer.write_all(&head(5)).await.unwrap();
    within("a response", last).await.unwrap();
}

/// Requests that are given up in the queue count as resets only if the peer does not read.
#[tokio::test]
async fn requests_given_up_beside_an_upload_that_fails_spend_no_budget() {
    let (io, mut peer) = tokio::io::duplex(1 << 16);
    let it = drive(io, Builder::new().reset_budget(100)).await;
    let limits = [
        (setting::MAX_CONCURRENT_STREAMS, 1),
        (setting::INITIAL_WINDOW_SIZE, 10),
    ];
    peer.write_all(&opening(&limits)).await.unwrap();
    settle().await;
    // The second piece waits for the window.
    let [first, second] = [(); 2].map(|()| Step::Data(vec![1; 100].into()));
    let body = steps([first, second, Step::Fail("no more")]);
    let fails_later = it.client.request(post("/", body));
    settle().await;
    let queued: Vec<_> = (0..200).map(|_| it.client.request(get("/"))).collect();
    settle().await;
    // In one pass: the queue is looked through, the window comes, and the body fails.
    let window = Frame::window_update(1, 1000).encode();
    peer.write_all(&window).await.unwrap();
    drop(queued);
    fails(
        within("an error", fails_later).await,
        ErrorKind::Body,
        false,
    );
    settle().await;
    assert!(!it.client.is_unusable());
}

/// What was never sent is not reset, however long the queue behind what is.
#[tokio::test]
async fn requests_given_up_behind_a_slow_upload_spend_no_budget() {
    let (io, mut peer) = tokio::io::duplex(1000);
    let it = drive(io, Builder::new().max_streams(1).reset_budget(100)).await;
    peer.write_all(&opening(&[])).await.unwrap();
    let _slow = it.client.request(post("/", full(vec![1; 10_000])));
    settle().await;
    let queued: Vec<_> = (0..200).map(|_| it.client.request(get("/"))).collect();
    settle().await;
    drop(queued);
    settle().await;
    assert!(!it.client.is_unusable());
}

/// A body that takes a response, drops it while the driver looks at it, and ends.
struct Drops(tokio::sync::oneshot::Receiver<http::Response<ResponseBody>>);

impl http_body::Body for Drops {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        drop(ready!(Pin::new(&mut self.0).poll(cx))?);
        Poll::Ready(None)
    }
}

/// The last of the response comes in between its drop and the driver's look at that: both sides of the stream have ended
/// then. h2 resets nothing by itself of an upload that waits for the window; and without one there is nothing to reset, so
/// no reset to wait for.
#[tokio::test]
async fn an_upload_is_let_go_if_its_response_is_dropped_as_it_ends() {
    let alive = Arc::new(());
    for size in [0, 1000] {
        let (io, mut peer) = tokio::io::duplex(1 << 16);
        let it = drive(io, Builder::new().max_streams(2)).await;
        let settings = opening(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
        peer.write_all(&settings).await.unwrap();
        settle().await;
        let body = full(owned(&alive, size));
        let mut ends = it.client.request(post("/1", body));
        let (give, take) = tokio::sync::oneshot::channel();
        let _dropping = it.client.request(post("/2", Drops(take).boxed()));
        settle().await;
        pending(&mut ends).await;
        // `:status: 200`
        let head = |stream, end| Frame::headers(stream, [0x88], end).encode();
        peer.write_all(&head(1, false)).await.unwrap();
        let response = within("a response", ends).await.unwrap();
        settle().await;
        let end = Frame::data(1, *b"end", true).encode();
        peer.write_all(&end).await.unwrap();
        assert!(give.send(response).is_ok());
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 1);
        let next = it.client.request(get("/3"));
        settle().await;
        peer.write_all(&head(5, true)).await.unwrap();
        within("a response", next).await.unwrap();
    }
}

/// What only waits for the peer's window does not hold up the end (see "Closing" in the driver's documentation).
#[tokio::test]
async fn an_upload_that_does_not_leave_is_cut_off_by_the_end() {
    let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 1)], async |conn| {
        conn.reply(b"").await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
    });
    let clock = Clock::new();
    let it = agree_with(&peer, clock.builder()).await;
    it.send(post("/", full(vec![1; 1000]))).await.unwrap();
    settle().await;
    drop(it.client);
    settle().await;
    clock.advance(Duration::from_secs(1));
    ended(it.driver).await.unwrap();
    peer.finish().await;
}
