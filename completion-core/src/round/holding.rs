//! Rounds that are held: their consumer may leave, and the token's holder has yet to answer.

use super::SlotRef;
use crate::state::Word;
use crate::sync::Ordering;

impl<T, E> SlotRef<T, E> {
    /// Takes the hold off a round that is held; whoever leaves last releases. Whether it was done here.
    pub(super) fn let_go(self, mut word: Word) -> bool {
        let version = word.version();
        while word.is_round_of(version) && word.is_held() {
            // ORDERING: Acquire; [P5] the consumer's accesses happen before the release below. Relaxed
            // on failure: nothing was gained.
            match self.exchange(word, word.let_go(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(()) => {
                    #[cfg(feature = "alloc")]
                    if let Some(holding) = self.holding() {
                        holding.one_less();
                    }
                    if word.is_held_alone() {
                        self.release(word, word);
                    }
                    return true;
                }
                Err(actual) => word = actual,
            }
        }
        false
    }

    /// What the slot's pool knows of them. The caller is present, or has the pool borrowed.
    #[cfg(feature = "alloc")]
    fn holding(&self) -> Option<&crate::pool::Holding> {
        use crate::home::Place;

        // SAFETY: alive by the invariant; the field never changes.
        let Place::Pooled(shard, _) = unsafe { (*self.as_ptr()).home }.place() else {
            return None;
        };
        // SAFETY: its pool is alive, says the caller, and so is the shard.
        let owner = unsafe { &*shard }.owner();
        // SAFETY: as above.
        Some(unsafe { &(*owner).holding })
    }

    /// Takes the hold off the round that `token` names; false if it is not held.
    #[cfg(feature = "pending-map")]
    pub(crate) fn let_go_named(named: Option<Self>, token: crate::token::Token) -> bool {
        named.is_some_and(|slot| {
            let word = slot.peek();
            word.is_round_of(token.version()) && slot.let_go(word)
        })
    }

    /// The consumer's closing step left this round held: reports it to the pool. Foreign code.
    #[cold]
    pub(super) fn report_held(self) {
        #[cfg(feature = "alloc")]
        if let Some(holding) = self.holding() {
            holding.one_more();
        }
    }
}
