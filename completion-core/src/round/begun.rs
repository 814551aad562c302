//! The word with which a round began, as its handles keep it: where that makes a handle no more than two
//! pointers, and nowhere else.

use crate::state::Word;

/// The copy, or nothing.
pub(super) type Begun = <[(); COPIES] as Width>::Begun;

const COPIES: usize = if size_of::<Word>() <= size_of::<usize>() {
    1
} else {
    0
};

pub(super) trait Width {
    type Begun: Copied;
}

impl Width for [(); 1] {
    type Begun = Word;
}

impl Width for [(); 0] {
    type Begun = Nothing;
}

pub(super) trait Copied: Copy {
    fn of(begun: Word) -> Self;
    /// The word that the round has in a shape of the common way: made of the copy, else of what was `seen`.
    fn in_shape(self, seen: Word, shape: Word) -> Word;
}

impl Copied for Word {
    #[inline(always)]
    fn of(begun: Word) -> Self {
        begun
    }

    #[inline(always)]
    fn in_shape(self, _seen: Word, shape: Word) -> Word {
        self.stepped(Word::FRESH, |_| shape)
    }
}

/// No copy.
#[derive(Clone, Copy)]
pub(super) struct Nothing;

impl Copied for Nothing {
    #[inline(always)]
    fn of(_begun: Word) -> Self {
        Self
    }

    #[inline(always)]
    fn in_shape(self, seen: Word, shape: Word) -> Word {
        seen.reshaped(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_or_without_a_copy_a_round_has_the_same_words() {
        let begun = Word::FRESH.shared(false).dropped().next_round().begun();
        for seen in [Word::FRESH, Word::AWAITED, Word::DESERTED] {
            let seen = begun.reshaped(seen);
            for shape in [Word::FRESH, Word::AWAITED, Word::SUCCEEDED] {
                let word = Word::of(begun).in_shape(seen, shape);
                assert_eq!(word, Nothing::of(begun).in_shape(seen, shape));
                assert!(word.has_shape(shape) && word.version() == 1);
            }
        }
    }
}
