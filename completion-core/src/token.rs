//! The name of one round, as plain data.

use core::fmt;

/// Names one round of one source, as plain data that fits a `u64`.
///
/// Made by [`Completer::into_token`](crate::Completer::into_token), it is `Copy`, may be given to any
/// number of holders, and may travel through FFI contexts, `io_uring` user data or request ids. It does
/// nothing by itself: the source or pool that made it completes, fails, cancels or asks by it. Once its
/// round is over it is *stale*, for ever: every operation refuses it, and none has an effect.
///
/// A token carries no secret. One that is forged, or used on another source than its own, can at worst
/// complete a round that it should not; it never harms memory.
///
/// The counterpart of the `short token` of .NET's `ManualResetValueTaskSourceCore<T>`, checked on the
/// producer's side too, and with a version that never comes twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// A pool holds at most this many bits' worth of sources.
const INDEX_SHIFT: u32 = 48;
const VERSION_MASK: u64 = (1 << INDEX_SHIFT) - 1;

impl Token {
    pub(crate) const fn new(index: u16, version: u64) -> Self {
        Self(((index as u64) << INDEX_SHIFT) | version)
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 >> INDEX_SHIFT) as usize
    }

    pub(crate) const fn version(self) -> u64 {
        self.0 & VERSION_MASK
    }

    /// The token as a number: the source's index in the 16 high bits, the round's version below.
    ///
    /// ```
    /// # use completion_core::{CompletionSource, Token};
    /// let source = CompletionSource::<u8, ()>::new();
    /// let (completer, _completion) = source.begin()?;
    /// let token = completer.into_token().unwrap();
    /// assert_eq!(Token::from_bits(token.to_bits()), token);
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The token that [`Token::to_bits`] turned into this number. Any number is a token; one that
    /// names no current round is stale.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("index", &self.index())
            .field("version", &self.version())
            .finish()
    }
}

/// What a token's round has come to.
///
/// The counterpart of .NET's `ValueTaskSourceStatus`, with a word for tokens of rounds long gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// No outcome yet. Also while a producer that won is still writing its payload.
    Pending,
    /// Completed with a value that the consumer has not taken yet.
    Succeeded,
    /// Failed with an error that the consumer has not taken yet.
    Failed,
    /// Cancelled, and not yet noticed by the other side.
    Cancelled,
    /// The round is over, or the token never named one.
    Stale,
}
