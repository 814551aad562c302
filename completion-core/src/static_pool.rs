//! A pool that needs no allocator.

use core::fmt;
use core::mem::MaybeUninit;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};

use crate::completer::Completer;
use crate::completion::Completion;
use crate::error::{BeginError, RentError};
use crate::home::Home;
use crate::round::{Round, SlotRef};
use crate::slot::Slot;
use crate::state::Word;
use crate::sync::{constructor, thread_hint};
use crate::token::{Token, by_token};

/// `N` completion sources in a `static`, a struct or on the stack, with no allocator.
///
/// [`try_rent`](Self::try_rent) begins a round on the first source that is idle, looking at one after the
/// other; a source is idle again when its round is over. That costs a read-modify-write less than the
/// free bits of a [`Pool`](crate::Pool), and a look at each source that is out: for tens of sources, not
/// for thousands.
///
/// The handles are the same as everywhere, borrowed for as long as the pool is: from a `static`, for ever.
///
/// Where there are no 64-bit atomics a source has 2^21 - 1 versions, of which only rounds whose
/// [token](crate::Token) went out consume one; see [Versions](crate#versions) for what that means in hours.
/// When all are used up, [`try_rent`](Self::try_rent) says [`RentError::Retired`], and
/// [`renew`](Self::renew) helps.
///
/// # Examples
///
/// ```
/// use completion_core::StaticPool;
///
/// static POOL: StaticPool<u32, (), 4> = StaticPool::new();
///
/// let (completer, completion) = POOL.try_rent()?;
/// std::thread::spawn(|| completer.complete(42));
/// assert_eq!(futures_lite::future::block_on(completion), Ok(42));
/// assert_eq!(POOL.in_use(), 0);
/// # Ok::<(), completion_core::RentError>(())
/// ```
pub struct StaticPool<T, E, const N: usize> {
    slots: [Slot<T, E>; N],
}

// SAFETY: values and errors move through it between threads, so both must be `Send`; neither is ever
// shared by reference, so neither need be `Sync`. Wakers are both.
unsafe impl<T: Send, E: Send, const N: usize> Sync for StaticPool<T, E, N> {}
// SAFETY: idle sources, or those whose handles were forgotten, own their fields like any other type.
unsafe impl<T: Send, E: Send, const N: usize> Send for StaticPool<T, E, N> {}

// Foreign code runs at quiet points only, so one that panics leaves nothing half done.
impl<T, E, const N: usize> UnwindSafe for StaticPool<T, E, N> {}
impl<T, E, const N: usize> RefUnwindSafe for StaticPool<T, E, N> {}

impl<T, E, const N: usize> StaticPool<T, E, N> {
    constructor! {
        /// A pool of `N` idle sources.
        ///
        /// Does not compile for more than 65 536, which is what a token can tell apart.
        ///
        /// ```
        /// static POOL: completion_core::StaticPool<u32, (), 8> = completion_core::StaticPool::new();
        /// assert!(POOL.try_rent().is_ok());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            const { assert!(N <= 1 << 16, "a token has 16 bits for the source's number") };
            let mut slots = [const { MaybeUninit::<Slot<T, E>>::uninit() }; N];
            let mut number = 0;
            while number < N {
                #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
                let home = Home::in_static(number as u16);
                slots[number] = MaybeUninit::new(Slot::new(home, Word::NEW));
                number += 1;
            }
            // SAFETY: as many slots, laid out alike, all of them initialised, and moved out once.
            let slots = unsafe { ptr::from_ref(&slots).cast::<[Slot<T, E>; N]>().read() };
            Self { slots }
        }
    }

    /// Rents a source for one round, if one is idle.
    ///
    /// Wait-free: looks at each source once.
    ///
    /// # Errors
    ///
    /// [`RentError::Exhausted`] if none is; [`RentError::Retired`] if all have used up their versions.
    ///
    /// # Examples
    ///
    /// ```
    /// use completion_core::{RentError, StaticPool};
    ///
    /// let pool = StaticPool::<u32, (), 1>::new();
    /// let lent = pool.try_rent()?;
    /// assert_eq!(pool.try_rent().unwrap_err(), RentError::Exhausted);
    /// drop(lent);
    /// assert!(pool.try_rent().is_ok());
    /// # Ok::<(), RentError>(())
    /// ```
    #[cfg_attr(feature = "diagnostics", track_caller)]
    pub fn try_rent(&self) -> Result<Round<'_, T, E>, RentError> {
        let (before, after) = self.slots.split_at(thread_hint() % N.max(1));
        let mut retired = 0;
        for slot in after.iter().chain(before) {
            match SlotRef::new(NonNull::from(slot)).begin_contended() {
                Ok(slot) => return Ok((Completer::new(slot), Completion::new(slot))),
                Err(BeginError::Retired) => retired += 1,
                Err(BeginError::Lent) => {}
            }
        }
        Err(if retired == N && N > 0 {
            RentError::Retired
        } else {
            RentError::Exhausted
        })
    }

    /// How many sources are out just now.
    ///
    /// ```
    /// let pool = completion_core::StaticPool::<u32, (), 2>::new();
    /// let _lent = pool.try_rent()?;
    /// assert_eq!(pool.in_use(), 1);
    /// # Ok::<(), completion_core::RentError>(())
    /// ```
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.out().count()
    }

    /// The slots that are neither idle nor retired.
    pub(crate) fn out(&self) -> impl Iterator<Item = SlotRef<T, E>> {
        let slots = self
            .slots
            .iter()
            .map(|slot| SlotRef::new(NonNull::from(slot)));
        slots.filter(|slot| {
            let word = slot.peek();
            !word.is_idle() && !word.is_retired()
        })
    }

    /// Makes sources idle whose handles were [forgotten](core::mem::forget), as
    /// [`CompletionSource::reset`](crate::CompletionSource::reset).
    ///
    /// ```
    /// let mut pool = completion_core::StaticPool::<u32, (), 1>::new();
    /// std::mem::forget(pool.try_rent()?);
    /// assert!(pool.try_rent().is_err());
    /// pool.reset();
    /// assert!(pool.try_rent().is_ok());
    /// # Ok::<(), completion_core::RentError>(())
    /// ```
    pub fn reset(&mut self) {
        self.slots.iter_mut().for_each(Slot::reset);
    }

    /// Makes sources whose versions are used up serve again, as
    /// [`CompletionSource::renew`](crate::CompletionSource::renew): call it when no token of them is left.
    ///
    /// ```
    /// let mut pool = completion_core::StaticPool::<u32, (), 1>::new();
    /// pool.renew();
    /// assert!(pool.try_rent().is_ok());
    /// ```
    pub fn renew(&mut self) {
        self.slots.iter_mut().for_each(Slot::renew);
    }

    by_token! {
        "completion_core::StaticPool::<u32, (), 4>::new()", "try_rent()?",
        /// It counts nothing.
        fn note_stale(&self) {}
    }

    fn named(&self, token: Token) -> Option<SlotRef<T, E>> {
        let slot = self.slots.get(token.index())?;
        Some(SlotRef::new(NonNull::from(slot)))
    }
}

impl<T, E, const N: usize> Default for StaticPool<T, E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E, const N: usize> fmt::Debug for StaticPool<T, E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticPool")
            .field("capacity", &N)
            .field("in_use", &self.in_use())
            .finish_non_exhaustive()
    }
}
