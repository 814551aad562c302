//! What a [`Receiver`](super::Receiver) reports.

use core::error::Error;
use core::fmt;

/// Why a [`Receiver`](super::Receiver) yields no value: none will come.
///
/// The sender was dropped without sending, the receiver was [closed](super::Receiver::close) before
/// anything was sent, or the pool was closed.
///
/// # Examples
///
/// ```
/// use completion_core::oneshot::{self, error::RecvError};
/// use std::error::Error;
///
/// async fn doubled(rx: oneshot::Receiver<u32>) -> Result<u32, Box<dyn Error>> {
///     Ok(2 * rx.await?)
/// }
///
/// let (tx, rx) = oneshot::channel();
/// drop(tx);
/// let error = futures_lite::future::block_on(doubled(rx)).unwrap_err();
/// assert!(error.is::<RecvError>());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvError(());

impl RecvError {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel closed")
    }
}

impl Error for RecvError {}

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) yields no value.
///
/// # Examples
///
/// ```
/// use completion_core::oneshot::{self, error::TryRecvError};
/// use std::ops::ControlFlow;
///
/// // Once around a loop that has other things to do.
/// fn look(rx: &mut oneshot::Receiver<u32>) -> ControlFlow<Option<u32>> {
///     match rx.try_recv() {
///         Ok(value) => ControlFlow::Break(Some(value)),
///         Err(TryRecvError::Empty) => ControlFlow::Continue(()),
///         Err(TryRecvError::Closed) => ControlFlow::Break(None),
///     }
/// }
///
/// let (tx, mut rx) = oneshot::channel();
/// assert_eq!(look(&mut rx), ControlFlow::Continue(()));
/// drop(tx);
/// assert_eq!(look(&mut rx), ControlFlow::Break(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// None is there yet.
    Empty,
    /// None will come, for one of the reasons of [`RecvError`], or because it was taken already.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "channel empty",
            Self::Closed => "channel closed",
        })
    }
}

impl Error for TryRecvError {}
