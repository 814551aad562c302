//! Stream identifiers that are used up (RFC 9113, section 5.1.1), which takes 2^30 requests unless one begins late.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::io::DuplexStream;

use super::Builder;
use crate::ErrorKind;
use crate::client::Connector;

/// The last number of a stream that a client may open.
const LAST: u32 = (1 << 31) - 1;

/// A transport to a server that answers whatever it is asked.
fn dial() -> DuplexStream {
    let (io, peer) = tokio::io::duplex(1 << 14);
    tokio::spawn(async {
        let mut connection = h2::server::handshake(peer).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            let (_, mut respond) = accepted.unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    io
}

fn beginning_at(number: u32) -> Builder {
    let mut builder = Builder::new();
    builder.h2.initial_stream_id(number);
    builder
}

fn request() -> Request<Empty<Bytes>> {
    Request::get("http://peer/").body(Empty::new()).unwrap()
}

async fn within<F: Future>(future: F) -> F::Output {
    let outcome = tokio::time::timeout(Duration::from_secs(10), future).await;
    outcome.expect("not within ten seconds")
}

#[tokio::test]
async fn a_connection_whose_stream_identifiers_are_used_up_is_unusable() {
    let builder = beginning_at(LAST - 2);
    let (client, driver) = within(builder.handshake(dial())).await.unwrap();
    let driver = tokio::spawn(driver);
    within(client.request(request())).await.unwrap();
    assert!(!client.is_unusable());
    let last = client.request(request());
    let too_late = client.request(request());
    let error = within(too_late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Abandoned);
    assert!(error.is_retry_safe());
    assert!(client.is_unusable());
    // What is under way goes on.
    within(last).await.unwrap();
    drop(client);
    within(driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connector_goes_on_with_a_new_connection_when_stream_identifiers_are_used_up() {
    let transport = || async { Ok::<_, std::io::Error>(dial()) };
    let connector = Connector::new(beginning_at(LAST), transport, tokio::spawn);
    let requests = [(); 3].map(|()| connector.request(request()));
    for response in requests {
        within(response).await.unwrap();
    }
    let stats = connector.stats();
    assert_eq!(stats.connections_established, 3);
    // Those that waited for the first connection. The second is known to be used up before the third request comes to it.
    assert_eq!(stats.resent, 2);
}
