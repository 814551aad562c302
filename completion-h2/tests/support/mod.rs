//! A scripted HTTP/2 server that works on raw frames, so that it can misbehave in every way.
//!
//! A test starts a [`Peer`] with a script; the script gets a [`Conn`] for the accepted TCP connection and says frame by frame
//! what happens. The peer runs on a thread and runtime of its own: it keeps real time, is not slowed by the test's
//! executor, and its panics reach the test through [`Peer::finish`].
//!
//! ```ignore
//! let peer = Peer::serve(&[], async |conn| {
//!     let request = conn.next_request().await;
//!     assert_eq!(request.path(), "/");
//!     conn.respond(request.stream, 200, b"hello").await;
//! });
//! let io = TcpStream::connect(peer.addr()).await?;
//! // ... use the client ...
//! peer.finish().await;
//! ```
//!
//! Everything that waits is bounded by [`PATIENCE`]. `selftest.rs` checks each helper, which also keeps every one of them in
//! use, whatever the tests of the day need.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

pub(crate) use frame::{Frame, code, flag, kind, lacks, setting};
pub(crate) use hpack::Fields;
pub(crate) use peer::{Conn, Door, Peer, Request};

mod frame;
mod hpack;
mod peer;
mod selftest;

/// How long anything in a test may take before the test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits `future`, or panics at the caller after [`PATIENCE`], naming `what` did not happen.
///
/// On a runtime whose clock is paused, only await what needs no I/O: an idle paused clock jumps ahead at once.
#[track_caller]
pub(crate) fn within<F: Future>(what: impl Display, future: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let begin = tokio::time::Instant::now();
        match tokio::time::timeout(PATIENCE, future).await {
            // When the time is over the future is polled once more, which would hide that nobody woke it.
            Ok(output) if begin.elapsed() < PATIENCE => output,
            _ => panic!("{at}: {what}: not within {PATIENCE:?}"),
        }
    }
}
