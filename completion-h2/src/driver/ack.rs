//! SETTINGS and their acknowledgments, as the driver follows them by the tap's two counters.
//!
//! | state | left when | then |
//! |---|---|---|
//! | settled (`outstanding` is none) | a change is handed to h2 | handed |
//! | handed (`written_at` is none) | the tap counts its SETTINGS as written | written; the time limit starts |
//! | written | the tap counts its acknowledgment as read | settled; the completion gets the time that took |
//! | written | the time limit passes | terminal: the connection is given up |
//!
//! A connection begins as handed: h2's handshake buffers the first SETTINGS, and the round for it is begun before that.
//! h2 itself sends no SETTINGS of its own accord, so the n-th one counted is the n-th one handed to it. It also sees to it
//! that an acknowledgment with nothing outstanding is a connection error.

use std::time::{Duration, Instant};

use completion_core::Completion;

use crate::error::{Error, ErrorKind};
use crate::queue::{AckCompleter, Acks};
use crate::tap::TapHandle;

pub(crate) struct Ack {
    outstanding: Option<Outstanding>,
    /// SETTINGS handed to h2 so far, modulo 2^32 as the tap counts.
    handed: u32,
    limit: Duration,
}

struct Outstanding {
    completer: AckCompleter,
    written_at: Option<Instant>,
}

/// What an observation showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// Nothing new.
    Nothing,
    /// SETTINGS was written, so this is the time limit for its acknowledgment.
    Written(Instant),
    /// It was acknowledged, and who waited knows.
    Acked,
}

impl Ack {
    /// Of a connection whose handshake is about to hand the first SETTINGS to h2.
    pub(crate) fn new(
        acks: &Acks,
        limit: Duration,
    ) -> (Self, Completion<'static, Duration, Error>) {
        let (completer, completion) = acks.rent();
        let ack = Self {
            outstanding: Some(Outstanding {
                completer,
                written_at: None,
            }),
            handed: 1,
            limit,
        };
        (ack, completion)
    }

    /// Whether another SETTINGS may be handed to h2.
    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Another SETTINGS was handed to h2.
    pub(crate) fn handed(&mut self, completer: AckCompleter) {
        debug_assert!(self.is_settled());
        self.handed = self.handed.wrapping_add(1);
        self.outstanding = Some(Outstanding {
            completer,
            written_at: None,
        });
    }

    /// Looks at the counters, after anything that may have moved them.
    pub(crate) fn observe(&mut self, tap: &TapHandle, now: impl Fn() -> Instant) -> Observed {
        let Some(outstanding) = &mut self.outstanding else {
            return Observed::Nothing;
        };
        let mut observed = Observed::Nothing;
        let written_at = match outstanding.written_at {
            Some(at) => at,
            None if has_reached(tap.settings_written(), self.handed) => {
                let at = now();
                outstanding.written_at = Some(at);
                if let Some(limit) = at.checked_add(self.limit) {
                    observed = Observed::Written(limit);
                }
                at
            }
            None => return Observed::Nothing,
        };
        if !has_reached(tap.settings_acked(), self.handed) {
            return observed;
        }
        if let Some(Outstanding { completer, .. }) = self.outstanding.take() {
            // Rejected means that nobody waits for it.
            let _ = completer.complete(now().saturating_duration_since(written_at));
        }
        Observed::Acked
    }

    /// When the peer will have taken too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let written_at = self.outstanding.as_ref()?.written_at?;
        written_at.checked_add(self.limit)
    }

    /// Whether the peer has taken too long.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Fails what is outstanding.
    pub(crate) fn fail(&mut self, cause: &Error) {
        if let Some(Outstanding { completer, .. }) = self.outstanding.take() {
            let _ = completer.fail(cause.clone());
        }
    }

    pub(crate) fn timeout() -> Error {
        Error::new(ErrorKind::SettingsTimeout)
    }
}

/// Whether a counter of the tap, which may wrap, has come to `target`. It may be beyond: a peer that acknowledges too often
/// is found at fault by h2, but only after what it acknowledged first.
fn has_reached(count: u32, target: u32) -> bool {
    count.wrapping_sub(target) <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::has_reached;

    #[test]
    fn counters_are_compared_across_their_wrap() {
        assert!(!has_reached(0, 1));
        assert!(has_reached(1, 1));
        assert!(has_reached(2, 1));
        assert!(!has_reached(u32::MAX, 0));
        assert!(has_reached(0, u32::MAX));
    }
}
