//! Where a slot goes when its round is over.

#[cfg(feature = "alloc")]
use crate::shard::{SLOTS, Shard};

/// The place a slot belongs to, in one word: the address of its shard with the number of its bit in the
/// low bits, which alignment leaves free, or a mark that is no address of one.
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
    /// The slot is a `CompletionSource`, which has it back at once.
    Source,
    /// The slot is this one of a `StaticPool`, which has it back at once.
    Static(u16),
    /// The slot is a box of its own, freed after its one round.
    Boxed,
    /// The slot is the one of this bit of this shard.
    Pooled(*const Shard, u32),
}

#[cfg(feature = "alloc")]
const _: () = assert!(SLOTS <= Home::MARK && Home::MARK * 2 <= align_of::<Shard>());

#[cfg(feature = "alloc")]
impl Home {
    /// Set in what is no address of a shard; below it is the number of a bit, above it an index, or what is
    /// beyond all of them.
    const MARK: usize = 1 << 6;

    /// A box for one round.
    pub(crate) const BOXED: Self = Self::marked(1 << 16);
    /// A source.
    pub(crate) const SOURCE: Self = Self::marked((1 << 16) + 1);

    /// Number `index` of a static pool.
    pub(crate) const fn in_static(index: u16) -> Self {
        Self::marked(index as usize)
    }

    const fn marked(number: usize) -> Self {
        Self {
            shard: core::ptr::without_provenance((number * 2 + 1) * Self::MARK),
        }
    }

    /// The slot of this bit of `shard`.
    pub(crate) fn pooled(shard: *const Shard, bit: u32) -> Self {
        Self {
            shard: shard.wrapping_byte_add(bit as usize),
        }
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an index was a `u16`, and a bit is one of few"
    )]
    pub(crate) fn place(self) -> Place {
        let address = self.shard.addr();
        if address & Self::MARK == 0 {
            let bit = address & (Self::MARK - 1);
            Place::Pooled(self.shard.wrapping_byte_sub(bit), bit as u32)
        } else if address == Self::SOURCE.shard.addr() {
            Place::Source
        } else if address == Self::BOXED.shard.addr() {
            Place::Boxed
        } else {
            Place::Static((address / (2 * Self::MARK)) as u16)
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Home {
    /// A source.
    pub(crate) const SOURCE: Self = Self::in_static(0);

    /// Number `index` of a static pool.
    pub(crate) const fn in_static(index: u16) -> Self {
        Self { index }
    }

    pub(crate) const fn index(self) -> u16 {
        self.index
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::{Home, Place};

    #[test]
    fn no_two_homes_are_the_same() {
        for index in [0, 1, u16::MAX] {
            let place = Home::in_static(index).place();
            assert!(matches!(place, Place::Static(it) if it == index));
        }
        assert!(matches!(Home::SOURCE.place(), Place::Source));
        assert!(matches!(Home::BOXED.place(), Place::Boxed));
    }
}
