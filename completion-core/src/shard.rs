//! The free bits of a pool, spread over cache lines.
//!
//! One bit a slot: set means home. A rent clears the lowest set bit of a shard, a return sets its own
//! again. One word per shard, on a cache line of its own, so threads that start at different shards
//! share nothing. Bits need no tag against reuse: whoever clears a bit owns it, whatever happened to
//! it before.
//!
//! The same word says when the pool may be freed, so no rent counts references: when the last handle is
//! gone it is *abandoned*, and from then on whoever finds that all bits are home, by the step that brings
//! the last of them or abandons, is the only one to find so.
//!
//! Flags above the bits say what concerns rents and returns, but hardly ever happens: one comparison
//! shows that none of them is set.

use core::ptr::NonNull;

use crate::sync::{AtomicUsize, Ordering};

/// The most slots in one shard.
pub(crate) const SLOTS: usize = (usize::BITS - 3) as usize;

/// Somebody waits: a slot that comes home is handed over instead.
const WANTED: usize = 1 << SLOTS;
/// The pool is closed: nobody rents any more.
const CLOSED: usize = WANTED << 1;
/// No handle to the pool is left: the last slot to come home frees it.
const ABANDONED: usize = CLOSED << 1;
/// Below it a word has no flag.
const FLAGS: usize = WANTED;

/// Up to [`SLOTS`] free bits. Aligned to two cache lines, as adjacent lines are fetched in pairs.
#[repr(align(128))]
pub(crate) struct Shard {
    free: AtomicUsize,
    /// Bits that a rent found retired: out for ever.
    retired: AtomicUsize,
    /// Its first slot.
    slots: NonNull<()>,
    /// The number of that, over all slots of the pool.
    first: usize,
    len: usize,
    owner: *const Owner,
}

/// What a shard needs to know of its pool.
pub(crate) struct Owner {
    /// Shards that some slot or handle still refers to.
    live: AtomicUsize,
    /// Frees the pool, given the address of this very field.
    free: unsafe fn(*const Self),
    pub(crate) shards: NonNull<[Shard]>,
    /// What there is to say of rounds that are held.
    pub(crate) holding: crate::pool::Holding,
    /// Who waits for a slot.
    #[cfg(feature = "std")]
    pub(crate) waiting: crate::pool::Waiting,
}

impl Owner {
    pub(crate) fn new(shards: usize, free: unsafe fn(*const Self)) -> Self {
        Self {
            live: AtomicUsize::new(shards),
            free,
            shards: NonNull::from(&mut []),
            holding: crate::pool::Holding::new(),
            #[cfg(feature = "std")]
            waiting: crate::pool::Waiting::new(),
        }
    }

    /// The pool's shards.
    #[cfg(feature = "std")]
    pub(crate) fn shards(&self) -> &[Shard] {
        // SAFETY: made before any handle or slot was lent, freed after all are back, and never borrowed
        // mutably in between.
        unsafe { self.shards.as_ref() }
    }

    /// Notes that nothing refers to a shard any more; after the last one the pool is gone.
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

/// The numbers of the bits that are set.
fn bits(mut word: usize) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

impl Shard {
    /// A shard of `len` slots, all home, the first of which is number `first` of the pool.
    pub(crate) fn new(first: usize, len: usize, owner: *const Owner) -> Self {
        debug_assert!(len <= SLOTS);
        Self {
            free: AtomicUsize::new(Self::full(len)),
            retired: AtomicUsize::new(0),
            slots: NonNull::dangling(),
            first,
            len,
            owner,
        }
    }

    /// Says where the slots are: those of the whole pool begin at `all`.
    ///
    /// # Safety
    /// They are as many as the shards of the pool have together.
    pub(crate) unsafe fn place<S>(&mut self, all: NonNull<S>) {
        // SAFETY: in bounds, as the caller says.
        self.slots = unsafe { all.add(self.first) }.cast();
    }

    /// The slot of a bit.
    #[inline(always)]
    pub(crate) fn slot<S>(&self, bit: u32) -> NonNull<S> {
        debug_assert!(self.bits().contains(&bit));
        // SAFETY: within the slots, as `place` was told where they are, and of what kind.
        unsafe { self.slots.cast::<S>().add(bit as usize) }
    }

    const fn full(len: usize) -> usize {
        (1 << len) - 1
    }

