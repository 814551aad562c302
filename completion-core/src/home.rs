//! Where a slot goes when its round is over.

#[cfg(feature = "alloc")]
use crate::shard::{self, Shard};

/// The place a slot belongs to, in one word.
///
/// The address of the slot's shard with the slot's bit number in the low bits (shards are aligned to
/// more than they hold). In the place of bit numbers that no shard has: marks for slots of no pool.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    #[cfg(feature = "alloc")]
    tagged: *const Shard,
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
    /// The slot is that of this one bit of this shard's word.
    Pooled(*const Shard, usize),
}

#[cfg(feature = "alloc")]
impl Home {
    /// What the alignment of a shard leaves free.
    const TAG: usize = align_of::<Shard>() - 1;
    /// Of this, the number of a bit.
    const BIT: usize = Self::TAG / 2;
    /// Or a mark, beyond all numbers: the slot is no pool's.
    const BOXED_TAG: usize = Self::BIT + 1;
    const IN_PLACE_TAG: usize = Self::BIT + 2;
    const ROOM_FOR_EVERY_BIT: () = assert!(shard::SLOTS <= Self::BIT);

    /// A box for one round.
    pub(crate) const BOXED: Self = Self {
        tagged: core::ptr::without_provenance(Self::BOXED_TAG),
    };

    /// Number `index` of something that holds slots itself.
    pub(crate) const fn in_place(index: u16) -> Self {
        let number = (index as usize) * (Self::TAG + 1);
        Self {
            tagged: core::ptr::without_provenance(number | Self::IN_PLACE_TAG),
        }
    }

    /// The slot of `bit` in `shard`.
    pub(crate) fn pooled(shard: *const Shard, bit: u32) -> Self {
        let () = Self::ROOM_FOR_EVERY_BIT;
        Self {
            tagged: shard.map_addr(|address| address | bit as usize),
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an index was a `u16`")]
    pub(crate) fn place(self) -> Place {
        let address = self.tagged.addr();
        if address & (Self::BIT + 1) == 0 {
            let shard = self.tagged.map_addr(|address| address & !Self::TAG);
            Place::Pooled(shard, 1 << (address & Self::BIT))
        } else if address & Self::TAG == Self::BOXED_TAG {
            Place::Boxed
        } else {
            Place::Source((address / (Self::TAG + 1)) as u16)
        }
    }

    /// The number by which a token finds the slot; none for a slot that is freed while tokens of its
    /// round may still be about.
    pub(crate) fn index(self) -> Option<u16> {
        match self.place() {
            Place::Source(index) => Some(index),
            Place::Boxed => None,
            Place::Pooled(shard, bit) => {
                let bit = bit.trailing_zeros();
                // SAFETY: whoever asks holds a handle to a slot of this shard, which keeps it alive.
                Some(unsafe { &*shard }.index_of(bit))
            }
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Home {
    /// Number `index` of something that holds slots itself.
    pub(crate) const fn in_place(index: u16) -> Self {
        Self { index }
    }

    /// The number by which a token finds the slot.
    pub(crate) const fn index(self) -> Option<u16> {
        Some(self.index)
    }
}
