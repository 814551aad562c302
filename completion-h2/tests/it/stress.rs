//! Many requests from many threads: each response carries its own request's nonce (redis-rs#698).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use completion_h2::client::{Builder, Connector};
use http_body_util::{BodyExt, Empty};

use crate::common::idle;
use crate::support::within;

async fn serve(io: tokio::net::TcpStream, seen: Arc<AtomicU64>) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(50)
        // The budget below is ours; this server is to be patient.
        .max_pending_accept_reset_streams(10_000)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(io)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let count = seen.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            // Out of order.
            for _ in 0..count % 7 {
                tokio::task::yield_now().await;
            }
            let nonce = request.headers()["x-nonce"].clone();
            let mut response = http::Response::new(());
            response.headers_mut().insert("x-nonce", nonce.clone());
            if has_body(nonce.to_str().expect("a number")) {
                let mut send = respond.send_response(response, false)?;
                send.send_data(Bytes::copy_from_slice(nonce.as_bytes()), true)?;
            } else {
                respond.send_response(response, true)?;
            }
            Ok::<_, h2::Error>(())
        });
    }
    Ok(())
}

/// Whether the response to the request of this nonce has it as its body, too; else it has none.
fn has_body(nonce: &str) -> bool {
    !nonce.ends_with('0')
}

#[test]
fn every_response_carries_its_own_requests_nonce() {
    const TASKS: u64 = 100;
    let requests: u64 = 1000;
    let runtime = |threads| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap()
    };
    let server = runtime(1);
    let seen = Arc::new(AtomicU64::new(0));
    let listener = server.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::clone(&seen);
    server.spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(serve(io, Arc::clone(&count)));
        }
    });

    let client = runtime(2);
    let connect = move || tokio::net::TcpStream::connect(addr);
    let connector = Connector::new(Builder::new().reset_budget(500), connect, tokio::spawn);
    client.block_on(async {
        let mut tasks = Vec::new();
        for task in 0..TASKS {
            let connector = connector.clone();
            tasks.push(tokio::spawn(async move {
                let mut answered = 0;
                for n in 0..requests {
                    let nonce = (task * requests + n).to_string();
                    let request = http::Request::get("http://peer/")
                        .header("x-nonce", &nonce)
                        .body(Empty::<Bytes>::new())
                        .unwrap();
                    let future = connector.request(request);
                    if n % 10 == 9 {
                        // Some leave early, at different times.
                        let patience = std::time::Duration::from_micros(n * 7 % 900);
                        let Ok(outcome) = tokio::time::timeout(patience, future).await else {
                            continue;
                        };
                        assert_eq!(outcome.unwrap().headers()["x-nonce"], nonce.as_str());
                        answered += 1;
                        continue;
                    }
                    let response = within("a response", future).await.unwrap();
                    assert_eq!(response.headers()["x-nonce"], nonce.as_str());
                    let body = within("its body", response.into_body().collect()).await;
                    let expected = if has_body(&nonce) { &nonce } else { "" };
                    assert_eq!(body.unwrap().to_bytes(), expected);
                    answered += 1;
                }
                answered
            }));
        }
        let mut answered = 0;
        for task in tasks {
            answered += task.await.unwrap();
        }
        assert!(answered >= TASKS * requests * 9 / 10);
        idle(|| connector.stats().pool).await;
        let stats = connector.stats();
        assert_eq!(stats.pool.overflowed, 0);
        assert!(stats.pool.rented >= TASKS * requests);
    });
}
