//! SETTINGS and their acknowledgments.

use std::time::Duration;

use completion_h2::client::Builder;
use completion_h2::{ErrorKind, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::common::{
    Step, agree, connect, connect_with, drive, ended, fails, frames, full, get, opening, pending,
    post, read, settle, signal, steps, undriven,
};
use crate::support::{Frame, Peer, kind, lacks, setting, within};

const SHORT: Duration = Duration::from_millis(150);
const MOMENT: Duration = Duration::from_millis(1);

/// The one way of an acknowledgment to its caller is its completion: with the call of `complete` in `driver/ack.rs`
/// removed, this test fails.
#[tokio::test]
async fn the_acknowledgment_of_the_handshake_arrives_through_its_completion() {
    let (tell, mut written) = signal();
    let (go, mut passed) = signal();
    let peer = Peer::start(async move |mut conn| {
        conn.preface().await;
        conn.send(Frame::settings(&[])).await;
        conn.expect_settings().await;
        tell.now();
        passed.wait().await;
        conn.send(Frame::settings_ack()).await;
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let mut it = connect_with(&peer, clock.builder()).await;
    written.wait().await;
    clock.advance(SHORT);
    go.now();
    let ack = within("the acknowledgment", &mut it.ack).await;
    assert_eq!(ack.unwrap(), SHORT);
    it.finish(peer).await;
}

/// http4s#6553; grpc/grpc#27847: a server that acknowledges only with its response.
#[tokio::test]
async fn requests_do_not_wait_for_the_acknowledgment() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake_without_ack(&[]).await;
        conn.reply(b"first").await;
        conn.send(Frame::settings_ack()).await;
        conn.expect_eof().await;
    });
    let mut it = connect(&peer).await;
    let response = it.send(get("/")).await.unwrap();
    assert_eq!(read(response).await.unwrap(), b"first");
    within("the acknowledgment", &mut it.ack).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn without_acknowledgment_everything_fails_and_the_peer_is_told() {
    let (tell, mut sent_both) = signal();
    let peer = Peer::start(async move |mut conn| {
        conn.handshake_without_ack(&[(setting::MAX_CONCURRENT_STREAMS, 2)])
            .await;
        conn.begin().await;
        conn.next_request().await;
        tell.now();
        let (last, code) = conn.expect_go_away().await;
        assert_eq!((last, code), (0, Reason::SETTINGS_TIMEOUT.into()));
        conn.expect_eof().await;
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().settings_timeout(SHORT)).await;
    let body = it.send(get("/body")).await.unwrap();
    let sent = it.client.request(get("/sent"));
    let queued = it.client.request(get("/queued"));
    let change = it.client.set_initial_window_size(1 << 20);
    sent_both.wait().await;
    clock.advance(SHORT - MOMENT);
    settle().await;
    assert!(!it.client.is_closed());
    clock.advance(MOMENT);
    let kind = ErrorKind::SettingsTimeout;
    let error = fails(within("an error", sent).await, kind, false);
    assert!(error.is_timeout());
    fails(within("an error", queued).await, kind, true);
    fails(read(body).await, kind, false);
    fails(within("an error", it.ack).await, kind, false);
    fails(within("an error", change).await, kind, false);
    let late = it.client.request(get("/late"));
    fails(within("an error", late).await, kind, true);
    assert_eq!(it.client.pool_stats().in_use, 0);
    fails(ended(it.driver).await, kind, false);
    peer.finish().await;
}

#[tokio::test]
async fn a_change_is_sent_acknowledged_and_obeyed() {
    let (tell, mut arrived) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        let settings = conn.expect_settings().await;
        assert_eq!(settings.payload.len(), 6);
        assert_eq!(
            &settings.payload[..2],
            &setting::INITIAL_WINDOW_SIZE.to_be_bytes()
        );
        assert_eq!(settings.number(2), 200_000);
        let request = conn.begin().await;
        // More than the window at the beginning, before anything is read.
        for left in (0..6).rev() {
            conn.send(Frame::data(request.stream, vec![0; 13_000], left == 0))
                .await;
        }
        conn.ping().await;
        tell.now();
    });
    let builder = Builder::new().initial_connection_window_size(200_000);
    let it = connect_with(&peer, builder).await;
    let change = it.client.set_initial_window_size(200_000);
    within("the acknowledgment", change).await.unwrap();
    let response = it.send(get("/")).await.unwrap();
    arrived.wait().await;
    assert_eq!(read(response).await.unwrap().len(), 6 * 13_000);
    it.finish(peer).await;
}

