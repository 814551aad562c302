//! Loom models of what completion-h2 shares among threads, one file a rule. Exhaustive unless a file says otherwise.
//!
//! The sources of those parts are compiled into this crate, unchanged, over the stand-ins in `sync`.

#![expect(
    dead_code,
    reason = "the sources are compiled whole, and what is tested here is a part"
)]

use std::future::poll_fn;
use std::task::Poll;

use loom_tests::Witness;
use schedule::{Events, Schedule};

#[path = "../../../completion-h2/src/queue/inbox.rs"]
mod inbox;
#[path = "../../../completion-h2/src/driver/pieces.rs"]
mod pieces;
#[path = "../../../completion-h2/src/queue/places.rs"]
mod places;
#[path = "../../../completion-h2/src/tap/scanner.rs"]
mod scanner;
#[path = "../../../completion-h2/src/link/schedule.rs"]
mod schedule;
#[path = "../../../completion-h2/src/tap/shared.rs"]
mod shared;
mod sync;

/// Where completion-h2 has it.
mod link {
    pub(crate) use crate::schedule::Schedule;
}

mod end;
mod handles;
mod quiet;
mod slots;
mod tap;
mod uploads;
mod waiting;
mod wake;

pub use sync::{at, changed, explore};

/// A schedule whose driver has done its first poll, with a waker of `witness`, and sleeps.
fn asleep(witness: &Witness) -> Schedule {
    let schedule = Schedule::new();
    schedule.begin(&witness.waker());
    schedule.take();
    assert!(schedule.sleep());
    schedule
}

/// Does as the driver does until `look` says that it is enough: a lost wake is a deadlock, which loom reports.
fn drive(witness: &Witness, schedule: &Schedule, mut look: impl FnMut(Events) -> bool) {
    witness.block_on(poll_fn(|cx| {
        schedule.begin(cx.waker());
        loop {
            if look(schedule.take()) {
                return Poll::Ready(());
            }
            if schedule.sleep() {
                return Poll::Pending;
            }
        }
    }));
}
