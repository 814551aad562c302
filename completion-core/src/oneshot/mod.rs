//! One-shot channels with the names and the behaviour of `tokio::sync::oneshot`.
//!
//! [`channel`] makes a channel of its own memory, [`Pool::channel`] one of a pool's: the same types, and
//! no allocation. Both are a round of this crate under names that a program may know already, so moving
//! to them is a change of imports:
//!
//! ```
//! // use tokio::sync::oneshot;
//! use completion_core::oneshot;
//!
//! let (tx, rx) = oneshot::channel();
//! std::thread::spawn(move || tx.send("pong"));
//! assert_eq!(futures_lite::future::block_on(rx), Ok("pong"));
//! ```
//!
//! and later, where a channel per request is too many, a change of one call:
//!
//! ```
//! use completion_core::Pool;
//!
//! let replies = Pool::new(); // once
//! let (tx, rx) = replies.channel(); // per request
//! std::thread::spawn(move || tx.send("pong"));
//! assert_eq!(futures_lite::future::block_on(rx), Ok("pong"));
//! ```
//!
//! # What differs
//!
//! | | `tokio::sync::oneshot` | here |
//! |---|---|---|
//! | cooperative budget of tokio's tasks | polling counts, and is pending once it is used up | polling does not count; a task that awaits nothing but results that are there should yield now and then |
//! | the receiver's waker | kept until the result is taken | freed at the moment of sending |
//! | `blocking_recv` within a runtime | panics | blocks the runtime's thread |
//! | handles | neither `UnwindSafe` nor `RefUnwindSafe` | both |
//! | `Debug` of a handle | if the value has it | always, with other contents |
//! | `#[must_use]` on a handle | no | yes |
//! | tokio's own tracing | yes | no |
//! | `no_std` | no | with `alloc`, but for `blocking_recv` |
//!
//! # When to use which
//!
//! Use tokio's where the budget or its tracing matters, or where one channel now and then does not merit
//! another dependency. Use [`Completer`](crate::Completer) and [`Completion`](crate::Completion), from
//! [`Pool::rent`], in new code: they tell a failure from a sender that was dropped, and several producers
//! may race by [`Token`](crate::Token).

use crate::pool::{Pool, boxed};
use crate::round::Round;

pub mod error;
mod receiver;
mod sender;

pub use receiver::Receiver;
pub use sender::Sender;

/// A channel for one value, with one allocation.
///
/// # Examples
///
/// ```
/// let (tx, rx) = completion_core::oneshot::channel();
/// tx.send(7).unwrap();
/// assert_eq!(futures_lite::future::block_on(rx), Ok(7));
/// ```
#[inline]
#[cfg_attr(feature = "diagnostics", track_caller)]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    named(boxed())
}

/// The round's handles under their names of this module.
#[inline(always)]
fn named<T>((completer, completion): Round<'static, T, ()>) -> (Sender<T>, Receiver<T>) {
    (Sender { completer }, Receiver { completion })
}

/// Channels have no failures of their own, so the error is `()`: nothing is stored for it, and
/// [`close(())`](Pool::close) closes all channels that are open.
impl<T> Pool<T, ()> {
    /// A [channel](crate::oneshot) for one value, from this pool; beyond its capacity, and after its
    /// closing, as [`rent`](Self::rent) does it.
    ///
    /// That is, the channel has an allocation of its own if all sources are out, and is closed from the
    /// start if the pool is.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::new();
    /// let (tx, mut rx) = pool.channel();
    /// tx.send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// assert_eq!(pool.stats().overflowed, 0);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn channel(&self) -> (Sender<T>, Receiver<T>) {
        named(self.rent())
    }
}
