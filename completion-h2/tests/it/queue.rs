//! The bounded queue: places, readiness, back pressure.

use std::task::{Context, Waker};

use completion_h2::ErrorKind;
use completion_h2::client::{Builder, Client};
use tower_service::Service;

use crate::common::{AnyBody, agree_with, connect_with, fails, get, pending, settle, signal};
use crate::support::{Peer, setting, within};

async fn ready(client: &mut Client<AnyBody>) {
    let ready = std::future::poll_fn(|cx| client.poll_ready(cx));
    within("readiness", ready).await.unwrap();
}

fn is_ready(client: &mut Client<AnyBody>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    client.poll_ready(&mut cx).is_ready()
}

/// h2#848: idle clones that are ready must not hold streams; and clones must not defeat readiness.
#[tokio::test]
async fn readiness_is_a_place_in_the_queue_and_no_stream() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async |conn| {
        conn.reply(b"").await;
    });
    let it = connect_with(&peer, Builder::new().queue_capacity(3)).await;
    let (mut a, mut b, mut c) = (it.client.clone(), it.client.clone(), it.client.clone());
    ready(&mut a).await;
    ready(&mut b).await;
    assert!(is_ready(&mut b), "it stays ready");
    // Two are ready and idle; the third sends on the only stream.
    ready(&mut c).await;
    let mut d = it.client.clone();
    assert!(!is_ready(&mut d), "all places are taken");
    within("a response", c.call(get("/"))).await.unwrap();
    ready(&mut d).await;
    let mut e = d.clone();
    assert!(!is_ready(&mut e), "a clone begins without a place");
    drop(a);
    ready(&mut e).await;
    drop((b, c, d, e));
    it.finish(peer).await;
}

#[tokio::test]
async fn requests_beyond_the_queue_wait_and_are_served() {
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 2)], async |conn| {
        for _ in 0..50 {
            conn.reply(b"").await;
        }
    });
    let it = connect_with(&peer, Builder::new().queue_capacity(2)).await;
    let mut tasks = Vec::new();
    for _ in 0..50 {
        tasks.push(tokio::spawn(it.client.request(get("/"))));
    }
    for task in tasks {
        within("a response", task).await.unwrap().unwrap();
    }
    assert_eq!(it.client.pool_stats().rented, 50);
    it.finish(peer).await;
}

#[tokio::test]
async fn who_leaves_while_waiting_for_a_place_lets_others_in() {
    let (tell, mut sent) = signal();
    let peer = Peer::serve(&[(setting::MAX_CONCURRENT_STREAMS, 1)], async move |conn| {
        for path in ["/1", "/2", "/4"] {
            let request = conn.next_request().await;
            assert_eq!(request.path(), path);
            tell.now();
            conn.barrier().await;
            conn.respond(request.stream, 200, b"").await;
        }
    });
    let it = agree_with(&peer, Builder::new().queue_capacity(1)).await;
    let first = it.client.request(get("/1"));
    sent.wait().await;
    let second = it.client.request(get("/2"));
    let mut third = it.client.request(get("/3"));
    let mut fourth = it.client.request(get("/4"));
    pending(&mut third).await;
    pending(&mut fourth).await;
    drop(third);
    within("a response", first).await.unwrap();
    within("a response", second).await.unwrap();
    within("a response", fourth).await.unwrap();
    it.finish(peer).await;
}

#[tokio::test]
async fn a_pool_of_none_serves_all_the_same() {
    let peer = Peer::serve(&[], async |conn| {
        for _ in 0..10 {
            conn.reply(b"").await;
        }
    });
    let it = connect_with(&peer, Builder::new().pool_capacity(0)).await;
    for _ in 0..10 {
        it.send(get("/")).await.unwrap();
    }
    let stats = it.client.pool_stats();
    assert_eq!((stats.capacity, stats.rented, stats.overflowed), (0, 0, 10));
    it.finish(peer).await;
}

/// Nothing is queued, so nothing that is drained gives a place back: the end itself must wake who waits.
#[tokio::test]
async fn the_drivers_end_wakes_who_waits_for_a_place() {
    let peer = Peer::serve(&[], async |_| {});
    let it = agree_with(&peer, Builder::new().queue_capacity(1)).await;
    let mut reserved = it.client.clone();
    ready(&mut reserved).await;
    let mut waits = it.client.clone();
    let waiting = tokio::spawn(async move {
        let ready = std::future::poll_fn(|cx| waits.poll_ready(cx));
        within("an end", ready).await
    });
    let request = tokio::spawn(it.client.request(get("/")));
    settle().await;
    it.driver.abort();
    let gone = ErrorKind::Abandoned;
    fails(waiting.await.unwrap(), gone, true);
    fails(within("an end", request).await.unwrap(), gone, true);
    peer.finish().await;
}

/// More than are opened in one pass of the driver, and none is answered before all are there.
#[tokio::test]
async fn hundreds_of_requests_are_opened_at_once() {
    const REQUESTS: usize = 600;
    let peer = Peer::serve(&[], async |conn| {
        let mut streams = Vec::new();
        for _ in 0..REQUESTS {
            streams.push(conn.next_request().await.stream);
        }
        for stream in streams {
            conn.respond(stream, 200, b"").await;
        }
    });
    let it = agree_with(&peer, Builder::new().queue_capacity(REQUESTS)).await;
    let requests: Vec<_> = (0..REQUESTS).map(|_| it.client.request(get("/"))).collect();
    for response in requests {
        within("a response", response).await.unwrap();
    }
    it.finish(peer).await;
}

#[tokio::test]
async fn a_place_on_a_connection_that_ended_is_of_no_use() {
    let peer = Peer::serve(&[], async |_| {});
    let it = agree_with(&peer, Builder::new()).await;
    let mut client = it.client.clone();
    ready(&mut client).await;
    it.driver.abort();
    settle().await;
    let outcome = std::future::poll_fn(|cx| client.poll_ready(cx));
    let gone = ErrorKind::Abandoned;
    fails(within("readiness", outcome).await, gone, true);
    fails(within("an error", client.call(get("/"))).await, gone, true);
    peer.finish().await;
}
