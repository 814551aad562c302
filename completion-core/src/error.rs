//! Every public error.

use core::error::Error;
use core::fmt;

/// Why a [`Completion`](crate::Completion) yields no value.
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionError, CompletionSource};
///
/// let source = CompletionSource::<u32, &str>::new();
/// let (completer, mut completion) = source.begin()?;
/// completer.fail("unplugged")?;
/// assert_eq!(completion.try_take(), Some(Err(CompletionError::Failed("unplugged"))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompletionError<E> {
    /// The producer failed the round with this error; or the pool was closed with it.
    Failed(E),
    /// A producer cancelled the round; or the waiting side closed it, or rented it of a closed pool.
    Cancelled,
    /// The [`Completer`](crate::Completer) was dropped without completing, or the pending map was dropped.
    Abandoned,
}

impl<E> CompletionError<E> {
    /// The producer's error, if it gave one.
    ///
    /// ```
    /// # use completion_core::CompletionError;
    /// assert_eq!(CompletionError::Failed(7).into_failure(), Some(7));
    /// assert_eq!(CompletionError::<i32>::Cancelled.into_failure(), None);
    /// ```
    #[must_use]
    pub fn into_failure(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Cancelled | Self::Abandoned => None,
        }
    }
}

impl<E> fmt::Display for CompletionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the operation failed",
            Self::Cancelled => "the operation was cancelled",
            Self::Abandoned => "the completer was dropped without completing",
        })
    }
}

impl<E: Error + 'static> Error for CompletionError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Cancelled | Self::Abandoned => None,
        }
    }
}

/// Why a producer's call had no effect.
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionSource, Rejection};
///
/// let source = CompletionSource::<&str, ()>::new();
/// let (completer, completion) = source.begin()?;
/// let token = completer.into_token().expect("not an overflow of a pool");
/// source.complete(token, "from the cache")?;
/// let why_not = || source.complete(token, "from the network").unwrap_err().reason();
/// assert_eq!(why_not(), Rejection::Lost);
/// drop(completion); // the round is over
/// assert_eq!(why_not(), Rejection::Stale);
///
/// let (completer, completion) = source.begin()?;
/// drop(completion);
/// assert_eq!(completer.cancel().unwrap_err().reason(), Rejection::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// Nobody waits: the [`Completion`](crate::Completion) was dropped; for a completer, also if it or the pool was closed;
    /// by token, also if it was closed while that token held the round, or it or the pool was closed just as the
    /// payload was written.
    Closed,
    /// By token: the round has its outcome already, which was not taken yet. Another producer was first, or is just
    /// writing its payload, or the round was closed.
    Lost,
    /// The token names a round that is over, or none at all.
    Stale,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "nobody waits for the outcome any more",
            Self::Lost => "another producer completed the round first",
            Self::Stale => "the token does not name a current round",
        })
    }
}

impl Error for Rejection {}

/// A producer's call that had no effect, with the payload that it was to deliver.
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionSource, Rejection};
///
/// let source = CompletionSource::<String, ()>::new();
/// let (completer, completion) = source.begin()?;
/// drop(completion);
/// let rejected = completer.complete("late".to_string()).unwrap_err();
/// assert_eq!(rejected.reason(), Rejection::Closed);
/// assert_eq!(rejected.into_payload(), "late");
/// # Ok::<(), completion_core::BeginError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rejected<P> {
    reason: Rejection,
    payload: P,
}

impl<P> Rejected<P> {
    pub(crate) const fn new(reason: Rejection, payload: P) -> Self {
        Self { reason, payload }
    }

    pub(crate) fn map<Q>(self, into: impl FnOnce(P) -> Q) -> Rejected<Q> {
        Rejected {
            reason: self.reason,
            payload: into(self.payload),
        }
    }

    /// Why the call had no effect.
    ///
    /// ```
    /// # use completion_core::{CompletionSource, Rejection};
    /// # let source = CompletionSource::<u32, ()>::new();
    /// let (completer, _completion) = source.begin()?;
    /// let token = completer.into_token().expect("not an overflow of a pool");
    /// source.cancel(token)?;
    /// assert_eq!(source.complete(token, 7).unwrap_err().reason(), Rejection::Lost);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn reason(&self) -> Rejection {
        self.reason
    }

    /// What was not delivered.
    ///
    /// ```
    /// # let source = completion_core::CompletionSource::<Vec<u8>, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// drop(completion);
    /// let buffer = vec![0; 4096];
    /// let buffer = completer.complete(buffer).unwrap_err().into_payload();
    /// assert_eq!(buffer.len(), 4096); // and serves the next reading
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    #[must_use]
    pub fn into_payload(self) -> P {
        self.payload
    }

    /// Both.
    ///
    /// ```
    /// # use completion_core::{CompletionSource, Rejection};
    /// # let source = CompletionSource::<u32, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// drop(completion);
    /// let rejected = completer.complete(7).unwrap_err();
    /// assert_eq!(rejected.into_parts(), (Rejection::Closed, 7));
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    #[must_use]
    pub fn into_parts(self) -> (Rejection, P) {
        (self.reason, self.payload)
    }
}

