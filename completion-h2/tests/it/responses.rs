//! Heads of responses: that each reaches its own request, or its failure does.

use completion_h2::client::{Builder, ResponseBody};
use completion_h2::{ErrorKind, Reason};
use http::{Method, Version};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use crate::common::{
    Fixture, agree, connect, drive, ended, fails, full, get, pending, post, read, read_all, says,
    settle,
};
use crate::support::{Frame, Peer, code, kind, lacks, setting, within};

/// The one way of a response to its caller is its completion: with the call of `complete` in `driver/streams.rs` removed,
/// this test fails, as every other one that expects a response.
#[tokio::test]
async fn a_response_arrives_through_its_completion() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        assert!(request.end_stream);
        assert_eq!(request.path(), "/one?x=1");
        assert_eq!(request.get(":method"), Some("GET"));
        assert_eq!(request.get(":authority"), Some("peer"));
        conn.respond(request.stream, 204, b"").await;
    });
    let it = connect(&peer).await;
    let response = it.send(get("/one?x=1")).await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(read(response).await.unwrap(), b"");
    let stats = it.client.pool_stats();
    assert_eq!((stats.rented, stats.returned), (1, 1));
    it.finish(peer).await;
}

#[tokio::test]
#[should_panic(expected = "polled after it returned its outcome")]
async fn an_outcome_is_there_once() {
    let peer = Peer::serve(&[], async |conn| {
        conn.reply(b"").await;
    });
    let it = connect(&peer).await;
    let mut request = it.client.request(get("/"));
    within("a response", &mut request).await.unwrap();
    it.finish(peer).await;
    let _ = request.await;
}

#[tokio::test]
async fn fields_data_and_trailers_arrive_in_order() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.respond_headers(request.stream, 200, &[("x-a", "1"), ("x-b", "2")], false)
            .await;
        conn.send(Frame::data(request.stream, *b"he", false)).await;
        conn.send(Frame::data(request.stream, *b"llo", false)).await;
        conn.trailers(request.stream, &[("sum", "5")]).await;
    });
    let it = connect(&peer).await;
    let response = it.send(get("/")).await.unwrap();
    assert_eq!(response.headers()["x-a"], "1");
    assert_eq!(response.headers()["x-b"], "2");
    let (data, trailers) = read_all(response).await.unwrap();
    assert_eq!(data, b"hello");
    assert_eq!(trailers.unwrap()["sum"], "5");
    it.finish(peer).await;
}

#[tokio::test]
async fn responses_out_of_order_reach_their_own_requests() {
    let peer = Peer::serve(&[], async |conn| {
        let mut requests = Vec::new();
        for _ in 0..20 {
            requests.push(conn.next_request().await);
        }
        for request in requests.iter().rev() {
            let path = request.path().to_owned();
            conn.respond(request.stream, 200, path.as_bytes()).await;
        }
    });
    let it = connect(&peer).await;
    let paths: Vec<_> = (0..20).map(|n| format!("/{n}")).collect();
    let futures: Vec<_> = paths
        .iter()
        .map(|path| it.client.request(get(path)))
        .collect();
    for (path, future) in paths.iter().zip(futures) {
        let response = within("a response", future).await.unwrap();
        assert_eq!(read(response).await.unwrap(), path.as_bytes());
    }
    it.finish(peer).await;
}

#[tokio::test]
async fn informational_responses_are_passed_over() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.respond_headers(request.stream, 103, &[("link", "x")], false)
            .await;
        conn.respond(request.stream, 200, b"final").await;
    });
    let it = connect(&peer).await;
    let response = it.send(get("/")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(read(response).await.unwrap(), b"final");
    it.finish(peer).await;
}

