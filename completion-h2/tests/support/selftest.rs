//! Checks the support itself, against h2's own client and against bare sockets.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request as HttpRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{
    Conn, Door, Fields, Frame, PATIENCE, Peer, Request, code, flag, hpack, kind, lacks, setting,
    within,
};

type Connection = JoinHandle<Result<(), h2::Error>>;

/// An h2 client on a fresh socket, its connection spawned.
async fn client<T: Send + 'static>(peer: &Peer<T>) -> (SendRequest<Bytes>, Connection) {
    let io = within("connecting", TcpStream::connect(peer.addr()));
    let shake = h2::client::handshake(io.await.unwrap());
    let (send, connection) = within("the handshake", shake).await.unwrap();
    (send, tokio::spawn(connection))
}

fn get(path: &str) -> HttpRequest<()> {
    let uri = format!("http://peer{path}");
    HttpRequest::get(uri).body(()).unwrap()
}

#[tokio::test]
async fn plain_exchange_with_body_and_trailers() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 5)], async |conn| {
        let request = conn.next_request().await;
        assert!(!request.end_stream);
        let (body, trailers) = conn.body(request.stream).await;
        assert_eq!(trailers, Some(Fields::from([("t".into(), "~".into())])));
        conn.respond_headers(request.stream, 299, &[("x-long", &"v".repeat(300))], false)
            .await;
        conn.send(Frame::data(request.stream, body.len().to_string(), false))
            .await;
        conn.trailers(request.stream, &[("sum", "1")]).await;

        let second = conn.reply(b"bye").await;
        assert!(second.end_stream);
        let third = conn.begin().await;
        conn.send(Frame::data(third.stream, *b"bye", true)).await;
        assert_eq!(conn.expect_go_away().await, (0, code::NO_ERROR));
        (request, second)
    });
    let (mut send, connection) = client(&peer).await;
    let post = HttpRequest::post("http://peer/up?q=\u{fc}")
        .header("x-nonce", "17")
        .body(());
    let (response, mut body) = send.send_request(post.unwrap(), false).unwrap();
    // More than the initial windows: the peer has to give them back.
    body.reserve_capacity(100_000);
    let mut left = 100_000;
    while left > 0 {
        let wait = std::future::poll_fn(|cx| body.poll_capacity(cx));
        let room = within("capacity", wait).await.unwrap().unwrap();
        let size = room.min(left);
        body.send_data(vec![0; size].into(), false).unwrap();
        left -= size;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("t", "~".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let response = within("a response", response).await.unwrap();
    assert_eq!(response.status(), 299);
    assert_eq!(response.headers()["x-long"].len(), 300);
    // h2 ends a connection that has no handles left.
    drop(body);
    let mut body = response.into_body();
    let data = within("data", body.data()).await.unwrap().unwrap();
    assert_eq!(data, "100000");
    assert!(within("the end", body.data()).await.is_none());
    let trailers = within("trailers", body.trailers()).await.unwrap();
    assert_eq!(trailers.unwrap()["sum"], "1");
    drop(body);

    for path in ["/second", "/third"] {
        let (response, _) = send.send_request(get(path), true).unwrap();
        let response = within("a response", response).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let data = within("data", body.data()).await.unwrap().unwrap();
        assert_eq!(data, "bye");
        assert!(within("the end", body.data()).await.is_none());
    }
    drop(send);
    within("the connection", connection).await.unwrap().unwrap();
    let (first, second): (Request, Request) = peer.finish().await;
    assert_eq!(first.path(), "/up?q=\u{fc}");
    assert_eq!(first.get(":method"), Some("POST"));
    assert_eq!(first.get("x-nonce"), Some("17"));
    assert_eq!(first.get("absent"), None);
    assert_eq!(second.path(), "/second");
}

#[tokio::test]
async fn header_blocks_of_several_frames_in_both_directions() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake(&[]).await;
        let request = conn.next_request().await;
        let block = hpack::response_block(500, &[("a", "1")]);
        let (first, second) = block.split_at(2);
        let mut headers = Frame::headers(request.stream, first, true);
        headers.flags &= !flag::END_HEADERS;
        let continuation = Frame::continuation(request.stream, [], false);
        let last = Frame::continuation(request.stream, second, true);
        let bytes = [headers.encode(), continuation.encode(), last.encode()].concat();
        conn.send_in_pieces(&bytes, 1).await;
        let next = conn.next_request().await;
        conn.respond(next.stream, 404, b"").await;
        (
            request.get("x-big").map(str::len),
            next.get("x-big").map(str::len),
        )
    });
    let (mut send, _connection) = client(&peer).await;
    for status in [500, 404] {
        let mut request = get("/");
        let big = "~".repeat(30_000).parse().unwrap();
        request.headers_mut().insert("x-big", big);
        let (response, _) = send.send_request(request, true).unwrap();
        let response = within("a response", response).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(peer.finish().await, (Some(30_000), Some(30_000)));
}

#[tokio::test]
async fn resets_barriers_and_selective_receipt() {
    let peer = Peer::serve(&[], async |conn| {
        let first = conn.next_request().await;
        let second = conn.next_request().await;
        conn.send(Frame::rst(second.stream, code::REFUSED_STREAM))
            .await;
        conn.send(Frame::window_update(0, 10)).await;
        assert_eq!(conn.expect_rst(first.stream).await, code::CANCEL);
        let quiet = conn.barrier().await;
        lacks(&quiet, kind::RST_STREAM);
        conn.send(Frame::go_away(0, code::PROTOCOL_ERROR, b"debug"))
            .await;
    });
    let (mut send, connection) = client(&peer).await;
    let (first, _) = send.send_request(get("/1"), true).unwrap();
    let (second, _) = send.send_request(get("/2"), true).unwrap();
    let error = within("an error", second).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    drop(first);
    let error = within("the end", connection).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    peer.finish().await;
}

