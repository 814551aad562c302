#![doc = include_str!("../README.md")]
//!
//! ## Example
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