    /// The free bits, if taking one out is easy: there is one, and no flag is set.
    #[inline(always)]
    pub(crate) fn easy(&self) -> Option<usize> {
        // ORDERING: Relaxed; the word is only a guess for the exchange.
        let free = self.free.load(Ordering::Relaxed);
        // One comparison: no bit is less than none, and a flag is more than all.
        (free.wrapping_sub(1) < FLAGS - 1).then_some(free)
    }

    /// Takes a slot out: its bit, or none if every slot is out, or the pool closed.
    pub(crate) fn take(&self) -> Option<u32> {
        // ORDERING: Relaxed; the word is only a guess for the exchange.
        let mut free = self.free.load(Ordering::Relaxed);
        while free & CLOSED == 0 && free & (FLAGS - 1) != 0 {
            match self.take_lowest(free) {
                Ok(bit) => return Some(bit),
                Err(actual) => free = actual,
            }
        }
        None
    }

    /// Takes out the slot of the lowest of these bits, if they are all that are still free.
    #[inline(always)]
    pub(crate) fn take_lowest(&self, free: usize) -> Result<u32, usize> {
        // ORDERING: Acquire; [P7] the slot's last round, put back with a release, happens before the
        // caller's. Relaxed on failure: nothing was taken.
        self.free
            .compare_exchange(
                free,
                free & (free - 1),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .map(|_| free.trailing_zeros())
    }

    /// Puts a slot back, or hands it to who waits for one; frees the pool if it was the last one out
    /// and no handle is left.
    ///
    /// # Safety
    /// `shard` is alive, `bit`, here the bit itself, is out, the caller owns it and touches its slot no more.
    #[inline(always)]
    pub(crate) unsafe fn put(shard: *const Self, bit: usize) {
        // SAFETY: alive until this very bit is home, says the caller.
        let free = unsafe { &(*shard).free };
        // ORDERING: Relaxed; the word is only a guess for the exchange.
        let mut word = free.load(Ordering::Relaxed);
        while word < FLAGS {
            // ORDERING: Release; [P7] the round happens before the slot's next one, [P8] and before the
            // pool is freed. Relaxed on failure: nothing was gained.
            match free.compare_exchange_weak(word, word | bit, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(actual) => word = actual,
            }
        }
        // SAFETY: as for this call.
        unsafe { Self::put_carefully(shard, bit, word) };
    }

    /// As [`Shard::put`], from a word with a flag. Before the bit is home: nothing else keeps the pool
    /// alive meanwhile.
    ///
    /// # Safety
    /// As for [`Shard::put`].
    #[cold]
    unsafe fn put_carefully(shard: *const Self, bit: usize, word: usize) {
        #[cfg(feature = "std")]
        if word & WANTED != 0 {
            // SAFETY: as for this call.
            return unsafe { Self::hand_over(shard, bit) };
        }
        let _closed = word;
        // SAFETY: as for this call.
        unsafe { Self::bring(shard, bit) };
    }

    /// Adds bits, or [`ABANDONED`], to the word. If the pool is abandoned, and all bits are home with
    /// this step, and only then, nothing refers to the shard any more.
    ///
    /// # Safety
    /// `shard` is alive, and not yet both abandoned and whole.
    unsafe fn bring(shard: *const Self, bits: usize) {
        // SAFETY: alive, says the caller, and read before the step that may let it go.
        let full = Self::full(unsafe { (*shard).len });
        // SAFETY: as above; only the atomic is borrowed, since a peer may free the pool meanwhile.
        let free = unsafe { &(*shard).free };
        // ORDERING: Release; [P8] what was done to the slot, or by the pool's handles, happens before it
        // is freed by a peer, [P7] and before the slot's next round.
        let word = free.fetch_or(bits, Ordering::Release) | bits;
        let last = full | ABANDONED;
        if word & last == last {
            // SAFETY: all are home and no handle is left; only one step brings the last.
            unsafe { Self::leave(shard) };
        }
    }

    /// Hands a slot that comes home to who waits longest. If nobody does after all, puts it back.
    ///
    /// # Safety
    /// As for [`Shard::put`].
    #[cfg(feature = "std")]
    #[cold]
    unsafe fn hand_over(shard: *const Self, bit: usize) {
        // SAFETY: as for this call.
        let lease = unsafe { crate::pool::Lease::new(shard, bit) };
        // If nobody took it, it is dropped, which comes here again only if somebody waits again.
        drop(lease.hand_over());
    }

    /// Says to all returns from now on that somebody waits for a slot, or that nobody does.
    #[cfg(feature = "std")]
    pub(crate) fn set_wanted(&self, wanted: bool) {
        // ORDERING: Relaxed; the flag orders nothing. That a return either sees it, or put its slot back
        // before, where the look at the free bits that follows finds it, is the word's own order.
        if wanted {
            self.free.fetch_or(WANTED, Ordering::Relaxed);
        } else {
            self.free.fetch_and(!WANTED, Ordering::Relaxed);
        }
    }

    /// Whether somebody waits for a slot.
    #[cfg(feature = "std")]
    pub(crate) fn is_wanted(&self) -> bool {
        // ORDERING: Relaxed; the flag orders nothing.
        self.free.load(Ordering::Relaxed) & WANTED != 0
    }

    /// Closes the shard: nobody takes a slot out of it any more.
    pub(crate) fn close(&self) {
        // ORDERING: Relaxed; the flag orders nothing.
        self.free.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// The bits of the slots that are out and not retired. If the shard is closed they only get fewer.
    pub(crate) fn out(&self) -> impl Iterator<Item = u32> {
        // ORDERING: Acquire; [P7] a slot's last round happens before the shutting of the one under way,
        // which would pass it over as ended otherwise. Whoever took a slot out did so by a step on this
        // word, which the closing follows if this follows the closing, so the slot is among those returned.
        let free = self.free.load(Ordering::Acquire);
        // ORDERING: Relaxed; a retired slot has no round to be ended.
        let home = free | self.retired.load(Ordering::Relaxed);
        bits(Self::full(self.len) & !home)
    }

    /// Whether every slot is home or retired.
    pub(crate) fn is_whole(&self) -> bool {
        // ORDERING: Acquire; [P7] the rounds that are over happen before what the caller does to the slots.
        let home = self.free.load(Ordering::Acquire);
        // ORDERING: Relaxed; as in `abandon`: the caller has the only handle.
        let retired = self.retired.load(Ordering::Relaxed);
        (home | retired) & Self::full(self.len) == Self::full(self.len)
    }

    /// Whether it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: Relaxed; the flag orders nothing.
        self.free.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Leaves the slot of a taken `bit` out for ever, as its versions are used up.
    #[cold]
    pub(crate) fn retire(&self, bit: u32) {
        // ORDERING: Relaxed; read by the pool's last handle, which every other handle's drop, and so
        // this call, happens before, and by statistics.
        self.retired.fetch_or(1 << bit, Ordering::Relaxed);
    }

    /// The pool's last handle is gone: the last slot to come home leaves. Those that never will are home
    /// from now on.
    ///
    /// # Safety
    /// `shard` is alive, this is called once, and nobody takes from it any more.
    pub(crate) unsafe fn abandon(shard: *const Self) {
        // SAFETY: alive, says the caller.
        let retired = unsafe { &(*shard).retired };
        // ORDERING: Relaxed; [P9] all rents, which alone retire, happened before.
        let retired = retired.load(Ordering::Relaxed);
        // SAFETY: as above, and not yet abandoned.
        unsafe { Self::bring(shard, ABANDONED | retired) };
    }

    /// # Safety
    /// No slot is out and no handle left, and nobody else leaves for it.
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

    pub(crate) fn owner(&self) -> *const Owner {
        self.owner
    }

    /// The number, over all slots of the pool, of the slot of `bit`.
    pub(crate) fn index_of(&self, bit: u32) -> u16 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a pool's capacity is a `u16`"
        )]
        {
            (self.first + bit as usize) as u16
        }
    }

    /// The bits of its slots.
    pub(crate) fn bits(&self) -> core::ops::Range<u32> {
        #[expect(clippy::cast_possible_truncation, reason = "at most `SLOTS`")]
        let len = self.len as u32;
        0..len
    }

    /// How many slots still serve, and how many of them are out just now.
    pub(crate) fn usage(&self) -> (usize, usize) {
        // ORDERING: Relaxed, twice; statistics, out of date when they are read.
        let retired = self.retired.load(Ordering::Relaxed);
        let home = self.free.load(Ordering::Relaxed) & Self::full(self.len) & !retired;
        let serving = self.len - retired.count_ones() as usize;
        (serving, serving.saturating_sub(home.count_ones() as usize))
    }
}
