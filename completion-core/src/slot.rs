//! The memory of one source: state word, waker words, payload, and where it belongs.
//!
//! All unsafe access to the fields stands here and in [`crate::round`], which runs the protocol.

use core::mem::ManuallyDrop;
use core::ptr;
use core::task::{RawWakerVTable, Waker};

use crate::home::Home;
use crate::state::{Ending, Word};
use crate::sync::{AtomicPtr, AtomicRaw, AtomicUsize, Ordering, UnsafeCell, constructor};
use crate::trace::Trace;

/// One source's memory. `repr(C)` keeps what every round touches together and in front.
#[repr(C)]
pub(crate) struct Slot<T, E> {
    pub(crate) state: AtomicRaw,
    /// The consumer's waker, which waits for the outcome.
    pub(crate) waiter: WakerWords,
    pub(crate) home: Home,
    /// Rounds that are over, for the pool's statistics; written only by who releases.
    pub(crate) rounds: AtomicUsize,
    pub(crate) payload: UnsafeCell<Payload<T, E>>,
    /// The completer's waker, which watches for the consumer's leaving.
    pub(crate) watcher: WakerWords,
    pub(crate) trace: Trace,
}

/// What a round carries; which field is live is told by the state word alone.
pub(crate) union Payload<T, E> {
    none: (),
    value: ManuallyDrop<T>,
    error: ManuallyDrop<E>,
}

impl<T, E> Slot<T, E> {
    constructor! {
        pub(crate) const fn new(home: Home, word: Word) -> Self {
            Self {
                state: AtomicRaw::new(word.raw()),
                waiter: WakerWords::new(),
                home,
                rounds: AtomicUsize::new(0),
                payload: UnsafeCell::new(Payload { none: () }),
                watcher: WakerWords::new(),
                trace: Trace::new(),
            }
        }
    }
}

/// Something that a producer can put into the payload.
pub(crate) trait Carry<T, E>: Sized {
    const ENDING: Ending;
    fn into_payload(self) -> Payload<T, E>;
    /// # Safety
    /// The payload was made by `into_payload` of this very type, and nobody else reads it out.
    unsafe fn from_payload(payload: Payload<T, E>) -> Self;
}

/// A success on its way through a slot.
pub(crate) struct Value<T>(pub(crate) T);
/// A failure on its way through a slot.
pub(crate) struct Failure<E>(pub(crate) E);

impl<T, E> Carry<T, E> for Value<T> {
    const ENDING: Ending = Ending::Value;

    #[inline(always)]
    fn into_payload(self) -> Payload<T, E> {
        Payload {
            value: ManuallyDrop::new(self.0),
        }
    }

    #[inline(always)]
    unsafe fn from_payload(payload: Payload<T, E>) -> Self {
        // SAFETY: the caller says that `value` is the live field.
        Self(ManuallyDrop::into_inner(unsafe { payload.value }))
    }
}

impl<T, E> Carry<T, E> for Failure<E> {
    const ENDING: Ending = Ending::Error;

    #[inline(always)]
    fn into_payload(self) -> Payload<T, E> {
        Payload {
            error: ManuallyDrop::new(self.0),
        }
    }

    #[inline(always)]
    unsafe fn from_payload(payload: Payload<T, E>) -> Self {
        // SAFETY: the caller says that `error` is the live field.
        Self(ManuallyDrop::into_inner(unsafe { payload.error }))
    }
}

impl<T, E> Slot<T, E> {
    /// Writes the payload.
    ///
    /// # Safety
    /// `slot` is alive and its payload is the caller's by the ownership table of [`crate::state`].
    #[inline(always)]
    pub(crate) unsafe fn write<C: Carry<T, E>>(slot: *const Self, carried: C) {
        // SAFETY: alive, says the caller; only the one field is borrowed.
        let cell = unsafe { &(*slot).payload };
        cell.with_mut(|payload| {
            // SAFETY: valid as a field of a live slot; alone, as the payload is the caller's. Nothing
            // live is overwritten: a payload is moved out before its round is over.
            unsafe { payload.write(carried.into_payload()) }
        });
    }

    /// Moves the payload out.
    ///
    /// # Safety
    /// As for [`Slot::write`]; and a payload of `C` was written in this round and not yet moved out.
    #[inline(always)]
    pub(crate) unsafe fn read<C: Carry<T, E>>(slot: *const Self) -> C {
        // SAFETY: alive, says the caller; only the one field is borrowed.
        let cell = unsafe { &(*slot).payload };
        let payload = cell.with_mut(|payload| {
            // SAFETY: valid, alone and initialised, as the caller says.
            unsafe { ptr::read(payload) }
        });
        // SAFETY: the caller names the field that was written.
        unsafe { C::from_payload(payload) }
    }
}

