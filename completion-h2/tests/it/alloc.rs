//! In steady state a request costs no allocation of ours: only the two of h2.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use completion_h2::client::{Builder, Connector};
use http::{Request, Response};
use http_body_util::Empty;

use crate::support::within;

/// Counts the allocations of each thread, and the bytes it holds.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// From here on, [`peak`] is how many more bytes this thread has held at a time.
pub(crate) fn begin_peak() {
    LIVE.set(0);
    PEAK.set(0);
}

/// See [`begin_peak`].
pub(crate) fn peak() -> usize {
    PEAK.get().try_into().unwrap_or(0)
}

fn held(change: isize) {
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        PEAK.set(PEAK.get().max(live.get()));
    });
}

// SAFETY: passes everything on to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        held(layout.size().cast_signed());
        // SAFETY: what the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        held(-layout.size().cast_signed());
        // SAFETY: what the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server that answers on a thread of its own, so that its allocations are not counted.
fn serve() -> SocketAddr {
    let (told, addr) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((io, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(io).await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond.send_response(Response::new(()), true).unwrap();
                    }
                });
            }
        });
    });
    addr.recv().unwrap()
}

/// Sends `count` requests, `at_once` of them at a time, without allocating for it.
async fn run(
    connector: &Connector<Empty<Bytes>>,
    template: &Request<()>,
    count: usize,
    at_once: usize,
) {
    let request = || {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = template.uri().clone();
        for (name, value) in template.headers() {
            request.headers_mut().insert(name, value.clone());
        }
        request
    };
    let mut futures: Vec<_> = (0..at_once).map(|_| connector.request(request())).collect();
    let mut left = count - at_once;
    let mut done = 0;
    let all = poll_fn(|cx| {
        let mut at = 0;
        while at < futures.len() {
            match Pin::new(&mut futures[at]).poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(response) => {
                    assert_eq!(response.unwrap().status(), 200);
                    done += 1;
                    if left > 0 {
                        left -= 1;
                        futures[at] = connector.request(request());
                    } else {
                        drop(futures.swap_remove(at));
                    }
                }
            }
        }
        if futures.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    within("all responses", all).await;
    assert_eq!(done, count);
}

/// A GET without fields.
fn plain(addr: SocketAddr) -> Request<()> {
    Request::get(format!("http://{addr}/")).body(()).unwrap()
}

/// How many more allocations than h2's two a request costs, and how many overflowed the pool.
fn allocations_per_request(
    at_once: usize,
    builder: Builder,
    template: fn(SocketAddr) -> Request<()>,
) -> (f64, f64) {
    const REQUESTS: usize = 2000;
    let addr = serve();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connect = move || tokio::net::TcpStream::connect(addr);
        let connector = Connector::new(builder, connect, tokio::spawn);
        let template = template(addr);
        // Copies of the URI share its text from the first one on.
        let _first = template.uri().clone();
        run(&connector, &template, 500, at_once).await;
        let before = (COUNT.get(), connector.stats().pool);
        run(&connector, &template, REQUESTS, at_once).await;
        let after = (COUNT.get(), connector.stats().pool);
        assert_eq!(after.1.in_use, 0);
        let allocations = (after.0 - before.0) as f64 / REQUESTS as f64;
        let overflowed = (after.1.overflowed - before.1.overflowed) as f64 / REQUESTS as f64;
        (allocations - 2.0, overflowed)
    })
}

#[track_caller]
fn assert_about(count: f64, expected: f64) {
    let range = expected - 0.01..=expected + 0.05;
    assert!(range.contains(&count), "{count} instead of {expected}");
}

#[test]
fn an_empty_get_costs_two_allocations_one_at_a_time() {
    let (ours, overflowed) = allocations_per_request(1, Builder::new(), plain);
    assert_about(ours, 0.0);
    assert_about(overflowed, 0.0);
}

#[test]
fn an_empty_get_costs_two_allocations_many_at_a_time_with_a_timeout() {
    let builder = Builder::new().timeout(Duration::from_secs(10));
    let (ours, overflowed) = allocations_per_request(64, builder, plain);
    assert_about(ours, 0.0);
    assert_about(overflowed, 0.0);
}

#[test]
fn a_round_beyond_the_pools_capacity_is_one_allocation() {
    let builder = Builder::new().pool_capacity(0);
    let (ours, overflowed) = allocations_per_request(1, builder, plain);
    assert_about(ours, 1.0);
    assert_about(overflowed, 1.0);
}

#[test]
fn a_copy_of_fields_to_be_sent_again_is_two_allocations() {
    let template = |addr| {
        let mut request = plain(addr);
        let value = http::HeaderValue::from_static("text/plain");
        request.headers_mut().insert(http::header::ACCEPT, value);
        request
    };
    let (once, _) = allocations_per_request(1, Builder::new().resend_limit(0), template);
    let (again, _) = allocations_per_request(1, Builder::new(), template);
    assert_about(again - once, 2.0);
}
