//! What the tap and its handles share.
//!
//! The counters and flags are plain atomics because they are looked at on every I/O call and every driver poll. The rare
//! facts of more than one word sit in a mutex, which is locked only when a flag says that there is something in it. Nothing
//! foreign runs under it.
//!
//! The driver's task has both the tap and the handle that asks it for something, so nobody ever waits for the other. Other
//! threads have handles too, for the GOAWAY that explains why their requests failed ([`TapHandle::go_away`]).

use super::scanner::GoAway;
use crate::sync::{Arc, AtomicU8, AtomicU32, Mutex, Ordering};

/// [`Shared::flags`]: a GOAWAY was received.
const GO_AWAY: u8 = 1;
/// [`Shared::flags`]: the read side came to its end.
const READ_EOF: u8 = 1 << 1;
/// [`Shared::flags`]: a GOAWAY is to be sent.
const ASKED: u8 = 1 << 2;
/// [`Shared::flags`]: that GOAWAY was written and flushed.
const SENT: u8 = 1 << 3;

/// The tap's side.
#[derive(Debug)]
pub(crate) struct Shared {
    settings_written: AtomicU32,
    resets_written: AtomicU32,
    settings_acked: AtomicU32,
    flags: AtomicU8,
    /// 1 if the last write or flush is pending.
    blocked: AtomicU8,
    reads_left: AtomicU32,
    rare: Mutex<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    received: Option<GoAway>,
    asked: Option<u32>,
}

impl Shared {
    pub(crate) fn new() -> (Arc<Self>, TapHandle) {
        let shared = Arc::new(Self {
            settings_written: AtomicU32::new(0),
            resets_written: AtomicU32::new(0),
            settings_acked: AtomicU32::new(0),
            flags: AtomicU8::new(0),
            blocked: AtomicU8::new(0),
            reads_left: AtomicU32::new(u32::MAX),
            rare: Mutex::new(Rare::default()),
        });
        let handle = TapHandle(Arc::clone(&shared));
        (shared, handle)
    }

    fn has(&self, flag: u8) -> bool {
        // ORDERING: Relaxed. A flag publishes nothing by itself: what GO_AWAY and ASKED announce is read under the mutex
        // that is held when they are set, and the two others announce nothing but themselves.
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    fn set(&self, flag: u8) {
        // ORDERING: Relaxed, see `has`; a read-modify-write because tap and handle set different bits.
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }

    /// One more SETTINGS was written.
    pub(crate) fn count_settings(&self) {
        one_more(&self.settings_written);
    }

    /// One more RST_STREAM was written.
    pub(crate) fn count_reset(&self) {
        one_more(&self.resets_written);
    }

    /// One more acknowledgment was read.
    pub(crate) fn count_ack(&self) {
        one_more(&self.settings_acked);
    }

    /// A GOAWAY was received.
    pub(crate) fn receive(&self, received: GoAway) {
        let mut rare = self.rare.lock();
        rare.received = Some(received);
        self.set(GO_AWAY);
    }

    /// Whether the last write or flush is pending.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        // ORDERING: Relaxed. Tap and handle are used by the same task.
        self.blocked.store(blocked.into(), Ordering::Relaxed);
    }

    /// Whether the transport may be read once more.
    pub(crate) fn take_read(&self) -> bool {
        // ORDERING: Relaxed, both. Tap and handle are used by the same task.
        let left = self.reads_left.load(Ordering::Relaxed);
        self.reads_left
            .store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    /// The read side came to its end.
    pub(crate) fn set_ended(&self) {
        self.set(READ_EOF);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has(READ_EOF)
    }

    /// Whether a GOAWAY is to be sent.
    pub(crate) fn is_asked(&self) -> bool {
        self.has(ASKED)
    }

    /// The code of the GOAWAY that is to be sent.
    pub(crate) fn asked(&self) -> Option<u32> {
        if !self.is_asked() {
            return None;
        }
        self.rare.lock().asked
    }

    /// That GOAWAY was written and flushed.
    pub(crate) fn set_sent(&self) {
        self.set(SENT);
    }
}

/// Counts what the tap has seen.
fn one_more(counter: &AtomicU32) {
    // ORDERING: Relaxed, both. Nothing else is published with the number. Two steps, as the tap is its only writer.
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(1), Ordering::Relaxed);
}

/// What the driver knows of its tap, and how it asks for a GOAWAY. Clones are one reference count.
#[derive(Clone, Debug)]
pub(crate) struct TapHandle(Arc<Shared>);

impl TapHandle {
    /// How many SETTINGS (not counting acknowledgments) the transport has accepted to the last byte. Wraps at 2^32.
    pub(crate) fn settings_written(&self) -> u32 {
        // ORDERING: Relaxed. The number is all there is to learn; in the driver's own task program order makes it exact,
        // elsewhere it may lag.
        self.0.settings_written.load(Ordering::Relaxed)
    }

    /// How many RST_STREAM the transport has accepted: also those that h2 answers late frames with, of which it tells
    /// nobody. Wraps at 2^32.
    pub(crate) fn resets_written(&self) -> u32 {
        // ORDERING: Relaxed, as in `settings_written`.
        self.0.resets_written.load(Ordering::Relaxed)
    }

    /// Whether the transport did not take all that it was given. If not, a poll of h2's `Connection` has written all that
    /// it could.
    pub(crate) fn is_blocked(&self) -> bool {
        // ORDERING: Relaxed. Tap and handle are used by the same task.
        self.0.blocked.load(Ordering::Relaxed) != 0
    }

    /// How many SETTINGS acknowledgments were read. Wraps at 2^32.
    pub(crate) fn settings_acked(&self) -> u32 {
        // ORDERING: Relaxed, as in `settings_written`.
        self.0.settings_acked.load(Ordering::Relaxed)
    }

    /// The last GOAWAY received, as soon as its fixed fields were read; h2 acts on it when it is complete.
    pub(crate) fn go_away(&self) -> Option<GoAway> {
        if !self.0.has(GO_AWAY) {
            return None;
        }
        self.0.rare.lock().received
    }

    /// Until the next call the transport may be read so many times.
    pub(crate) fn allow_reads(&self, count: u32) {
        // ORDERING: Relaxed. Tap and handle are used by the same task.
        self.0.reads_left.store(count, Ordering::Relaxed);
    }

    /// Whether the peer ended its side. A transport error is not an end.
    pub(crate) fn read_eof(&self) -> bool {
        self.0.has_ended()
    }

    /// Asks the tap to write GOAWAY(last-stream-id 0, `code`) at the next boundary and to close; see "Taking over" in the
    /// tap's documentation. The caller then polls h2's `Connection`, for a bounded time. Only the first call counts.
    pub(crate) fn send_go_away(&self, code: u32) {
        let mut rare = self.0.rare.lock();
        if rare.asked.is_none() {
            rare.asked = Some(code);
            self.0.set(ASKED);
        }
    }

    /// Whether the GOAWAY asked for was accepted and flushed by the transport. From here on the only thing to wait for is
    /// the peer's end of stream.
    pub(crate) fn go_away_sent(&self) -> bool {
        self.0.has(SENT)
    }
}