#[tokio::test]
async fn a_reset_fails_its_request_only() {
    let peer = Peer::serve(&[], async |conn| {
        let first = conn.next_request().await;
        let second = conn.next_request().await;
        conn.send(Frame::rst(first.stream, code::CANCEL)).await;
        conn.respond(second.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let first = it.client.request(get("/1"));
    let second = it.client.request(get("/2"));
    let error = fails(within("a reset", first).await, ErrorKind::Reset, false);
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert!(error.is_reset() && !error.is_refused());
    says(&error, "CANCEL");
    within("a response", second).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_refused_stream_is_retry_safe() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.send(Frame::rst(request.stream, code::REFUSED_STREAM))
            .await;
    });
    let it = connect(&peer).await;
    let error = fails(it.send(get("/")).await, ErrorKind::Refused, true);
    assert!(error.is_reset() && error.is_refused());
    it.finish(peer).await;
}

/// RFC 9113, section 8.1; fluxzy.core#774: the response is complete, the rest of the request is not wanted.
#[tokio::test]
async fn a_reset_without_error_after_the_end_is_success() {
    let peer = Peer::serve(&[(setting::INITIAL_WINDOW_SIZE, 10)], async |conn| {
        let request = conn.next_request().await;
        assert!(!request.end_stream);
        conn.respond(request.stream, 200, b"enough").await;
        conn.send(Frame::rst(request.stream, code::NO_ERROR)).await;
    });
    // The window is known before, so that most of the body is still to be sent.
    let it = agree(&peer).await;
    let body = full(vec![7; 100_000]);
    let response = it.send(post("/", body)).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"enough");
    it.finish(peer).await;
}

/// Response and reset come together: what arrived first wins, be it the whole response or its beginning.
#[tokio::test]
async fn a_response_that_arrived_wins_over_a_reset() {
    let (io, mut peer) = tokio::io::duplex(10_000);
    let Fixture { client, driver, .. } = drive(io, Builder::new()).await;
    let mut whole = client.request(get("/whole"));
    let mut begun = client.request(get("/begun"));
    pending(&mut whole).await;
    pending(&mut begun).await;
    settle().await;
    // `:status: 200` of HPACK's static table.
    let frames = [
        Frame::settings(&[]),
        Frame::headers(1, [0x88], true),
        Frame::rst(1, Reason::INTERNAL_ERROR.into()),
        Frame::headers(3, [0x88], false),
        Frame::data(3, *b"begun", false),
        Frame::rst(3, Reason::INTERNAL_ERROR.into()),
    ];
    let bytes: Vec<_> = frames.iter().flat_map(Frame::encode).collect();
    // In one piece, so that the driver reads all of it before it looks at either stream.
    peer.write_all(&bytes).await.unwrap();
    let whole = within("a response", whole).await.unwrap();
    assert_eq!(read(whole).await.unwrap(), b"");
    let mut begun = within("a response", begun).await.unwrap().into_body();
    let data = within("data", begun.frame()).await.unwrap().unwrap();
    assert_eq!(data.into_data().unwrap(), "begun");
    let cut_off = within("the end", begun.frame()).await.unwrap();
    fails(cut_off, ErrorKind::Reset, false);
    drop((client, begun, peer));
    let _ = ended(driver).await;
}

#[tokio::test]
async fn a_malformed_response_is_the_peers_fault() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        // A content-length that the body does not keep.
        conn.respond_headers(request.stream, 200, &[("content-length", "3")], true)
            .await;
        conn.reply(b"").await;
    });
    let it = connect(&peer).await;
    let error = fails(it.send(get("/")).await, ErrorKind::Protocol, false);
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    it.send(get("/")).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_broken_connection_is_the_peers_fault() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        // DATA on a stream that nobody opened.
        conn.send(Frame::data(101, *b"?", false)).await;
        let (_, code) = conn.expect_go_away().await;
        assert_eq!(code, code::PROTOCOL_ERROR);
    });
    let it = connect(&peer).await;
    fails(it.send(get("/")).await, ErrorKind::Protocol, false);
    fails(it.close().await, ErrorKind::Protocol, false);
    peer.finish().await;
}

