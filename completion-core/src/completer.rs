//! The unique producer handle of a round.

use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::mem;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::task::{Context, Poll};

use crate::error::{NoToken, Rejected, Rejection};
use crate::round::SlotRef;
use crate::slot::{Failure, Value};
use crate::state::Ending;
use crate::token::Token;
use crate::trace;

/// The one who may end a round: with a value, an error, or a cancellation.
///
/// Dropping it unused ends the round as [*abandoned*](crate::CompletionError::Abandoned), so the other
/// side always hears. It writes its payload without claiming first, as nobody else may; give that up
/// with [`into_token`](Self::into_token) when several producers are to race.
///
/// `'a` is the borrow of the source; a pool's rounds are `'static`. The counterpart of `SetResult`,
/// `SetException` and `SetCanceled` of .NET's `ManualResetValueTaskSourceCore<T>`, which a second
/// producer may call by mistake; this handle is used up by the call.
///
/// # Reentrancy
///
/// The waiter's waker runs inside [`complete`](Self::complete), [`fail`](Self::fail),
/// [`cancel`](Self::cancel) and `drop`, after the last access to the source: it may poll, drop, or
/// begin the next round. A payload comes back rather than being dropped inside.
///
/// # Leaking
///
/// [`mem::forget`] is safe: the round stays pending, and its source stays lent.
///
/// # Examples
///
/// ```
/// use completion_core::{Completer, CompletionError, CompletionSource};
///
/// // Every way out ends the round, the early ones too.
/// fn receive(line: &str, completer: Completer<'_, u32, ()>) -> Option<()> {
///     let degrees = line.strip_prefix("temperature ")?.parse().ok()?;
///     completer.complete(degrees).ok()
/// }
///
/// let source = CompletionSource::new();
/// let (completer, mut completion) = source.begin()?;
/// receive("temperature 21", completer);
/// assert_eq!(completion.try_take(), Some(Ok(21)));
///
/// let (completer, mut completion) = source.begin()?;
/// receive("temperature ??", completer);
/// assert_eq!(completion.try_take(), Some(Err(CompletionError::Abandoned)));
/// # Ok::<(), completion_core::BeginError>(())
/// ```
#[must_use = "dropping a completer abandons its round"]
pub struct Completer<'a, T, E> {
    slot: SlotRef<T, E>,
    source: PhantomData<&'a ()>,
}

// A pointer to the slot: nothing in the handle itself is pinned.
impl<T, E> Unpin for Completer<'_, T, E> {}

// SAFETY: the handle moves a `T` or an `E` to another thread, and shares neither.
unsafe impl<T: Send, E: Send> Send for Completer<'_, T, E> {}
// SAFETY: by reference it only reads the atomic state word.
unsafe impl<T: Send, E: Send> Sync for Completer<'_, T, E> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E> UnwindSafe for Completer<'_, T, E> {}
impl<T, E> RefUnwindSafe for Completer<'_, T, E> {}

impl<'a, T, E> Completer<'a, T, E> {
    #[inline(always)]
    pub(crate) fn new(slot: SlotRef<T, E>) -> Self {
        Self {
            slot,
            source: PhantomData,
        }
    }

    #[cfg(feature = "std")]
    pub(crate) fn slot(&self) -> SlotRef<T, E> {
        self.slot
    }

    /// Takes the presence over from the handle, whose drop then no longer runs.
    #[inline(always)]
    fn into_slot(self) -> SlotRef<T, E> {
        let slot = self.slot;
        mem::forget(self);
        slot
    }

    /// Ends the round with a value, and wakes whoever waits.
    ///
    /// Wait-free but for a waiter that keeps changing its waker: one read-modify-write.
    ///
    /// # Errors
    ///
    /// The value comes back if nobody waits: the [`Completion`](crate::Completion) was dropped or closed, or its
    /// pool closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// completer.complete(7)?;
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn complete(self, value: T) -> Result<(), Rejected<T>> {
        let produced = self.into_slot().produce(Value(value));
        produced.map_err(|value| Rejected::new(Rejection::Closed, value.0))
    }

