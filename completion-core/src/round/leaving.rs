//! How a party leaves, and how the last one releases the slot.

use super::SlotRef;
use crate::state::Word;
use crate::sync::{Ordering, Raw};

impl<T, E> SlotRef<T, E> {
    /// Leaves an ended round, of whose word `shape` is what is known. Who is alone in a round that has
    /// ended stays so: nobody comes any more.
    #[inline(always)]
    pub(super) fn depart(self, word: Word, shape: Word, bit: Raw) {
        if shape.is_alone(bit) {
            self.release(word, shape);
        } else {
            self.leave(bit);
        }
    }

    /// Clears a presence bit for good; the last to leave releases.
    #[inline(never)]
    pub(super) fn leave(self, bit: Raw) {
        // ORDERING: AcqRel. Release: [P5] this party's accesses happen before the release by a peer.
        // Acquire: if this party is the last, the peers' accesses happen before its release.
        let word = Word::from_raw(self.state().fetch_sub(bit, Ordering::AcqRel));
        if word.is_alone(bit) {
            self.release(word, word);
        }
    }

    /// Makes the slot idle, and puts it back where it belongs. The caller is alone with it.
    #[inline(always)]
    pub(super) fn release(self, word: Word, shape: Word) {
        let idle = word.stepped(shape, Word::next_round);
        #[cfg(feature = "alloc")]
        {
            use crate::home::Place;
            use crate::sync::store_locked;

            // SAFETY: alive: in place by its borrow, boxed or pooled because it is not yet given back.
            match unsafe { (*self.as_ptr()).home }.place() {
                Place::Pooled(shard, bit) => {
                    self.count();
                    let begun = word.stepped(shape, |shape| shape.next_round().begun());
                    // ORDERING: Relaxed; [P7] what follows publishes the round, and this with it.
                    store_locked(self.state(), begun.raw(), Ordering::Relaxed);
                    // SAFETY: the bit is this slot's, is out, and is the caller's to put back.
                    unsafe { crate::shard::Shard::put(shard, 1 << bit) };
                }
                Place::Source => self.rest(idle),
                // ORDERING: Release; [P6] as in `rest`.
                Place::Static(_) => store_locked(self.state(), idle.raw(), Ordering::Release),
                Place::Boxed => {
                    // Idle, so there is nothing in it to drop.
                    self.rest(Word::NEW);
                    // SAFETY: a boxed slot comes from `Box::leak`, and its one round is over.
                    drop(unsafe { alloc::boxed::Box::from_raw(self.as_ptr()) });
                }
            }
        }
        #[cfg(not(feature = "alloc"))]
        self.rest(idle);
    }

    /// Counts a round that is over, for the pool's statistics.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    fn count(self) {
        // SAFETY: alive by the invariant; only the counter is borrowed.
        let rounds = unsafe { &(*self.as_ptr()).rounds };
        // ORDERING: Relaxed; a statistic that only who releases writes.
        rounds.store(self.rounds().wrapping_add(1), Ordering::Relaxed);
    }

    /// Rounds of a pooled slot that are over.
    #[cfg(feature = "alloc")]
    pub(crate) fn rounds(self) -> usize {
        // SAFETY: alive by the invariant; only the counter is borrowed.
        let rounds = unsafe { &(*self.as_ptr()).rounds };
        // ORDERING: Relaxed; a statistic.
        rounds.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn rest(self, word: Word) {
        // ORDERING: Release; [P6] everything done in this round happens before the next one, which
        // begins with an acquire of this word, or of the free bits.
        self.state().store(word.raw(), Ordering::Release);
    }
}
