//! A source on its own: in a `static`, a struct, or on the stack.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::BeginError;
use crate::home::Home;
use crate::round::{Round, SlotRef};
use crate::slot::Slot;
use crate::state::Word;
use crate::sync::constructor;
use crate::token::{Token, by_token};

/// A resettable single-shot completion source: one round at a time, any number of rounds.
///
/// [`begin`](Self::begin) lends the round's two handles. When both have done their part the source is
/// idle again, and may begin the next round, with no allocation and no lock. It can be built in a
/// `static`, so an interrupt handler can complete what `main` awaits.
///
/// Use it where the operation has a natural place to live: a field of a connection, a `static`, a
/// pinned operation. For many rounds at once, or rounds that must own their source, take a `Pool`
/// (feature `alloc`). For more than one value per round, take a channel.
///
/// The counterpart of .NET's `ManualResetValueTaskSourceCore<T>`: `Reset()` happens by itself when the
/// outcome is taken, and cannot happen while anybody still waits.
///
/// # Examples
///
/// ```
/// use completion_core::CompletionSource;
///
/// static SOURCE: CompletionSource<u32, ()> = CompletionSource::new();
///
/// let (completer, completion) = SOURCE.begin()?;
/// std::thread::spawn(|| completer.complete(42));
/// assert_eq!(futures_lite::future::block_on(completion), Ok(42));
/// # Ok::<(), completion_core::BeginError>(())
/// ```
pub struct CompletionSource<T, E> {
    slot: Slot<T, E>,
}

// SAFETY: values and errors move through it between threads, so both must be `Send`; neither is ever
// shared by reference, so neither need be `Sync`. Wakers are both.
unsafe impl<T: Send, E: Send> Sync for CompletionSource<T, E> {}
// SAFETY: an idle source, or one whose handles were forgotten, owns its fields like any other type.
unsafe impl<T: Send, E: Send> Send for CompletionSource<T, E> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E> UnwindSafe for CompletionSource<T, E> {}
impl<T, E> RefUnwindSafe for CompletionSource<T, E> {}

impl<T, E> CompletionSource<T, E> {
    constructor! {
        /// An idle source.
        ///
        /// ```
        /// static SOURCE: completion_core::CompletionSource<u32, ()> = completion_core::CompletionSource::new();
        /// assert!(SOURCE.begin().is_ok());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self { slot: Slot::new(Home::SOURCE, Word::NEW) }
        }
    }

    #[inline(always)]
    fn slot(&self) -> SlotRef<T, E> {
        SlotRef::new(NonNull::from(&self.slot))
    }

    /// Begins a round and lends its two handles.
    ///
    /// Lock-free: one read-modify-write, since others may begin too. See [`begin_mut`](Self::begin_mut)
    /// where nobody else can.
    ///
    /// # Errors
    ///
    /// [`BeginError::Lent`] while a handle of the current round is about;
    /// [`BeginError::Retired`] when the versions are used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{BeginError, CompletionSource};
    ///
    /// let source = CompletionSource::<u32, ()>::new();
    /// let lent = source.begin()?;
    /// assert_eq!(source.begin().unwrap_err(), BeginError::Lent);
    /// drop(lent);
    /// assert!(source.begin().is_ok());
    /// # Ok::<(), BeginError>(())
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn begin(&self) -> Result<Round<'_, T, E>, BeginError> {
        let slot = self.slot().begin_contended()?;
        Ok((Completer::new(slot), Completion::new(slot)))
    }

    /// Begins a round on a source that nobody else can reach: no read-modify-write at all.
    ///
    /// If an earlier round has not ended, as its handles were forgotten or it is held for an answer, it ends
    /// here, as by [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// [`BeginError::Retired`] when the versions are used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::CompletionSource;
    ///
    /// let mut source = CompletionSource::<u32, ()>::new();
    /// for round in 0..3 {
    ///     let (completer, mut completion) = source.begin_mut()?;
    ///     completer.complete(round).unwrap();
    ///     assert_eq!(completion.try_take(), Some(Ok(round)));
    /// }
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn begin_mut(&mut self) -> Result<Round<'_, T, E>, BeginError> {
        let slot = match self.slot().begin_owned() {
            Some(slot) => slot,
            None => self.begin_after_reset().ok_or(BeginError::Retired)?,
        };
        Ok((Completer::new(slot), Completion::new(slot)))
    }

    #[cold]
    #[cfg_attr(feature = "diagnostics", track_caller)]
    fn begin_after_reset(&mut self) -> Option<SlotRef<T, E>> {
        self.reset();
        self.slot().begin_owned()
    }

    /// Makes the source idle after handles of its round were [forgotten](core::mem::forget): drops what
    /// they left, and makes tokens of the round stale. A round that is still
    /// [held](crate::Completer::into_held_token) for an answer ends as well, so wait for that first if the
    /// other side may still write somewhere. Does nothing otherwise.
    ///
    /// `&mut` is the proof that no handle is left; it does not compile while one is.
    ///
    /// ```
    /// # use completion_core::CompletionSource;
    /// let mut source = CompletionSource::<u32, ()>::new();
    /// std::mem::forget(source.begin()?);
    /// assert!(source.begin().is_err());
    /// source.reset();
    /// assert!(source.begin().is_ok());
    /// # Ok::<(), completion_core::BeginError>(())
    /// ```
    pub fn reset(&mut self) {
        self.slot.reset();
    }

    /// Makes a source whose versions are used up serve again.
    ///
    /// Its versions begin anew, so tokens of long ago would match again: call it when none is left, wherever
    /// they went. `&mut` shows that no handle is.
    ///
    /// ```
    /// # use completion_core::CompletionSource;
    /// let mut source = CompletionSource::<u32, ()>::new();
    /// source.renew();
    /// assert!(source.begin().is_ok());
    /// ```
    pub fn renew(&mut self) {
        self.slot.renew();
    }

    by_token! {
        "completion_core::CompletionSource::<u32, ()>::new()", "begin()?",
        /// A source counts nothing.
        fn note_stale(&self) {}
    }

    fn named(&self, token: Token) -> Option<SlotRef<T, E>> {
        (token.index() == 0).then(|| self.slot())
    }
}

impl<T, E> Default for CompletionSource<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for CompletionSource<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionSource")
            .field("state", &self.slot().peek())
            .finish_non_exhaustive()
    }
}
