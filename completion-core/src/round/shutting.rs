//! Ending a round from outside: by its pool, whatever its mode. The caller is no party of the round.

use super::SlotRef;
use super::wakers::WakeOnDrop;
use crate::state::Word;
use crate::sync::Ordering;

impl<T, E> SlotRef<T, E> {
    /// Ends the round if it is pending, and lets go of it if it is held; whether it ended here.
    pub(crate) fn shut(self) -> bool {
        let mut word = self.word();
        while word.is_pending() && !word.is_retired() {
            // ORDERING: AcqRel. Release: [P1] the pool's cause goes to the consumer. Acquire: [P2],
            // [P10] the wakers. Relaxed on failure: nothing was gained, and letting go acquires.
            match self.exchange(word, word.shut(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(()) => {
                    // SAFETY: this exchange emptied the words, if they were filled, and left `TAKING`.
                    let wakers = unsafe { self.move_out(word) }.map(WakeOnDrop);
                    if wakers.iter().any(|waker| waker.0.is_some()) {
                        self.leave(Word::TAKING);
                    }
                    return true;
                }
                Err(actual) => word = actual,
            }
        }
        if word.is_held() {
            self.let_go(word);
        }
        false
    }
}