#[tokio::test]
async fn settings_can_be_withheld_and_acknowledged_by_hand() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake_without_ack(&[(setting::INITIAL_WINDOW_SIZE, 9)])
            .await;
        conn.reply(b"").await;
        conn.send(Frame::settings_ack()).await;
        conn.answer(true);
        conn.expect_settings().await;
    });
    let io = within("connecting", TcpStream::connect(peer.addr()));
    let shake = h2::client::handshake(io.await.unwrap());
    let (mut send, mut connection) = within("the handshake", shake).await.unwrap();
    let (response, _) = send.send_request(get("/"), true).unwrap();
    let mut response = std::pin::pin!(response);
    let both = std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut connection).poll(cx).is_pending());
        response.as_mut().poll(cx)
    });
    within("a response", both).await.unwrap();
    // Refused while the first SETTINGS is not acknowledged.
    let again = std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut connection).poll(cx).is_pending());
        match connection.set_initial_window_size(70_000) {
            Ok(()) => std::task::Poll::Ready(()),
            Err(_) => std::task::Poll::Pending,
        }
    });
    within("the acknowledgment", again).await;
    // The new SETTINGS is only queued: poll on until the peer has it, is content and closes.
    let ended = std::future::poll_fn(|cx| std::pin::Pin::new(&mut connection).poll(cx));
    let (_, ()) = tokio::join!(within("the end", ended), peer.finish());
}

#[tokio::test]
async fn bare_sockets_see_frames_floods_ends_and_resets() {
    let peer = Peer::start_many(async |mut door: Door| {
        let mut conn: Conn = door.accept().await;
        conn.preface().await;
        conn.send_bytes(b"raw").await;
        let ping = conn.read().await.unwrap();
        assert_eq!(
            format!("{ping:?}"),
            "PING[stream 0, flags 0x0, [1, 1, 1, 1, 1, 1, 1, 1]]"
        );
        assert_eq!(conn.read().await.map(|frame| frame.kind), Some(200));
        conn.shutdown().await;
        assert_eq!(conn.read().await, None);

        let mut conn = door.accept().await;
        conn.preface().await;
        conn.abort();

        let mut conn = door.accept().await;
        let flood = Frame::ping([0; 8], false).encode().repeat(1000);
        while conn.try_send_bytes(&flood).await.is_ok() {}
    });
    let connect = || within("connecting", TcpStream::connect(peer.addr()));

    let mut io = connect().await.unwrap();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    io.write_all(&Frame::ping([1; 8], false).encode())
        .await
        .unwrap();
    io.write_all(&Frame::new(200, 1, 3, *b"?").encode())
        .await
        .unwrap();
    let mut seen = Vec::new();
    within("the end", io.read_to_end(&mut seen)).await.unwrap();
    assert_eq!(seen, b"raw");
    drop(io);

    let mut io = connect().await.unwrap();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let error = within("a reset", io.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    drop(connect().await.unwrap());
    peer.finish().await;
}

#[tokio::test]
async fn a_panic_of_the_script_reaches_the_test() {
    let peer: Peer<()> = Peer::start(async |mut conn| {
        conn.next_request().await;
    });
    drop(within("connecting", TcpStream::connect(peer.addr())).await);
    let finish = tokio::spawn(AssertUnwindSafe(peer.finish()).0);
    let panic = within("the panic", finish).await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().expect("a formatted panic");
    assert!(text.contains("a request: connection ended"), "{text}");
}

#[tokio::test]
async fn a_dropped_peer_closes_its_connections() {
    let peer = Peer::start(async |mut conn| conn.preface().await);
    let io = within("connecting", TcpStream::connect(peer.addr()));
    let mut io = io.await.unwrap();
    drop(peer);
    // An end or a reset, as the accept happened before the drop or not.
    let outcome = within("the end", io.read_u8()).await;
    outcome.expect_err("nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_names_the_caller() {
    let started = tokio::time::Instant::now();
    let waits = tokio::spawn(within("never", std::future::pending::<()>()));
    let panic = waits.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().expect("a formatted panic");
    assert!(text.contains("selftest.rs"), "{text}");
    assert!(started.elapsed() >= PATIENCE);
}

#[test]
fn huffman_and_integers_agree_with_the_examples_of_the_rfc() {
    // RFC 7541, C.4.1 and C.4.2: two requests on one connection; C.1.2: an integer of several bytes.
    let mut decoder = hpack::Decoder::default();
    let pairs = |fields: &Fields| fields.iter().map(|f| f.1.clone()).collect::<Vec<_>>();
    let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
    assert_eq!(
        pairs(&decoder.decode(first)),
        ["GET", "http", "/", "www.example.com"]
    );
    assert_eq!(
        pairs(&decoder.decode(second)),
        ["GET", "http", "/", "www.example.com", "no-cache"]
    );
    for length in [0, 126, 127, 128, 254, 255, 256, 20_000] {
        let text = "a".repeat(length);
        let block = hpack::field_block(&[("n", &text)]);
        assert_eq!(
            hpack::Decoder::default().decode(&block),
            [("n".to_owned(), text)]
        );
    }
}
