//! Producing by token: on the slot that it names, if any, while its owner is borrowed. The caller is no
//! party of the round.

use super::SlotRef;
use crate::error::{Rejected, Rejection};
use crate::slot::{Carry, Failure, Value};
use crate::state::{Ending, Word};
use crate::sync::Ordering;
use crate::token::{Status, Token};

impl<T, E> SlotRef<T, E> {
    /// Claims the round that `token` names, then completes it.
    pub(crate) fn complete_named(
        named: Option<Self>,
        token: Token,
        value: T,
    ) -> Result<(), Rejected<T>> {
        Self::produce_named(named, token, Value(value)).map_err(|rejected| rejected.map(|v| v.0))
    }

    /// Claims the round that `token` names, then fails it.
    pub(crate) fn fail_named(
        named: Option<Self>,
        token: Token,
        error: E,
    ) -> Result<(), Rejected<E>> {
        Self::produce_named(named, token, Failure(error)).map_err(|rejected| rejected.map(|e| e.0))
    }

    fn produce_named<C: Carry<T, E>>(
        named: Option<Self>,
        token: Token,
        carried: C,
    ) -> Result<(), Rejected<C>> {
        let Some(slot) = named else {
            return Err(Rejected::new(Rejection::Stale, carried));
        };
        let mut word = slot.peek();
        loop {
            if let Some(reason) = slot.refusal(word, token) {
                return Err(Rejected::new(reason, carried));
            }
            // ORDERING: Relaxed; [P4] `produce` begins by loading the word with an acquire, and this
            // exchange continues the release sequence of `share`. On failure nothing was gained.
            match slot.exchange(word, word.claimed(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(()) => break,
                Err(actual) => word = actual,
            }
        }
        slot.produce(carried)
            .map_err(|carried| Rejected::new(Rejection::Closed, carried))
    }

    /// Ends the round that `token` names as cancelled: claiming and publishing in one step.
    pub(crate) fn cancel_named(named: Option<Self>, token: Token) -> Result<(), Rejected<()>> {
        let reason = match named {
            None => Rejection::Stale,
            Some(slot) => {
                let admits = |word: Word| word.is_round_of(token.version()) && word.is_open();
                match slot.end(slot.word(), Ending::Cancelled, admits) {
                    Ok(()) => return Ok(()),
                    Err(word) => slot.refusal(word, token).unwrap_or(Rejection::Lost),
                }
            }
        };
        Err(Rejected::new(reason, ()))
    }

    /// What the round that `token` names has come to.
    pub(crate) fn status_named(named: Option<Self>, token: Token) -> Status {
        let Some(word) = named
            .map(|slot| slot.peek())
            .filter(|word| word.is_round_of(token.version()))
        else {
            return Status::Stale;
        };
        match word.ending() {
            None => Status::Pending,
            Some(Ending::Value) => Status::Succeeded,
            Some(Ending::Error) => Status::Failed,
            Some(Ending::Cancelled | Ending::Abandoned | Ending::Closed) => Status::Cancelled,
        }
    }

    /// Why a producer by `token` has no effect, if so. It has answered all the same: a round that is
    /// held for that is held no more.
    fn refusal(self, word: Word, token: Token) -> Option<Rejection> {
        if !word.is_round_of(token.version()) {
            Some(Rejection::Stale)
        } else if word.is_held() {
            self.let_go(word);
            Some(Rejection::Closed)
        } else if word.is_deserted() {
            Some(Rejection::Closed)
        } else if !word.is_open() {
            Some(Rejection::Lost)
        } else {
            None
        }
    }
}