    /// Ends the round with an error, and wakes whoever waits.
    ///
    /// # Errors
    ///
    /// The error comes back if nobody waits, as for [`complete`](Self::complete).
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionError, CompletionSource};
    ///
    /// let source = CompletionSource::<u32, &str>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// completer.fail("offline")?;
    /// assert_eq!(completion.try_take(), Some(Err(CompletionError::Failed("offline"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn fail(self, error: E) -> Result<(), Rejected<E>> {
        let produced = self.into_slot().produce(Failure(error));
        produced.map_err(|error| Rejected::new(Rejection::Closed, error.0))
    }

    /// Ends the round as cancelled, and wakes whoever waits.
    ///
    /// # Errors
    ///
    /// If nobody waits, as for [`complete`](Self::complete): nobody hears of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionError, CompletionSource};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// completer.cancel()?;
    /// assert_eq!(completion.try_take(), Some(Err(CompletionError::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(self) -> Result<(), Rejected<()>> {
        if self.into_slot().produce_nothing(Ending::Cancelled) {
            Ok(())
        } else {
            Err(Rejected::new(Rejection::Closed, ()))
        }
    }

    /// Whether nobody waits any more, so that work for this round is in vain.
    ///
    /// `true` is final. `false` may be out of date when it is read: only [`complete`](Self::complete)
    /// decides.
    ///
    /// ```
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// assert!(!completer.is_closed());
    /// drop(completion);
    /// assert!(completer.is_closed());
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        !self.slot.peek().is_pending()
    }

    /// Ready when nobody waits any more: the [`Completion`](crate::Completion) was dropped or
    /// [closed](crate::Completion::close), or the pool was closed.
    ///
    /// For producers that can stop working: `select` on this beside the work. Only the waker of the last
    /// poll is woken; it is freed at the moment of completing. A completer that watches costs whoever
    /// drops the completion, and completing, one read-modify-write more.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    ///
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (mut completer, completion) = source.begin()?;
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(completer.poll_closed(&mut context).is_pending());
    /// drop(completion);
    /// assert_eq!(completer.poll_closed(&mut context), Poll::Ready(()));
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.slot.watch(context.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Waits until nobody waits any more; see [`poll_closed`](Self::poll_closed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. Its waker is kept until the completer is used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (mut completer, completion) = source.begin()?;
    /// block_on(zip(completer.closed(), async { drop(completion) }));
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn closed(&mut self) -> impl Future<Output = ()> + use<'_, 'a, T, E> {
        poll_fn(|context| self.poll_closed(context))
    }

    /// Gives uniqueness up, one way: from now on holders of the token race to end the round, each by
    /// a call on the source or pool.
    ///
    /// Nobody abandons a shared round: if all its tokens are lost, only the waiter can end it. If the
    /// [`Completion`](crate::Completion) was dropped already, the token is stale from the start.
    ///
    /// # Errors
    ///
    /// The completer comes back if its round overflowed the pool; such a source is freed at the end of
    /// its round, so nothing that outlives the round may name it.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionSource, Status};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// let token = completer.into_token().expect("not an overflow of a pool");
    /// source.complete(token, 1)?;
    /// assert_eq!(source.complete(token, 2).unwrap_err().into_payload(), 2);
    /// assert_eq!(completion.try_take(), Some(Ok(1)));
    /// assert_eq!(source.status(token), Status::Stale);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_token(self) -> Result<Token, NoToken<Self>> {
        self.into_named(false)
    }

    /// As [`into_token`](Self::into_token), but the source is *held* until a token holder answers, also
    /// if the [`Completion`](crate::Completion) is dropped before.
    ///
    /// For numbers that the other side may still answer, or that something outside refers to until then:
    /// an operation that the kernel has, a buffer that a device writes to, a request id that must not be
    /// given out twice. A source that is held counts as in use. Completing, failing or cancelling by the
    /// token ends that, also when it is refused because nobody waits any more. Keep a handle to the pool
    /// until then: once the last one is gone nobody can answer, and the pool is never freed.
    ///
    /// # Errors
    ///
    /// As for [`into_token`](Self::into_token).
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{CompletionSource, Rejection};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// let token = completer.into_held_token().expect("not an overflow of a pool");
    /// drop(completion);
    /// assert!(source.begin().is_err(), "held");
    /// let late = source.complete(token, 7).unwrap_err();
    /// assert_eq!((late.reason(), late.into_payload()), (Rejection::Closed, 7));
    /// assert!(source.begin().is_ok());
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn into_held_token(self) -> Result<Token, NoToken<Self>> {
        self.into_named(true)
    }

    pub(crate) fn into_named(self, held: bool) -> Result<Token, NoToken<Self>> {
        match self.slot.index() {
            Some(index) => {
                // Drops a waker, which may panic: while the handle is there to abandon the round.
                self.slot.watch_no_more();
                Ok(Token::new(index, self.into_slot().share(held)))
            }
            None => Err(NoToken::new(self)),
        }
    }
}

impl<T, E> Drop for Completer<'_, T, E> {
    #[inline(always)]
    fn drop(&mut self) {
        let origin = self.slot.origin();
        if self.slot.produce_nothing(Ending::Abandoned) {
            trace::abandoned(origin);
        }
    }
}

impl<T, E> fmt::Debug for Completer<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Completer");
        #[cfg(feature = "diagnostics")]
        shown.field("origin", &self.slot.origin());
        shown
            .field("state", &self.slot.peek())
            .finish_non_exhaustive()
    }
}
