//! The unique consumer handle of a round, and its `Future`.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::error::CompletionError;
use crate::round::SlotRef;
#[cfg(feature = "alloc")]
use crate::state::Ending;

/// The one who awaits a round's outcome, once.
///
/// A future of `Result<T, CompletionError<E>>`. The poll that returns the outcome also resets the
/// source, or returns it to its pool: by the time the caller sees the value, the source can serve the
/// next round. Two exceptions: a round that was polled with 127 different wakers (three, on targets with 32-bit
/// words) may have to wait until the producer's call has returned; and one that was [closed](Self::close),
/// here or by its pool, until its completer has gone, or who held it has answered.
///
/// Any executor will do. Only the waker of the last poll is woken; a waker is cloned once and kept for
/// as long as it wakes the same task.
///
/// # Cancel safety
///
/// Dropping it cancels: the producer gets its payload back, and learns from
/// [`is_closed`](crate::Completer::is_closed) that nobody waits. An outcome that was there already is
/// dropped. Polling it in a `select!` and dropping the *borrow* loses nothing.
///
/// # Reentrancy
///
/// `Waker::clone` runs before, `Waker::drop` and the drop of an outcome after the steps of a poll or
/// drop; each may use this or any other source.
///
/// # Leaking
///
/// [`mem::forget`](core::mem::forget) is safe: the source stays lent, with the outcome in it.
///
/// # Panics
///
/// Polling again after the outcome was returned panics, at the caller's location.
///
/// # Examples
///
/// ```
/// use completion_core::{CompletionError, CompletionSource};
/// use futures_lite::future::{block_on, or};
///
/// let source = CompletionSource::<u32, &str>::new();
/// let (completer, mut completion) = source.begin()?;
///
/// // Something else is faster. Only the borrow is dropped, and the round goes on.
/// let first = block_on(or(async { Some((&mut completion).await) }, async { None }));
/// assert_eq!(first, None);
///
/// completer.fail("offline")?;
/// assert_eq!(block_on(completion), Err(CompletionError::Failed("offline")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a completion does nothing unless awaited, and dropping it cancels"]
pub struct Completion<'a, T, E> {
    slot: Option<SlotRef<T, E>>,
    source: PhantomData<&'a ()>,
}

// SAFETY: the handle receives a `T` or an `E` from another thread, and shares neither.
unsafe impl<T: Send, E: Send> Send for Completion<'_, T, E> {}
// SAFETY: by reference it only reads the atomic state word.
unsafe impl<T: Send, E: Send> Sync for Completion<'_, T, E> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E> UnwindSafe for Completion<'_, T, E> {}
impl<T, E> RefUnwindSafe for Completion<'_, T, E> {}

// A pointer to the slot: nothing in the handle itself is pinned.
impl<T, E> Unpin for Completion<'_, T, E> {}

impl<T, E> Completion<'_, T, E> {
    #[inline(always)]
    pub(crate) fn new(slot: SlotRef<T, E>) -> Self {
        Self {
            slot: Some(slot),
            source: PhantomData,
        }
    }

    #[cfg(feature = "diagnostics")]
    pub(crate) fn slot(&self) -> Option<SlotRef<T, E>> {
        self.slot
    }

    /// The outcome, if it is there; does not wait and registers no waker.
    ///
    /// `None` while the round is pending, and for ever once the outcome was taken.
    ///
    /// ```
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// assert_eq!(completion.try_take(), None);
    /// completer.complete(7)?;
    /// assert_eq!(completion.try_take(), Some(Ok(7)));
    /// assert_eq!(completion.try_take(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_take(&mut self) -> Option<Result<T, CompletionError<E>>> {
        self.slot?.try_take(|| self.slot = None)
    }

    /// Whether there is an outcome to take, so that a poll would not wait.
    ///
    /// `true` stays so until the outcome is taken. `false` may be out of date when it is read.
    ///
    /// ```
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (completer, completion) = source.begin()?;
    /// assert!(!completion.is_ready());
    /// completer.complete(7)?;
    /// assert!(completion.is_ready());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.slot.is_some_and(|slot| !slot.peek().is_pending())
    }

    /// Whether that outcome is a value.
    #[cfg(feature = "alloc")]
    pub(crate) fn has_value(&self) -> bool {
        let ending = self.slot.and_then(|slot| slot.peek().ending());
        ending == Some(Ending::Value)
    }

    /// Ends a pending round as cancelled, but keeps the handle; false if there is an outcome already.
    ///
    /// After it nothing can arrive any more, and what had arrived before is not lost. A completer, or the
    /// holder of a token that is just writing, has its payload back and is not waited for. Dropping the
    /// completion does the same, and drops what had arrived.
    ///
    /// ```
    /// use completion_core::{CompletionError, CompletionSource};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// assert!(completion.close());
    /// assert_eq!(completer.complete(7).unwrap_err().into_payload(), 7);
    /// assert_eq!(completion.try_take(), Some(Err(CompletionError::Cancelled)));
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn close(&mut self) -> bool {
        self.slot.is_some_and(SlotRef::close)
    }

    /// Whether the outcome was taken, after which polling panics.
    ///
    /// ```
    /// let source = completion_core::CompletionSource::<u32, ()>::new();
    /// let (completer, mut completion) = source.begin()?;
    /// completer.complete(7)?;
    /// assert!(!completion.is_terminated());
    /// completion.try_take();
    /// assert!(completion.is_terminated());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.slot.is_none()
    }
}

impl<T, E> Future for Completion<'_, T, E> {
    type Output = Result<T, CompletionError<E>>;

    #[inline(always)]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = self
            .slot
            .expect("`Completion` polled after it returned its outcome");
        match slot.poll(context.waker(), || self.slot = None) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl<T, E> Drop for Completion<'_, T, E> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.drop_consumer();
        }
    }
}

impl<T, E> fmt::Debug for Completion<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Completion");
        #[cfg(feature = "diagnostics")]
        shown.field("origin", &self.slot.map(SlotRef::origin));
        shown
            .field("state", &self.slot.map(|slot| slot.peek()))
            .finish_non_exhaustive()
    }
}