#[tokio::test]
async fn what_http2_cannot_carry_is_refused_at_once() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        assert_eq!(request.path(), "/good", "nothing was sent before");
        conn.respond(request.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let mut connection_specific = get("/");
    let fields = connection_specific.headers_mut();
    fields.insert("connection", "keep-alive".parse().unwrap());
    let invalid = ErrorKind::InvalidRequest;
    fails(it.send(connection_specific).await, invalid, false);
    let mut relative = get("/");
    *relative.uri_mut() = "/relative".parse().unwrap();
    *relative.version_mut() = Version::HTTP_2;
    fails(it.send(relative).await, invalid, false);
    it.send(get("/good")).await.unwrap();
    it.finish(peer).await;
}

fn announced(response: &http::Response<ResponseBody>) -> Option<u64> {
    http_body::Body::size_hint(response.body()).exact()
}

#[tokio::test]
async fn the_response_to_head_has_no_body_whatever_its_length_says() {
    let peer = Peer::serve(&[], async |conn| {
        for end_stream in [true, false] {
            let request = conn.next_request().await;
            let length = [("content-length", "1000")];
            conn.respond_headers(request.stream, 200, &length, end_stream)
                .await;
            if !end_stream {
                conn.send(Frame::data(request.stream, [], true)).await;
            }
        }
    });
    let it = connect(&peer).await;
    for _ in 0..2 {
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        let response = it.send(request).await.unwrap();
        assert_ne!(announced(&response), Some(1000));
        assert_eq!(read(response).await.unwrap(), b"");
    }
    it.finish(peer).await;
}

/// RFC 9110, section 8.6: the length is that of what was not modified.
#[tokio::test]
async fn not_modified_has_no_body_whatever_its_length_says() {
    let peer = Peer::serve(&[], async |conn| {
        for end_stream in [true, false] {
            let request = conn.next_request().await;
            let length = [("content-length", "1000")];
            conn.respond_headers(request.stream, 304, &length, end_stream)
                .await;
        }
    });
    let it = connect(&peer).await;
    for _ in 0..2 {
        let response = it.send(get("/")).await.unwrap();
        assert_ne!(announced(&response), Some(1000));
        if http_body::Body::is_end_stream(response.body()) {
            assert_eq!(read(response).await.unwrap(), b"");
        }
    }
    it.finish(peer).await;
}

/// h2#848, #853, #860, #863: the peer's limit holds, however many requests there are; hyper starts at 100, h2 at no limit at all.
#[tokio::test]
async fn no_more_streams_are_open_than_the_peer_permits() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 2)], async |conn| {
        let mut open = Vec::new();
        for _ in 0..5 {
            while open.len() < 2 {
                open.push(conn.next_request().await);
            }
            let extra = conn.barrier().await;
            lacks(&extra, kind::HEADERS);
            let request = open.remove(0);
            conn.respond(request.stream, 200, b"").await;
        }
        for request in open {
            conn.respond(request.stream, 200, b"").await;
        }
    });
    // The limit must be known before.
    let it = agree(&peer).await;
    let futures: Vec<_> = (0..6)
        .map(|n| it.client.request(get(&format!("/{n}"))))
        .collect();
    for future in futures {
        within("a response", future).await.unwrap();
    }
    it.finish(peer).await;
}

#[tokio::test]
async fn before_the_peers_settings_a_hundred_streams_are_opened() {
    let peer = Peer::start(async |mut conn| {
        conn.preface().await;
        let mut first = Vec::new();
        for _ in 0..100 {
            first.push(conn.next_request().await);
        }
        // A PING is answered also before SETTINGS.
        let more = conn.barrier().await;
        lacks(&more, kind::HEADERS);
        conn.answer(true);
        conn.send(Frame::settings(&[])).await;
        for _ in 0..50 {
            first.push(conn.next_request().await);
        }
        for request in first {
            conn.respond(request.stream, 200, b"").await;
        }
        conn.expect_eof().await;
    });
    let it = connect(&peer).await;
    let futures: Vec<_> = (0..150).map(|_| it.client.request(get("/"))).collect();
    for future in futures {
        within("a response", future).await.unwrap();
    }
    it.finish(peer).await;
}
