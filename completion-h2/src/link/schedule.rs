//! When the driver runs, and what it then looks at: one atomic word, the bitmap of streams behind it, and the driver's
//! task.
//!
//! # The word
//!
//! One atomic word holds *events* (things for the driver to look at), the *awake* bit, three *marks* that never go away
//! again, and how many are *quiet*.
//!
//! | bits | meaning | set by |
//! |---|---|---|
//! | 0..16 | a stream of that word of the ready bitmap wants to be looked at | slot wakers, response bodies |
//! | `QUEUE` | something was submitted, or the last handle was dropped | clients |
//! | `CANCEL` | a response future was dropped | response futures |
//! | `CONNECTION` | h2's connection wants to be polled | the connection's waker |
//! | `TIMER` | the sleep fired | the sleep's waker |
//! | `SETTINGS` | a SETTINGS change was asked for | clients |
//! | `AWAKE` | whoever set it sees to it that the driver looks at the events | see below |
//! | `DRAINING` | the peer sent GOAWAY | driver |
//! | `SPENT` | the reset budget is spent | driver |
//! | `CLOSED` | nothing submitted from now on will be looked at by the driver | driver |
//! | `OWED` | a wake was left to those who are quiet | see below |
//! | from `QUIET` on | how many call h2 outside the driver | response bodies |
//!
//! To tell the driver something is one read-modify-write that sets the event and `AWAKE`; only who finds `AWAKE` clear
//! wakes the driver's task. So any number of events cost one wake, and none while the driver runs: it holds `AWAKE` through
//! its whole poll, and gives it up by a compare-and-swap that fails if an event has come in. This is idle -> notified
//! coalescing without a re-check: everything is one word, in which no event is ever set without `AWAKE`.
//!
//! `CLOSED` in the same word settles the race of a submission with the end of the driver: the submitter pushes, then
//! tells; the driver closes, then drains. Whichever read-modify-write comes first, one of the two sees the other: an event
//! that finds `CLOSED` clear is drained by the driver, and who finds it set drains the queue itself.
//!
//! # Quiet
//!
//! h2 calls wakers under its lock, and an executor's waker is not to be called there: it may do anything. The driver calls
//! h2 while it is awake, and closes before it drops h2, so it is not woken then. Who calls h2 elsewhere counts itself in the word meanwhile
//! ([`Schedule::quietly`]). Who finds `AWAKE` clear but somebody quiet leaves the wake to the next who has left h2 and
//! sees `OWED`. On 32-bit targets the count is modulo 64: with as many threads in h2 at once a wake may come
//! early, but none is lost.

use std::task::Waker;

use crate::sync::{AtomicUsize, AtomicWaker, Ordering};

/// Words in the ready bitmap; each has a bit in the low part of the scheduling word.
const WORDS: usize = 16;
/// Streams of one connection that can be under way at once.
pub(crate) const MAX_STREAMS: usize = WORDS * usize::BITS as usize;

const STREAMS: usize = (1 << WORDS) - 1;
const QUEUE: usize = 1 << 16;
const CANCEL: usize = 1 << 17;
const CONNECTION: usize = 1 << 18;
const TIMER: usize = 1 << 19;
const SETTINGS: usize = 1 << 20;
const EVENTS: usize = STREAMS | QUEUE | CANCEL | CONNECTION | TIMER | SETTINGS;
const AWAKE: usize = 1 << 21;
const DRAINING: usize = 1 << 22;
const SPENT: usize = 1 << 23;
const CLOSED: usize = 1 << 24;
const OWED: usize = 1 << 25;
/// One who is quiet. The count has all the bits above.
const QUIET: usize = 1 << 26;

/// The word, the bitmap and the task.
#[derive(Debug)]
pub(crate) struct Schedule {
    word: AtomicUsize,
    ready: [AtomicUsize; WORDS],
    task: AtomicWaker,
}

/// What the driver found to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events(usize);

impl Events {
    pub(crate) fn queue(self) -> bool {
        self.0 & QUEUE != 0
    }

