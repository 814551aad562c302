//! The driver needs no tokio executor: it runs under futures-lite's `block_on`, with a timer of the test's own.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use completion_h2::client::{Builder, RequestTimeout};
use completion_h2::{ErrorKind, Timer};
use futures_lite::future::{block_on, zip};
use http_body_util::{BodyExt, Empty};

use crate::common::{Outcome, fails};

/// A timer with a thread per sleep and reset.
#[derive(Clone)]
struct Threads;

struct Sleep {
    alarm: Arc<Mutex<Alarm>>,
    /// Dropped or replaced, it ends the thread that waits.
    waits: Sender<Infallible>,
}

struct Alarm {
    deadline: Instant,
    waker: Option<Waker>,
}

impl Timer for Threads {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let alarm = Arc::new(Mutex::new(Alarm {
            deadline,
            waker: None,
        }));
        let waits = wake_at(deadline, &alarm);
        Sleep { alarm, waits }
    }

    fn reset(&self, mut sleep: Pin<&mut Sleep>, deadline: Instant) {
        sleep.alarm.lock().unwrap().deadline = deadline;
        sleep.waits = wake_at(deadline, &sleep.alarm);
    }
}

/// Wakes at `deadline`, unless what it returns is dropped before.
fn wake_at(deadline: Instant, alarm: &Arc<Mutex<Alarm>>) -> Sender<Infallible> {
    let (waits, end) = mpsc::channel();
    let alarm = Arc::clone(alarm);
    std::thread::spawn(move || {
        let left = deadline.saturating_duration_since(Instant::now());
        if end.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            let waker = alarm.lock().unwrap().waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    });
    waits
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.alarm.lock().unwrap();
        if alarm.deadline <= Instant::now() {
            return Poll::Ready(());
        }
        alarm.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

type Body = Empty<Bytes>;

fn get(path: &str) -> http::Request<Body> {
    let uri = format!("http://peer{path}");
    http::Request::get(uri).body(Empty::new()).unwrap()
}

async fn read(outcome: Outcome) -> Bytes {
    let body = outcome.unwrap().into_body();
    body.collect().await.unwrap().to_bytes()
}

/// A server that answers all but `/silent`.
async fn serve(io: tokio::io::DuplexStream) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    let mut silent = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if request.uri().path() == "/silent" {
            silent.push(respond);
            continue;
        }
        let mut send = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        send.send_data(request.uri().path().to_owned().into(), true)
            .unwrap();
    }
}

#[test]
fn requests_timeouts_and_the_end_work_without_tokios_executor() {
    let (io, peer) = tokio::io::duplex(1000);
    let server = std::thread::spawn(|| block_on(serve(peer)));
    let builder = Builder::with_timer(Threads).settings_timeout(Duration::from_secs(5));
    let (client, mut driver) = block_on(builder.handshake(io)).unwrap();
    let ack = driver.settings_ack().unwrap();
    let driver = std::thread::spawn(|| block_on(driver));

    block_on(async {
        ack.await.unwrap();
        for n in 0..100 {
            let (a, b) = (format!("/{n}/a"), format!("/{n}/b"));
            let both = zip(client.request(get(&a)), client.request(get(&b)));
            let (response_a, response_b) = both.await;
            assert_eq!(read(response_a).await, a);
            assert_eq!(read(response_b).await, b);
        }
        let mut silent = get("/silent");
        let timeout = RequestTimeout(Duration::from_millis(50));
        silent.extensions_mut().insert(timeout);
        fails(client.request(silent).await, ErrorKind::Timeout, false);
    });
    drop(client);
    driver.join().unwrap().unwrap();
    server.join().unwrap();
}

/// Driver and requests in one task: nothing needs a second one.
#[test]
fn a_driver_can_be_awaited_beside_its_requests() {
    let (io, peer) = tokio::io::duplex(1000);
    let server = std::thread::spawn(|| block_on(serve(peer)));
    let builder = Builder::with_timer(Threads);
    let (client, driver) = block_on(builder.handshake(io)).unwrap();
    let requests = async move {
        for _ in 0..10 {
            assert_eq!(read(client.request(get("/x")).await).await, "/x");
        }
        drop(client);
    };
    let ((), driven) = block_on(zip(requests, driver));
    driven.unwrap();
    server.join().unwrap();
}