#[tokio::test]
async fn only_one_settings_is_outstanding_and_dropped_changes_are_not_made() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake_without_ack(&[]).await;
        let early = conn.barrier().await;
        let settings = |frame: &Frame| frame.kind == kind::SETTINGS;
        assert!(!early.iter().any(settings), "{early:?}");
        for size in [1, 3] {
            conn.send(Frame::settings_ack()).await;
            let settings = conn.expect_settings().await;
            assert_eq!(settings.number(2), size);
        }
        conn.send(Frame::settings_ack()).await;
        conn.expect_eof().await;
    });
    let it = connect(&peer).await;
    let first = it.client.set_initial_window_size(1);
    let second = it.client.set_initial_window_size(2);
    let third = it.client.set_initial_window_size(3);
    drop(second);
    within("the first", first).await.unwrap();
    within("the third", third).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_change_that_is_not_acknowledged_ends_the_connection() {
    let (tell, mut there) = signal();
    let peer = Peer::serve(&[], async move |conn| {
        conn.barrier().await;
        conn.answer(false);
        tell.now();
        conn.expect_settings().await;
        tell.now();
        let (_, code) = conn.expect_go_away().await;
        assert_eq!(code, Reason::SETTINGS_TIMEOUT.into());
    });
    let clock = Clock::new();
    let it = connect_with(&peer, clock.builder().settings_timeout(SHORT)).await;
    within("the acknowledgment", it.ack).await.unwrap();
    there.wait().await;
    // The first one's time does not count for the second.
    clock.advance(SHORT / 2);
    let mut change = it.client.set_initial_window_size(1);
    there.wait().await;
    clock.advance(SHORT - MOMENT);
    settle().await;
    pending(&mut change).await;
    clock.advance(MOMENT);
    let kind = ErrorKind::SettingsTimeout;
    fails(within("an error", change).await, kind, false);
    fails(ended(it.driver).await, kind, false);
    peer.finish().await;
}

#[tokio::test]
async fn a_window_beyond_the_limit_is_refused() {
    let peer = Peer::serve(&[], async |conn| {
        let rest = conn.expect_eof().await;
        lacks(&rest, kind::SETTINGS);
    });
    let it = agree(&peer).await;
    let change = it.client.set_initial_window_size(1 << 31);
    fails(change.await, ErrorKind::InvalidRequest, false);
    it.finish(peer).await;
}

#[tokio::test]
async fn an_acknowledgment_too_many_is_the_peers_fault() {
    let peer = Peer::serve(&[], async |conn| {
        conn.next_request().await;
        conn.send(Frame::settings_ack()).await;
        conn.expect_go_away().await;
    });
    let it = connect(&peer).await;
    fails(it.send(get("/")).await, ErrorKind::Protocol, false);
    within("the acknowledgment", it.ack).await.unwrap();
    peer.finish().await;
}

#[tokio::test]
async fn the_connections_end_fails_who_waits_for_an_acknowledgment() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake_without_ack(&[]).await;
        conn.abort();
    });
    let it = connect(&peer).await;
    let mut change = it.client.set_initial_window_size(1);
    pending(&mut change).await;
    let lost = ErrorKind::ConnectionLost;
    fails(within("an error", it.ack).await, lost, false);
    fails(within("an error", change).await, lost, false);
    let late = it.client.set_initial_window_size(1);
    fails(within("an error", late).await, lost, false);
    peer.finish().await;
}

/// The window that the peer takes back, below zero, stops an upload and no more.
#[tokio::test]
async fn a_window_that_shrinks_during_an_upload_is_waited_out() {
    let peer = Peer::serve(&[], async |conn| {
        let request = conn.next_request().await;
        conn.wait("DATA", |frame| frame.kind == kind::DATA).await;
        conn.send(Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]))
            .await;
        conn.barrier().await;
        conn.send(Frame::window_update(request.stream, 200_000))
            .await;
        conn.send(Frame::window_update(0, 200_000)).await;
        conn.wait("the end", Frame::ends_stream).await;
        conn.respond(request.stream, 200, b"").await;
    });
    let it = connect(&peer).await;
    let parts = (0..100).map(|_| Step::Data(vec![0; 1000].into()));
    let body = steps(parts.flat_map(|part| [Step::Yield, part]));
    it.send(post("/", body)).await.unwrap();
    it.finish(peer).await;
}

