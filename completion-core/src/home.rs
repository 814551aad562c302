//! Where a slot goes when its round is over.

#[cfg(feature = "alloc")]
use crate::shard::{self, Shard};

/// The place a slot belongs to, in one word.
///
/// The address of the slot's shard with the slot's bit number in the low bits (shards are aligned to
/// more than they hold), or one of two constants for slots of no pool.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    #[cfg(feature = "alloc")]
    tagged: *const Shard,
}

/// A [`Home`], unpacked.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// The slot is part of a `CompletionSource`, which has it back at once.
    Source,
    /// The slot is a box of its own, freed after its one round.
    Boxed,
    /// The slot is this bit of this shard.
    Pooled(*const Shard, u32),
}

impl Home {
    /// Part of a `CompletionSource`.
    pub(crate) const IN_PLACE: Self = Self {
        #[cfg(feature = "alloc")]
        tagged: core::ptr::null(),
    };
}

#[cfg(feature = "alloc")]
impl Home {
    /// A box for one round.
    pub(crate) const BOXED: Self = Self {
        tagged: core::ptr::without_provenance(1),
    };

    const BIT: usize = align_of::<Shard>() - 1;
    const _ROOM_FOR_EVERY_BIT: () = assert!(shard::SLOTS <= Self::BIT);

    /// The slot of `bit` in `shard`.
    pub(crate) fn pooled(shard: *const Shard, bit: u32) -> Self {
        let () = Self::_ROOM_FOR_EVERY_BIT;
        Self {
            tagged: shard.map_addr(|address| address | bit as usize),
        }
    }

    #[inline(always)]
    pub(crate) fn place(self) -> Place {
        let bit = self.tagged.addr() & Self::BIT;
        let shard = self.tagged.map_addr(|address| address & !Self::BIT);
        if !shard.is_null() {
            #[expect(clippy::cast_possible_truncation, reason = "a bit number, below 128")]
            Place::Pooled(shard, bit as u32)
        } else if bit == 0 {
            Place::Source
        } else {
            Place::Boxed
        }
    }

    /// The number by which a token finds the slot; none for a slot that is freed while tokens of its
    /// round may still be about.
    pub(crate) fn index(self) -> Option<u16> {
        match self.place() {
            Place::Source => Some(0),
            Place::Boxed => None,
            // SAFETY: whoever asks holds a handle to a slot of this shard, which keeps it alive.
            Place::Pooled(shard, bit) => Some(unsafe { &*shard }.index_of(bit)),
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Home {
    /// The number by which a token finds the slot.
    #[expect(clippy::unused_self, reason = "the signature of the build with pools")]
    pub(crate) const fn index(self) -> Option<u16> {
        Some(0)
    }
}