impl<P> fmt::Debug for Rejected<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<P> fmt::Display for Rejected<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<P> Error for Rejected<P> {}

/// Why a [`CompletionSource`](crate::CompletionSource) did not begin a round.
///
/// # Examples
///
/// ```
/// use completion_core::{BeginError, CompletionSource, Round};
///
/// static SENSOR: CompletionSource<u32, ()> = CompletionSource::new();
///
/// // Begins a reading, unless one is under way.
/// fn read() -> Result<Option<Round<'static, u32, ()>>, BeginError> {
///     match SENSOR.begin() {
///         Ok(round) => Ok(Some(round)),
///         Err(BeginError::Lent) => Ok(None),
///         Err(worn_out) => Err(worn_out),
///     }
/// }
///
/// let reading = read()?;
/// assert!(reading.is_some());
/// assert!(read()?.is_none());
/// # Ok::<(), BeginError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BeginError {
    /// A handle of the current round is still about, or a token that holds it, or a call that consumed one is just
    /// returning.
    Lent,
    /// Every version is used up; see [Versions](crate#versions).
    Retired,
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lent => "the source's current round is not over",
            Self::Retired => "the source has used up its versions: renew it",
        })
    }
}

impl Error for BeginError {}

/// A completer that cannot become a token: its round overflowed the pool, so its memory is freed at
/// the end, and a token that outlives it would point nowhere.
///
/// It holds the completer: to drop the error, as `?` may, is to abandon the round.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use completion_core::{Completer, CompletionError, Pool};
///
/// // The number for a request, which has room for 64 bits and for nothing else.
/// fn number(completer: Completer<'static, u32, &'static str>) -> Option<u64> {
///     match completer.into_token() {
///         Ok(token) => Some(token.to_bits()),
///         Err(overflowed) => {
///             let _ = overflowed.into_completer().fail("too busy");
///             None
///         }
///     }
/// }
///
/// let pool = Pool::with_capacity(1);
/// let (completer, _completion) = pool.rent();
/// assert!(number(completer).is_some());
/// let (completer, mut completion) = pool.rent();
/// assert!(number(completer).is_none());
/// assert_eq!(completion.try_take(), Some(Err(CompletionError::Failed("too busy"))));
/// # }
/// ```
pub struct NoToken<C> {
    completer: C,
}

impl<C> NoToken<C> {
    pub(crate) const fn new(completer: C) -> Self {
        Self { completer }
    }

    /// The completer, still good for completing.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// let pool = completion_core::Pool::<u32, ()>::with_capacity(0);
    /// let (completer, mut completion) = pool.rent();
    /// let completer = completer.into_token().unwrap_err().into_completer();
    /// completer.complete(7).unwrap();
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// # }
    /// ```
    #[must_use = "dropping the completer abandons the round"]
    pub fn into_completer(self) -> C {
        self.completer
    }
}

impl<C> fmt::Debug for NoToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoToken").finish_non_exhaustive()
    }
}

impl<C> fmt::Display for NoToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a round outside the pool has no token")
    }
}

impl<C> Error for NoToken<C> {}

/// Why a pool lends no source.
///
/// # Examples
///
/// ```
/// use completion_core::{RentError, StaticPool};
///
/// static REQUESTS: StaticPool<String, (), 1> = StaticPool::new();
///
/// fn status_of_http(refused: RentError) -> u16 {
///     match refused {
///         RentError::Exhausted => 429, // may come again
///         _ => 503,
///     }
/// }
///
/// let _lent = REQUESTS.try_rent()?;
/// assert_eq!(REQUESTS.try_rent().map_err(status_of_http).unwrap_err(), 429);
/// # Ok::<(), RentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RentError {
    /// All sources are out just now.
    Exhausted,
    /// The pool was closed.
    Closed,
    /// All sources have used up their versions; see [Versions](crate#versions) for how to go on.
    Retired,
}

impl fmt::Display for RentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "every source of the pool is rented",
            Self::Closed => "the pool is closed",
            Self::Retired => {
                "every source of the pool has used up its versions: renew or replace it"
            }
        })
    }
}

impl Error for RentError {}
