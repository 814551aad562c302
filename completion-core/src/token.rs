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
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionError, StaticPool, Token};
///
/// static POOL: StaticPool<u32, (), 4> = StaticPool::new();
///
/// // A timer need not hear of rounds that end before their time: their tokens are stale.
/// let mut deadlines: Vec<(u64, Token)> = Vec::new();
/// let mut begin = |due| {
///     let (completer, completion) = POOL.try_rent().expect("one is idle");
///     let token = completer.into_token().expect("not an overflow of a pool");
///     deadlines.push((due, token));
///     (token, completion)
/// };
/// let (quick, mut answered) = begin(30);
/// let (_, mut silent) = begin(40);
///
/// POOL.complete(quick, 7)?;
/// for (_, token) in deadlines.extract_if(.., |(due, _)| *due <= 50) {
///     let _ = POOL.cancel(token);
/// }
/// assert_eq!(answered.try_take(), Some(Ok(7)));
/// assert_eq!(silent.try_take(), Some(Err(CompletionError::Cancelled)));
/// # Ok::<(), completion_core::Rejected<u32>>(())
/// ```
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
    ///
    /// ```
    /// # use completion_core::{CompletionSource, Status, Token};
    /// let source = CompletionSource::<u8, ()>::new();
    /// assert_eq!(source.status(Token::from_bits(42)), Status::Stale);
    /// ```
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
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionSource, Status};
///
/// // The answer of a job server to a question about progress.
/// fn status_of_http(job: Status) -> u16 {
///     match job {
///         Status::Pending => 202,
///         Status::Stale => 410,
///         _ => 200,
///     }
/// }
///
/// let source = CompletionSource::<u32, ()>::new();
/// let (completer, completion) = source.begin()?;
/// let job = completer.into_token().expect("not an overflow of a pool");
/// assert_eq!(status_of_http(source.status(job)), 202);
/// source.fail(job, ())?;
/// assert_eq!(status_of_http(source.status(job)), 200);
/// drop(completion);
/// assert_eq!(status_of_http(source.status(job)), 410);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// No outcome yet. Also while a producer that won is still writing its payload.
    Pending,
    /// Completed with a value that the consumer has not taken yet.
    Succeeded,
    /// Failed with an error that the consumer has not taken yet.
    Failed,
    /// Ended without an outcome of a producer's: cancelled, abandoned, or closed by the consumer or with its pool;
    /// and not yet noticed by the other side.
    Cancelled,
    /// The round is over, or the token never named one.
    Stale,
}

/// The operations by token, which sources and pools have in common. `named` finds the slot; the body says
/// what is done about a stale token; the two texts make the examples' owner and begin its round.
macro_rules! by_token {
    ($owner:literal, $begin:literal, $(#[$note_doc:meta])* fn $note:ident(&$this:ident) $body:block) => {
        /// Completes the round that `token` names, and wakes whoever waits.
        ///
        /// Claims the round first: of all holders of tokens exactly one wins.
        ///
        /// # Errors
        ///
        /// The value comes back if another producer was first, the waiter left, or the round is over.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let owner = ", $owner, ";")]
        #[doc = concat!("let (completer, mut completion) = owner.", $begin, ";")]
        /// let token = completer.into_token().expect("no overflow");
        /// owner.complete(token, 7)?;
        /// assert_eq!(completion.try_take(), Some(Ok(7)));
        /// assert_eq!(owner.complete(token, 8).unwrap_err().into_payload(), 8);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn complete(&self, token: Token, value: T) -> Result<(), crate::Rejected<T>> {
            self.noting_stale(SlotRef::complete_named(self.named(token), token, value))
        }

        /// Fails the round that `token` names, and wakes whoever waits.
        ///
        /// # Errors
        ///
        /// The error comes back if another producer was first, the waiter left, or the round is over.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let owner = ", $owner, ";")]
        #[doc = concat!("let (completer, mut completion) = owner.", $begin, ";")]
        /// let token = completer.into_token().expect("no overflow");
        /// owner.fail(token, ())?;
        /// assert_eq!(completion.try_take().unwrap().unwrap_err().into_failure(), Some(()));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn fail(&self, token: Token, error: E) -> Result<(), crate::Rejected<E>> {
            self.noting_stale(SlotRef::fail_named(self.named(token), token, error))
        }

        /// Cancels the round that `token` names, and wakes whoever waits.
        ///
        /// # Errors
        ///
        /// If another producer was first (also one that is still writing), or the round is over.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let owner = ", $owner, ";")]
        #[doc = concat!("let (completer, mut completion) = owner.", $begin, ";")]
        /// let token = completer.into_token().expect("no overflow");
        /// owner.cancel(token)?;
        /// assert_eq!(owner.complete(token, 7).unwrap_err().into_payload(), 7);
        /// assert!(completion.try_take().unwrap().is_err());
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn cancel(&self, token: Token) -> Result<(), crate::Rejected<()>> {
            self.noting_stale(SlotRef::cancel_named(self.named(token), token))
        }

        /// Completes or fails the round whose [token](crate::Token::to_bits) came back as a number.
        ///
        /// For numbers from outside: `io_uring` user data, the context of a C callback, the id in a
        /// reply. Any number will do: one that is forged, out of range or late is refused. One that belongs
        /// to *another* source or pool may name a round of this one, and then completes it; that harms no
        /// memory.
        ///
        /// # Errors
        ///
        /// The outcome comes back if another producer was first, the waiter left, or the number names no
        /// current round.
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let owner = ", $owner, ";")]
        #[doc = concat!("let (completer, mut completion) = owner.", $begin, ";")]
        /// let key: u64 = completer.into_token().expect("no overflow").to_bits(); // goes out with a request
        /// owner.complete_raw(key, Ok(7))?; // comes back with the reply
        /// assert_eq!(completion.try_take(), Some(Ok(7)));
        /// assert_eq!(owner.complete_raw(u64::MAX, Ok(8)).unwrap_err().into_payload(), Ok(8));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn complete_raw(
            &self,
            key: u64,
            outcome: Result<T, E>,
        ) -> Result<(), crate::Rejected<Result<T, E>>> {
            let token = Token::from_bits(key);
            match outcome {
                Ok(value) => self.complete(token, value).map_err(|it| it.map(Ok)),
                Err(error) => self.fail(token, error).map_err(|it| it.map(Err)),
            }
        }

        /// What the round that `token` names has come to.
        ///
        /// A peer may move it on before the answer is read; only *stale* is final, for a token that was
        /// given out.
        ///
        /// # Examples
        ///
        /// ```
        /// use completion_core::Status;
        ///
        #[doc = concat!("let owner = ", $owner, ";")]
        #[doc = concat!("let (completer, mut completion) = owner.", $begin, ";")]
        /// let token = completer.into_token().expect("no overflow");
        /// assert_eq!(owner.status(token), Status::Pending);
        /// owner.complete(token, 7)?;
        /// assert_eq!(owner.status(token), Status::Succeeded);
        /// assert_eq!(completion.try_take(), Some(Ok(7)));
        /// assert_eq!(owner.status(token), Status::Stale);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[must_use]
        pub fn status(&self, token: Token) -> crate::Status {
            SlotRef::status_named(self.named(token), token)
        }

        fn noting_stale<P>(
            &self,
            produced: Result<(), crate::Rejected<P>>,
        ) -> Result<(), crate::Rejected<P>> {
            if let Err(rejected) = &produced
                && rejected.reason() == crate::Rejection::Stale
            {
                self.$note();
            }
            produced
        }

        $(#[$note_doc])*
        fn $note(&$this) $body
    };
}
pub(crate) use by_token;
