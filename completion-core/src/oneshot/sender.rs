//! The sending half.

use core::fmt;
use core::task::{Context, Poll};

use crate::completer::Completer;
use crate::error::Rejected;

/// Sends one value to the [`Receiver`](super::Receiver).
///
/// Dropping it unused makes the receiver yield a [`RecvError`](super::error::RecvError). See
/// [`Completer`], which it wraps, for reentrancy and leaking.
///
/// # Examples
///
/// ```
/// use completion_core::oneshot;
///
/// let (tx, mut rx) = oneshot::channel();
/// tx.send(7).unwrap();
/// assert_eq!(rx.try_recv(), Ok(7));
/// ```
#[must_use = "dropping a sender closes its channel"]
pub struct Sender<T> {
    pub(super) completer: Completer<'static, T, ()>,
}

impl<T> Sender<T> {
    /// Sends the value, and wakes whoever waits for it. Never waits.
    ///
    /// `Ok` does not mean that the value will be received: the receiver may be dropped at any time.
    ///
    /// # Errors
    ///
    /// The value comes back if the receiver was dropped or [closed](super::Receiver::close), or the
    /// pool was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = completion_core::oneshot::channel();
    /// drop(rx);
    /// assert_eq!(tx.send(7), Err(7));
    /// ```
    #[inline]
    pub fn send(self, value: T) -> Result<(), T> {
        self.completer
            .complete(value)
            .map_err(Rejected::into_payload)
    }

    /// Waits until the receiver is dropped or [closed](super::Receiver::close), or the pool is closed.
    ///
    /// For `select` beside the work for which nobody may be waiting any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Its waker is kept until the sender is used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let (mut tx, rx) = completion_core::oneshot::channel::<u32>();
    /// block_on(zip(tx.closed(), async { drop(rx) }));
    /// ```
    pub async fn closed(&mut self) {
        self.completer.closed().await;
    }

    /// Whether [`send`](Self::send) would be in vain.
    ///
    /// `true` is final. `false` may be out of date when it is read.
    ///
    /// ```
    /// let (tx, mut rx) = completion_core::oneshot::channel::<u32>();
    /// assert!(!tx.is_closed());
    /// rx.close();
    /// assert!(tx.is_closed());
    /// ```
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.completer.is_closed()
    }

    /// Ready when [`send`](Self::send) would be in vain; otherwise the task is woken when that is so.
    ///
    /// Only the waker of the last poll is woken.
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    ///
    /// let (mut tx, rx) = completion_core::oneshot::channel::<u32>();
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(tx.poll_closed(&mut cx).is_pending());
    /// drop(rx);
    /// assert_eq!(tx.poll_closed(&mut cx), Poll::Ready(()));
    /// ```
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.completer.poll_closed(cx)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("completer", &self.completer)
            .finish()
    }
}
