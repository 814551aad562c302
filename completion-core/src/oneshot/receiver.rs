//! The receiving half.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::error::{RecvError, TryRecvError};
use crate::completion::Completion;

/// Receives the one value of a [`Sender`](super::Sender): a future of `Result<T, RecvError>`.
///
/// See [`Completion`], which it wraps, for reentrancy and leaking.
///
/// # Cancel safety
///
/// Awaiting `&mut Receiver` in a `select` loses nothing. Dropping the receiver closes the channel; a
/// value that was there is dropped.
///
/// # Panics
///
/// Polling again after a result was returned panics, at the caller's location.
///
/// # Examples
///
/// ```
/// use completion_core::oneshot;
/// use futures_lite::future::block_on;
///
/// let (tx, rx) = oneshot::channel();
/// std::thread::spawn(move || tx.send(7));
/// assert_eq!(block_on(rx), Ok(7));
///
/// let (tx, rx) = oneshot::channel::<u32>();
/// drop(tx);
/// assert!(block_on(rx).is_err());
/// ```
#[must_use = "dropping a receiver closes its channel"]
pub struct Receiver<T> {
    pub(crate) completion: Completion<'static, T, ()>,
}

impl<T> Receiver<T> {
    /// Closes the channel: nothing can be sent any more. What was sent before can still be received.
    ///
    /// Without effect on a channel that is closed already, or whose value was received.
    ///
    /// ```
    /// let (tx, mut rx) = completion_core::oneshot::channel();
    /// tx.send(7).unwrap();
    /// rx.close();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    pub fn close(&mut self) {
        self.completion.close();
    }

    /// Whether a result was returned, after which polling panics.
    ///
    /// ```
    /// let (tx, mut rx) = completion_core::oneshot::channel::<u32>();
    /// drop(tx);
    /// assert!(!rx.is_terminated());
    /// assert!(rx.try_recv().is_err()); // which is a result
    /// assert!(rx.is_terminated());
    /// ```
    #[must_use]
    #[inline]
    pub fn is_terminated(&self) -> bool {
        self.completion.is_terminated()
    }

    /// Whether there is no value to receive: not yet, or never more.
    ///
    /// `true` may be out of date when it is read. It does not mean that polling is allowed; see
    /// [`is_terminated`](Self::is_terminated).
    ///
    /// ```
    /// let (tx, mut rx) = completion_core::oneshot::channel();
    /// assert!(rx.is_empty());
    /// tx.send(7).unwrap();
    /// assert!(!rx.is_empty());
    /// rx.try_recv().unwrap();
    /// assert!(rx.is_empty());
    /// ```
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.completion.has_value()
    }

    /// The value, if it is there; does not wait and registers no waker.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] as long as one may come, [`TryRecvError::Closed`] if not.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::oneshot::{self, error::TryRecvError};
    ///
    /// let (tx, mut rx) = oneshot::channel();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.completion.try_take() {
            Some(outcome) => outcome.map_err(|_| TryRecvError::Closed),
            None if self.is_terminated() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline(always)]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.completion).poll(cx));
        Poll::Ready(outcome.map_err(|_| RecvError::new()))
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("completion", &self.completion)
            .finish()
    }
}