    pub(crate) fn cancel(self) -> bool {
        self.0 & CANCEL != 0
    }

    pub(crate) fn connection(self) -> bool {
        self.0 & CONNECTION != 0
    }

    pub(crate) fn timer(self) -> bool {
        self.0 & TIMER != 0
    }

    pub(crate) fn settings(self) -> bool {
        self.0 & SETTINGS != 0
    }
}

/// What is over for good, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks(usize);

impl Marks {
    /// Nothing more is served.
    pub(crate) fn closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    /// The peer sent GOAWAY.
    pub(crate) fn draining(self) -> bool {
        self.0 & DRAINING != 0
    }

    /// New requests are better sent elsewhere.
    pub(crate) fn unusable(self) -> bool {
        self.0 & (CLOSED | DRAINING | SPENT) != 0
    }
}

impl Schedule {
    /// For a driver that is going to be polled, and finds everything to do in its first poll.
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicUsize::new(QUEUE | CONNECTION | TIMER | AWAKE),
            ready: std::array::from_fn(|_| AtomicUsize::new(0)),
            task: AtomicWaker::new(),
        }
    }

    // ----- anybody -----

    /// Sets an event. Returns whether the link was closed already.
    fn tell(&self, event: usize) -> bool {
        // ORDERING: Release hands over what the event is about (a pushed submission, a bit of the ready bitmap), which the
        // driver reads after the Acquire of `take` or `close`. Acquire pairs with the release of `close`: who finds CLOSED
        // set may read the cause.
        let before = self.word.fetch_or(event | AWAKE, Ordering::AcqRel);
        if before & AWAKE == 0 {
            self.wake(before);
        }
        before & CLOSED != 0
    }

    /// Wakes the driver's task, or leaves that to who is quiet.
    fn wake(&self, word: usize) {
        if word < QUIET {
            self.task.wake();
            return;
        }
        // ORDERING: Relaxed. It publishes nothing, and says by itself whether the last one has left before it could see.
        let before = self.word.fetch_or(OWED, Ordering::Relaxed);
        if before < QUIET {
            self.pay();
        }
    }

    /// Wakes the driver's task if that is owed, and nobody else does.
    fn pay(&self) {
        // ORDERING: Relaxed; the bit stands for nothing but the wake.
        if self.word.fetch_and(!OWED, Ordering::Relaxed) & OWED != 0 {
            self.task.wake();
        }
    }

    /// Something was submitted. Returns whether it came too late: then the caller must see to the queue.
    #[must_use]
    pub(crate) fn tell_queue(&self) -> bool {
        self.tell(QUEUE)
    }

    /// A response future was dropped before its outcome was there.
    pub(crate) fn tell_cancel(&self) {
        self.tell(CANCEL);
    }

    /// A SETTINGS change was asked for, or is to be tried again. Returns whether that came too late, as for the queue.
    #[must_use]
    pub(crate) fn tell_settings(&self) -> bool {
        self.tell(SETTINGS)
    }

    /// h2's connection is to be polled.
    pub(crate) fn tell_connection(&self) {
        self.tell(CONNECTION);
    }

    /// The sleep fired.
    pub(crate) fn tell_timer(&self) {
        self.tell(TIMER);
    }

    /// Slot `index` wants to be looked at.
    pub(crate) fn tell_slot(&self, index: usize) {
        let (word, bit) = (index / usize::BITS as usize, index % usize::BITS as usize);
        // ORDERING: Release; what the slot's bit is about becomes visible to the Acquire of `ready`, also if that finds the
        // bit before we have told: another slot of the same word may have brought it here.
        self.ready[word].fetch_or(1 << bit, Ordering::Release);
        self.tell(1 << word);
    }

    /// What is over.
    pub(crate) fn marks(&self) -> Marks {
        // ORDERING: Acquire; who sees CLOSED may read the cause, who sees DRAINING the GOAWAY, which were there before it.
        Marks(self.word.load(Ordering::Acquire))
    }

    /// Calls `h2` such that wakers which h2 calls under its lock do not wake the driver's task there, but afterwards.
    pub(crate) fn quietly<R>(&self, h2: impl FnOnce() -> R) -> R {
        // ORDERING: Relaxed. Being quiet publishes nothing.
        self.word.fetch_add(QUIET, Ordering::Relaxed);
        let _quiet = Quiet(self);
        h2()
    }

    // ----- the driver -----

    /// Begins a poll.
    pub(crate) fn begin(&self, waker: &Waker) {
        self.task.register(waker);
        // ORDERING: Relaxed. The bit publishes nothing; the registration is seen by wakers through AtomicWaker's own protocol.
        self.word.fetch_or(AWAKE, Ordering::Relaxed);
    }

    /// Takes what there is to do.
    pub(crate) fn take(&self) -> Events {
        self.take_of(EVENTS)
    }

    /// Takes the event that h2's connection wants to be polled, if it is there.
    pub(crate) fn take_connection(&self) -> bool {
        self.take_of(CONNECTION).connection()
    }

    /// Takes only the streams that want to be looked at.
    pub(crate) fn take_streams(&self) -> Events {
        self.take_of(STREAMS)
    }

    fn take_of(&self, mask: usize) -> Events {
        // ORDERING: Acquire pairs with the release of `tell`. Release is not needed: the driver publishes nothing here.
        let before = self.word.fetch_and(!mask, Ordering::Acquire);
        Events(before & mask)
    }

    /// The slots among `events` that want to be looked at.
    pub(crate) fn ready(&self, events: Events) -> impl Iterator<Item = usize> {
        bits(events.0 & STREAMS).flat_map(|word| {
            // ORDERING: Acquire pairs with the release of `tell_slot`.
            let slots = self.ready[word].swap(0, Ordering::Acquire);
            bits(slots).map(move |bit| word * usize::BITS as usize + bit)
        })
    }

    /// Ends a poll if nothing has come in meanwhile. `false` means that there are events to take.
    #[must_use]
    pub(crate) fn sleep(&self) -> bool {
        // ORDERING: Relaxed, all three. The word is only inspected here: an event is acquired when it is taken, and a
        // teller that finds AWAKE clear needs nothing from us but to be the one who wakes. It wakes the waker of `begin`:
        // had the wake come before that registration, the registration would have acquired it, and this exchange would
        // come after the teller's in the order of the word.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & EVENTS != 0 {
                return false;
            }
            // ORDERING: Relaxed, as above.
            match self.word.compare_exchange_weak(
                word,
                word & !AWAKE,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The peer sent GOAWAY.
    pub(crate) fn mark_draining(&self) {
        // ORDERING: Release; what the tap knows of it is visible to the Acquire of `marks`.
        self.word.fetch_or(DRAINING, Ordering::Release);
    }

    /// The reset budget is spent. Returns whether that is new.
    pub(crate) fn mark_spent(&self) -> bool {
        // ORDERING: Relaxed; nothing goes with it.
        self.word.fetch_or(SPENT, Ordering::Relaxed) & SPENT == 0
    }

    /// Whatever is told from here on is told too late. The caller has recorded the cause, and then drains the queues.
    ///
    /// A driver that is dropped asleep is awake from here on, so that h2 wakes nobody when it is dropped after this.
    pub(crate) fn close(&self) {
        // ORDERING: Release publishes the cause with CLOSED. Acquire pairs with the release of every `tell` that came
        // before, so that the drain which follows sees what was pushed before them.
        self.word.fetch_or(CLOSED | AWAKE, Ordering::AcqRel);
    }
}

/// Somebody calls h2 outside the driver.
struct Quiet<'a>(&'a Schedule);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // ORDERING: Relaxed, as in `quietly`. What is owed was left in the same word.
        let before = self.0.word.fetch_sub(QUIET, Ordering::Relaxed);
        if before & OWED != 0 {
            self.0.pay();
        }
    }
}

/// The positions of the set bits.
fn bits(mut word: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        word &= word.checked_sub(1)?;
        Some(bit)
    })
}
