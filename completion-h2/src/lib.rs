//! An HTTP/2 client on the [h2](https://docs.rs/h2) crate, in which every response and every SETTINGS acknowledgment is
//! awaited through a pooled completion: in steady state a request costs no allocation but h2's own, and those for the copy
//! of its header fields if it may be sent again ([`client::Builder::resend_limit`]).
//!
//! # Parts
//!
//! - [`client::Builder`] makes a [`client::Client`] and its [`client::Driver`] of a transport. The driver is a future that
//!   you spawn; it does all the work of the connection, and is the only thing to spawn.
//! - [`client::Connector`] makes connections when they are needed, replaces them before they break, and sends again what a
//!   peer certainly did not process.
//! - Requests are [`http::Request`]s with any [`http_body::Body`]; responses come with a [`client::ResponseBody`], which is
//!   one too. Client and connector are tower [`Service`](tower_service::Service)s with named futures.
//! - [`Error`] says what happened, keeps the cause, and knows whether the request may be sent again.
//! - [`Timer`] is where time comes from, tokio's by default.
//!
//! # How a request travels
//!
//! ```text
//! Client --rent a completion, push--> bounded queue --wake--> Driver --open a stream--> h2 --> tap --> transport
//!   ^                                                           |
//!   +------------- completion <--complete when the head is there+
//! ```
//!
//! The driver polls only streams that have something to tell, pumps request bodies, keeps one timer for all deadlines, and
//! holds a stream's permit until both sides have ended. The tap under h2 sees when SETTINGS leaves and when it is
//! acknowledged, and can say GOAWAY(SETTINGS_TIMEOUT), which h2 cannot.
//!
//! # Guarantees
//!
//! - Every accepted request ends in exactly one outcome, also when the driver is dropped or panics.
//! - Dropping a future cancels: what was not sent is never sent, what was is reset.
//! - A response body that was cut off is an error, never a clean end.
//! - Memory is bounded by the queue, the peer's stream limit, the windows, and the budget for small frames.
//!
//! Not guaranteed: lock-freedom (h2 has a mutex per connection), or fairness among clients that wait for a place in a full
//! queue.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use completion_h2::client::Builder;
//! use http_body_util::{BodyExt, Empty};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (io, server) = tokio::io::duplex(4096);
//! # tokio::spawn(async move {
//! #     let mut server = h2::server::handshake(server).await.unwrap();
//! #     while let Some(Ok((_, mut respond))) = server.accept().await {
//! #         let mut body = respond.send_response(http::Response::new(()), false).unwrap();
//! #         body.send_data("hello".into(), true).unwrap();
//! #     }
//! # });
//! let (client, driver) = Builder::new().handshake(io).await?;
//! tokio::spawn(driver);
//!
//! let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
//! let response = client.request(request).await?;
//! assert_eq!(response.status(), 200);
//! let body = response.into_body().collect().await?.to_bytes();
//! assert_eq!(body, "hello");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod client;
mod driver;
mod error;
mod link;
mod queue;
mod salvage;
mod settings;
mod sync;
mod tap;
mod timer;

pub use error::{Error, ErrorKind};
pub use h2::Reason;
pub use timer::{Timer, TokioTimer};
