//! The protocol: what each party does to a slot in one round, written once for every handle.
//!
//! [`crate::state`] holds the tables that these functions run; `docs/protocol.md` holds the argument.
//! `[P1]` and so on name the pairs of orderings listed there. One file for each party, in the order of a
//! round: it begins, is completed or ended from outside, is waited for and taken, and is left.

use core::marker::PhantomData;
use core::ptr::NonNull;

use begun::{Begun, Copied as _};

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::CompletionError;
use crate::slot::{Slot, WakerWords};
use crate::state::Word;
use crate::sync::{AtomicRaw, Ordering};
use crate::trace::{Origin, Trace};

mod beginning;
mod begun;
mod by_token;
mod consuming;
mod holding;
mod leaving;
mod producing;
#[cfg(feature = "alloc")]
mod shutting;
mod wakers;

/// Both handles of one round.
///
/// # Examples
///
/// ```
/// use completion_core::{BeginError, CompletionSource, Round};
///
/// /// A sensor, and what is under way there.
/// struct Sensor {
///     sample: CompletionSource<u16, &'static str>,
/// }
///
/// impl Sensor {
///     fn begin(&self) -> Result<Round<'_, u16, &'static str>, BeginError> {
///         self.sample.begin()
///     }
/// }
///
/// let sensor = Sensor { sample: CompletionSource::new() };
/// let (completer, mut completion) = sensor.begin()?;
/// completer.complete(512).unwrap();
/// assert_eq!(completion.try_take(), Some(Ok(512)));
/// # Ok::<(), BeginError>(())
/// ```
pub type Round<'a, T, E> = (Completer<'a, T, E>, Completion<'a, T, E>);

/// How a round ends for its consumer.
pub(crate) type Outcome<T, E> = Result<T, CompletionError<E>>;

/// A party's pointer to its slot, and the word with which its round began.
///
/// That word is a copy: on the common way what is found in the slot is only compared with it, and the
/// next word is made of it, so that no step waits for the one before it to reach the slot. Who acts by
/// token or from outside has none; a shape of the common way is never that of a shared round. Nor has anybody
/// where a word is wider than a pointer: a handle is two pointers at most.
///
/// Invariant: the slot is alive while the holder's presence bit is set, or while its owner (a pool or
/// a source) is borrowed. Functions that take `self` and clear the presence bit are the last to use
/// it. A pointer, not a reference: a peer may free the slot while such a function is still running.
pub(crate) struct SlotRef<T, E> {
    slot: NonNull<Slot<T, E>>,
    begun: Begun,
    owns: PhantomData<Slot<T, E>>,
}

impl<T, E> Clone for SlotRef<T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E> Copy for SlotRef<T, E> {}

impl<T, E> SlotRef<T, E> {
    #[inline(always)]
    pub(crate) fn new(slot: NonNull<Slot<T, E>>) -> Self {
        Self {
            slot,
            begun: Begun::of(Word::FRESH),
            owns: PhantomData,
        }
    }

    /// A pointer for the parties of the round that began with this word.
    #[inline(always)]
    fn of(self, begun: Word) -> Self {
        Self {
            begun: Begun::of(begun),
            ..self
        }
    }

    /// The word that this round has in a shape of the common way.
    #[inline(always)]
    fn in_shape(self, seen: Word, shape: Word) -> Word {
        self.begun.in_shape(seen, shape)
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut Slot<T, E> {
        self.slot.as_ptr()
    }

    #[inline(always)]
    fn state(&self) -> &AtomicRaw {
        // SAFETY: alive by the invariant; only the atomic is borrowed, and only for one operation.
        unsafe { &(*self.as_ptr()).state }
    }

    #[inline(always)]
    fn waiter(&self) -> &WakerWords {
        // SAFETY: alive by the invariant; only the two atomics are borrowed.
        unsafe { &(*self.as_ptr()).waiter }
    }

    #[inline(always)]
    fn watcher(&self) -> &WakerWords {
        // SAFETY: alive by the invariant; only the two atomics are borrowed.
        unsafe { &(*self.as_ptr()).watcher }
    }

    #[inline(always)]
    fn exchange(
        &self,
        from: Word,
        to: Word,
        success: Ordering,
        failure: Ordering,
    ) -> Result<(), Word> {
        match self
            .state()
            .compare_exchange(from.raw(), to.raw(), success, failure)
        {
            Ok(_) => Ok(()),
            Err(actual) => Err(Word::from_raw(actual)),
        }
    }

    /// The word now, with whatever its last writer published.
    #[inline(always)]
    pub(crate) fn word(&self) -> Word {
        // ORDERING: Acquire; [P1] an ending comes with its payload, [P2] a registration with its
        // waker words, [P3] a departed peer with its last accesses.
        Word::from_raw(self.state().load(Ordering::Acquire))
    }

    /// The word now, for a hint or a question that touches no other field.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Word {
        // ORDERING: Relaxed; nothing else is read on the strength of the answer.
        Word::from_raw(self.state().load(Ordering::Relaxed))
    }
}

/// Diagnostics.
impl<T, E> SlotRef<T, E> {
    #[inline(always)]
    pub(crate) fn trace(&self) -> &Trace {
        // SAFETY: alive by the invariant; only this field is borrowed.
        unsafe { &(*self.as_ptr()).trace }
    }

    /// The number by which a token finds the slot; none for a slot that is freed while tokens of its round
    /// may still be about. The caller is a party of the round.
    pub(crate) fn index(self) -> Option<u16> {
        // SAFETY: alive by the invariant; the field never changes.
        let home = unsafe { (*self.as_ptr()).home };
        #[cfg(not(feature = "alloc"))]
        return Some(home.index());
        #[cfg(feature = "alloc")]
        match home.place() {
            crate::home::Place::Source => Some(0),
            crate::home::Place::Static(index) => Some(index),
            crate::home::Place::Boxed => None,
            crate::home::Place::Pooled(shard, bit) => {
                // SAFETY: alive while the slot is out, which is one of its.
                Some(unsafe { &*shard }.index_of(bit))
            }
        }
    }

    /// Where and when the round began.
    #[inline(always)]
    pub(crate) fn origin(self) -> Origin {
        self.trace().origin()
    }
}
