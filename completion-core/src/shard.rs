//! The free bits of a pool, spread over cache lines.
//!
//! One bit a slot: set means home. A rent clears the lowest set bit of a shard, a return sets its own
//! again. One word per shard, on a cache line of its own, so threads that start at different shards
//! share nothing. Bits need no tag against reuse: whoever clears a bit owns it, whatever happened to
//! it before.
//!
//! The same word says when the pool may be freed, so no rent counts references. Closing adds a
//! constant that puts the word at `TOP` minus the bits still out; as they come home the sum reaches
//! `TOP`, the sign bit, exactly when the last one does. Below that the sign bit is never set, because
//! a shard has fewer slots than its word has value bits.

use crate::sync::{AtomicUsize, Ordering};

/// The most slots in one shard: one bit less than a word has, the top one tells that all are home.
pub(crate) const SLOTS: usize = (usize::BITS - 1) as usize;

const TOP: usize = 1 << (usize::BITS - 1);

/// Up to [`SLOTS`] free bits. Aligned to two cache lines, as adjacent lines are fetched in pairs.
#[repr(align(128))]
pub(crate) struct Shard {
    free: AtomicUsize,
    /// Bits that a rent found retired: out for ever.
    retired: AtomicUsize,
    first: usize,
    len: usize,
    owner: *const Owner,
}

/// What the last return of a closed pool needs to know of it.
pub(crate) struct Owner {
    /// Shards that are not both closed and whole.
    live: AtomicUsize,
    /// Frees the pool, given the address of this very field.
    free: unsafe fn(*const Self),
}

impl Owner {
    pub(crate) fn new(shards: usize, free: unsafe fn(*const Self)) -> Self {
        Self {
            live: AtomicUsize::new(shards),
            free,
        }
    }

    /// Notes that a shard is closed and whole; after the last one the pool is gone.
    ///
    /// # Safety
    /// `owner` is alive, and called at most once for each of its shards.
    unsafe fn leave(owner: *const Self) {
        // SAFETY: alive as long as one shard has not left, and the caller's has not.
        let live = unsafe { &(*owner).live };
        // ORDERING: AcqRel. Release: [P8] everything done to this shard's slots happens before the
        // pool is freed. Acquire: if this shard is the last, so does everything done to the others.
        if live.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: still alive, as nobody else frees it.
            let free = unsafe { (*owner).free };
            // SAFETY: all shards are whole and closed: no slot, handle or pool refers to the memory.
            unsafe { free(owner) };
        }
    }
}

impl Shard {
    /// A shard of `len` slots, all home, the first of which is number `first` of the pool.
    pub(crate) fn new(first: usize, len: usize, owner: *const Owner) -> Self {
        debug_assert!(len <= SLOTS);
        Self {
            free: AtomicUsize::new(Self::full(len)),
            retired: AtomicUsize::new(0),
            first,
            len,
            owner,
        }
    }

    const fn full(len: usize) -> usize {
        (1 << len) - 1
    }

    /// Takes a slot out: its bit, or none if every slot is out.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<u32> {
        // ORDERING: Relaxed; the word is only a guess for the exchange.
        let mut free = self.free.load(Ordering::Relaxed);
        while free != 0 {
            // ORDERING: Acquire; [P7] the slot's last round, put back with a release, happens before
            // the caller's. Relaxed on failure: nothing was taken.
            match self.free.compare_exchange_weak(
                free,
                free & (free - 1),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(free.trailing_zeros()),
                Err(actual) => free = actual,
            }
        }
        None
    }

    /// Puts a slot back, and frees the pool if it was the last one out of a closed pool.
    ///
    /// # Safety
    /// `shard` is alive, `bit` is out, the caller owns it and touches its slot no more.
    #[inline(always)]
    pub(crate) unsafe fn put(shard: *const Self, bit: u32) {
        // SAFETY: alive until this very bit is home, says the caller.
        let free = unsafe { &(*shard).free };
        let bit = 1_usize << bit;
        // ORDERING: Release; [P7] the round happens before the slot's next one, [P8] and before the
        // pool is freed. An addition sets the bit, as it is clear.
        let word = free.fetch_add(bit, Ordering::Release).wrapping_add(bit);
        if word.cast_signed() < 0 {
            // SAFETY: the sign says that all are home and the shard is closed; it waits for this call.
            unsafe { Self::leave(shard) };
        }
    }

    /// Leaves the slot of a taken `bit` out for ever, as its versions are used up.
    #[cold]
    pub(crate) fn retire(&self, bit: u32) {
        // ORDERING: Relaxed; read by the pool's last handle, which every other handle's drop, and so
        // this call, happens before, and by statistics.
        self.retired.fetch_or(1 << bit, Ordering::Relaxed);
    }

    /// Closes the shard: nobody rents from it any more, and the last slot to come home leaves.
    ///
    /// # Safety
    /// `shard` is alive, closed once, and nobody takes from it any more.
    pub(crate) unsafe fn close(shard: *const Self) {
        // SAFETY: alive, says the caller, and read before the word that lets it go.
        let full = Self::full(unsafe { (*shard).len });
        // SAFETY: as above.
        let retired = unsafe { &(*shard).retired };
        // ORDERING: Relaxed; all rents, which alone retire, happened before.
        let retired = retired.load(Ordering::Relaxed);
        // SAFETY: as above; only the atomic is borrowed, since a peer may free the pool meanwhile.
        let free = unsafe { &(*shard).free };
        let step = TOP - full + retired;
        // ORDERING: Release; [P8] what the pool's handles did happens before it is freed by a return.
        let word = free.fetch_add(step, Ordering::Release).wrapping_add(step);
        if word == TOP {
            // SAFETY: all were home, so no return leaves for this shard.
            unsafe { Self::leave(shard) };
        }
    }

    /// # Safety
    /// `shard` is closed and whole, and nobody else leaves for it.
    #[cold]
    unsafe fn leave(shard: *const Self) {
        // SAFETY: alive until its owner heard that it left.
        let shard = unsafe { &*shard };
        // ORDERING: Acquire; [P8] reads the end of a chain of additions, so every return and the
        // closing happen before the pool is freed.
        shard.free.load(Ordering::Acquire);
        let owner = shard.owner;
        // SAFETY: alive, and this shard leaves once.
        unsafe { Owner::leave(owner) };
    }

    /// The number, over all shards of the pool, of the slot of `bit`.
    pub(crate) fn index_of(&self, bit: u32) -> u16 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a pool's capacity is a `u16`"
        )]
        {
            (self.first + bit as usize) as u16
        }
    }

    /// The number of the shard's first slot.
    #[inline(always)]
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// How many slots it was made with.
    pub(crate) fn len(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "at most `SLOTS`")]
        {
            self.len as u32
        }
    }

    /// How many slots still serve, and how many of them are out just now.
    pub(crate) fn usage(&self) -> (usize, usize) {
        // ORDERING: Relaxed, twice; statistics, out of date when they are read.
        let retired = self.retired.load(Ordering::Relaxed);
        let home = self.free.load(Ordering::Relaxed) & !retired;
        let serving = self.len - retired.count_ones() as usize;
        (serving, serving.saturating_sub(home.count_ones() as usize))
    }
}
