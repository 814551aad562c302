//! Where a slot goes when its round is over.

#[cfg(feature = "alloc")]
use crate::shard::Shard;

/// The place a slot belongs to, in one word: the address of its shard, or a mark that is no address of one.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    #[cfg(feature = "alloc")]
    shard: *const Shard,
    #[cfg(not(feature = "alloc"))]
    index: u16,
}

/// A [`Home`], unpacked.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// The slot is this one of a `CompletionSource` or `StaticPool`, which has it back at once.
    Source(u16),
    /// The slot is a box of its own, freed after its one round.
    Boxed,
    /// The slot is one of this shard.
    Pooled(*const Shard),
}

#[cfg(feature = "alloc")]
impl Home {
    /// The lowest bit, which no address of a shard has, marks the others; the rest is an index, or beyond all
    /// of them.
    const BOXED_MARK: usize = (1 << 17) | 1;

    /// A box for one round.
    pub(crate) const BOXED: Self = Self {
        shard: core::ptr::without_provenance(Self::BOXED_MARK),
    };

    /// Number `index` of something that holds slots itself.
    pub(crate) const fn in_place(index: u16) -> Self {
        let mark = ((index as usize) << 1) | 1;
        Self {
            shard: core::ptr::without_provenance(mark),
        }
    }

    /// One of the slots of `shard`.
    pub(crate) fn pooled(shard: *const Shard) -> Self {
        Self { shard }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an index was a `u16`")]
    pub(crate) fn place(self) -> Place {
        let address = self.shard.addr();
        if address & 1 == 0 {
            Place::Pooled(self.shard)
        } else if address == Self::BOXED_MARK {
            Place::Boxed
        } else {
            Place::Source((address >> 1) as u16)
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Home {
    /// Number `index` of something that holds slots itself.
    pub(crate) const fn in_place(index: u16) -> Self {
        Self { index }
    }

    pub(crate) const fn index(self) -> u16 {
        self.index
    }
}