/// Repairs, by the owner of a slot in place.
impl<T, E> Slot<T, E> {
    /// Makes the slot idle, if its handles were forgotten.
    pub(crate) fn reset(&mut self) {
        let word = self.now();
        if !word.is_idle() && !word.is_retired() {
            *self = Self::new(self.home, word.next_round());
        }
    }

    /// Begins a retired slot's versions anew.
    pub(crate) fn renew(&mut self) {
        if self.now().is_retired() {
            *self = Self::new(self.home, Word::NEW);
        }
    }

    fn now(&mut self) -> Word {
        // ORDERING: Relaxed; `&mut` means that whoever touched the slot before happened before.
        Word::from_raw(self.state.load(Ordering::Relaxed))
    }
}

impl<T, E> Drop for Slot<T, E> {
    /// Drops what handles that were forgotten left behind.
    fn drop(&mut self) {
        let word = self.now();
        if word.is_idle() {
            return;
        }
        // Bound first, so that one that panics when it is dropped keeps none of the rest.
        let _wakers = [
            (word.is_waiting(), &self.waiter),
            (word.is_watched(), &self.watcher),
        ]
        .map(|(filled, words)| {
            let copied = words.copy();
            // SAFETY: filled, with no handle left: the words hold a waker that nobody else moves out.
            filled.then(|| unsafe { copied.into_waker() })
        });
        if word.is_deserted() {
            return;
        }
        match word.ending() {
            // SAFETY: ended with a value that no consumer took; `&mut` excludes everybody else.
            Some(Ending::Value) => drop(unsafe { Self::read::<Value<T>>(self) }.0),
            // SAFETY: ended with an error that no consumer took; `&mut` excludes everybody else.
            Some(Ending::Error) => drop(unsafe { Self::read::<Failure<E>>(self) }.0),
            Some(Ending::Cancelled | Ending::Abandoned | Ending::Closed) | None => {}
        }
    }
}

/// A waker taken apart into its two words, each an atomic.
///
/// A publisher copies them *before* it knows that they are its to take; as plain memory that would be
/// a data race even though a copy that lost is thrown away.
pub(crate) struct WakerWords {
    data: AtomicPtr<()>,
    vtable: AtomicPtr<RawWakerVTable>,
}

/// A copy of the waker words: owned by nobody until the state word says by whom.
#[derive(Clone, Copy)]
pub(crate) struct CopiedWaker {
    data: *mut (),
    vtable: *mut RawWakerVTable,
}

impl WakerWords {
    constructor! {
        const fn new() -> Self {
            Self { data: AtomicPtr::new(ptr::null_mut()), vtable: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Puts a waker in. The caller is the words' owner, the state word says that they are empty, and what
    /// they held was moved out.
    #[inline(always)]
    pub(crate) fn fill(&self, waker: Waker) {
        let waker = ManuallyDrop::new(waker);
        // ORDERING: Relaxed; [P2] the registering compare-exchange publishes both words.
        self.data.store(waker.data().cast_mut(), Ordering::Relaxed);
        // ORDERING: Relaxed; as above.
        self.vtable
            .store(ptr::from_ref(waker.vtable()).cast_mut(), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn copy(&self) -> CopiedWaker {
        CopiedWaker {
            // ORDERING: Relaxed; [P2] the caller's load of the state word acquired the registration
            // whose words these are, and a later one makes the caller's compare-exchange fail.
            data: self.data.load(Ordering::Relaxed),
            // ORDERING: Relaxed; as above.
            vtable: self.vtable.load(Ordering::Relaxed),
        }
    }

    /// Whether the words hold a waker that wakes the same task. The caller is their owner.
    #[inline(always)]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        let copied = self.copy();
        ptr::eq(copied.data, waker.data()) && ptr::eq(copied.vtable, waker.vtable())
    }
}

impl CopiedWaker {
    /// Makes the copy a waker again.
    ///
    /// # Safety
    /// The words are those of one registration, and the caller owns it: it made the step that says that
    /// the words are empty.
    #[inline(always)]
    pub(crate) unsafe fn into_waker(self) -> Waker {
        // SAFETY: `fill` stored a reference to a `'static` table, and both words are of one waker.
        let vtable: &'static RawWakerVTable = unsafe { &*self.vtable };
        // SAFETY: the words of a live waker, which the caller owns, so it comes back exactly once.
        unsafe { Waker::new(self.data, vtable) }
    }
}
