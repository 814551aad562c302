//! What a [`Receiver`](super::Receiver) reports.

use core::error::Error;
use core::fmt;

/// Why a [`Receiver`](super::Receiver) yields no value: none will come.
///
/// The sender was dropped without sending, the receiver was [closed](super::Receiver::close) before
/// anything was sent, or the pool was closed.
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