/// The acknowledgment and the end of its time, both of which the driver sees in one poll.
#[tokio::test]
async fn an_acknowledgment_that_is_there_wins_over_the_time_limit() {
    let clock = Clock::new();
    let (io, mut peer) = tokio::io::duplex(10_000);
    let builder = clock.builder().settings_timeout(SHORT);
    let it = drive(io, builder).await;
    settle().await;
    // Nothing else runs between these two.
    peer.write_all(&opening(&[])).await.unwrap();
    clock.advance(SHORT);
    assert_eq!(within("the acknowledgment", it.ack).await.unwrap(), SHORT);
    drop((it.client, peer));
    let _ = ended(it.driver).await;
}

/// vert.x#2609: who waits is known before SETTINGS is written, so it does not matter how early the acknowledgment comes,
/// nor how late its future is asked for.
#[tokio::test]
async fn an_acknowledgment_may_come_before_its_future_is_asked_for() {
    let peer = Peer::serve(&[], async |conn| {
        conn.reply(b"").await;
    });
    let (client, mut driver) = undriven(&peer, Builder::new()).await;
    // The peer acknowledges before it answers.
    tokio::select! {
        response = client.request(get("/")) => drop(response.unwrap()),
        ended = &mut driver => panic!("{ended:?}"),
    }
    let ack = driver.settings_ack().unwrap();
    within("the acknowledgment", ack).await.unwrap();
    drop(client);
    within("the driver's end", driver).await.unwrap();
    peer.finish().await;
}

/// Late, in pieces, and with an answered request between the pieces.
#[tokio::test]
async fn an_acknowledgment_may_come_byte_by_byte() {
    let peer = Peer::start(async |mut conn| {
        conn.handshake_without_ack(&[]).await;
        let ack = Frame::settings_ack().encode();
        conn.send_in_pieces(&ack[..ack.len() - 1], 1).await;
        conn.next_request().await;
        conn.send_bytes(&ack[ack.len() - 1..]).await;
        conn.respond(1, 200, b"").await;
        conn.expect_eof().await;
    });
    let mut it = connect(&peer).await;
    let request = it.client.request(get("/"));
    pending(&mut it.ack).await;
    within("a response", request).await.unwrap();
    within("the acknowledgment", &mut it.ack).await.unwrap();
    it.finish(peer).await;
}

/// h2 has the acknowledgment in its buffer, behind a PING that it cannot answer: the next SETTINGS waits until it can.
#[tokio::test]
async fn a_change_waits_for_an_acknowledgment_that_h2_has_not_seen() {
    let (io, mut peer) = tokio::io::duplex(256);
    let mut it = drive(io, Builder::new()).await;
    let settings = Frame::settings(&[]).encode();
    peer.write_all(&settings).await.unwrap();
    let _blocks = it.client.request(post("/", full(vec![0; 1000])));
    settle().await;
    let change = it.client.set_initial_window_size(100_000);
    let late = [Frame::ping(*b"answered", false), Frame::settings_ack()];
    let late = late.map(|frame| frame.encode()).concat();
    peer.write_all(&late).await.unwrap();
    within("the acknowledgment", &mut it.ack).await.unwrap();
    settle().await;

    let mut preface = [0; 24];
    within("the preface", peer.read_exact(&mut preface))
        .await
        .unwrap();
    let sent = frames(&mut peer, &mut Vec::new()).await;
    let place = |what: fn(&Frame) -> bool| sent.iter().position(what).expect("it was sent");
    let is_change = |frame: &Frame| {
        let parameter = setting::INITIAL_WINDOW_SIZE.to_be_bytes();
        frame.kind == kind::SETTINGS && frame.payload.starts_with(&parameter)
    };
    assert!(place(|frame| frame.kind == kind::PING) < place(is_change));
    let ack = Frame::settings_ack().encode();
    peer.write_all(&ack).await.unwrap();
    within("the acknowledgment", change).await.unwrap();
    drop(peer);
    fails(ended(it.driver).await, ErrorKind::ConnectionLost, false);
}
