//! The way in: places, the queue behind them, and the count of those who may still submit.
//!
//! | rule | because |
//! |---|---|
//! | what was submitted is taken by the driver, or drained by its end or by the submitter | the [`Schedule`] settles which came first |
//! | who waits for a place when there will be none is told | all are woken then, and who comes too late for that looks again |
//! | the driver sees all that was submitted before the last handle was dropped | handles are counted, and the last one tells |

use std::task::{Context, Poll};
use std::time::Instant;

use super::places::{Places, Taken, Ticket};
use crate::link::Schedule;
use crate::sync::{ArrayQueue, AtomicUsize, Ordering};

pub(crate) struct Inbox<S> {
    pub(crate) places: Places,
    queue: ArrayQueue<S>,
    handles: AtomicUsize,
}

impl<S> Inbox<S> {
    /// With one handle, which the caller makes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            places: Places::new(capacity),
            queue: ArrayQueue::new(capacity),
            handles: AtomicUsize::new(1),
        }
    }

    /// Waits for a place, unless `refusal` knows a reason why there will be none.
    pub(crate) fn poll_place<R>(
        &self,
        ticket: &mut Ticket,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
        refusal: impl Fn() -> Option<R>,
    ) -> Poll<Result<Taken, R>> {
        if let Some(reason) = refusal() {
            self.places.leave(ticket);
            return Poll::Ready(Err(reason));
        }
        let taken = self.places.poll_take(ticket, deadline, cx);
        // The driver wakes the waiters once there is a reason. Who came too late for that sees it here.
        if taken.is_pending()
            && let Some(reason) = refusal()
        {
            self.places.leave(ticket);
            return Poll::Ready(Err(reason));
        }
        taken.map(Ok)
    }

    /// Submits something for which the caller holds a place. Returns whether it came too late: then the caller drains.
    #[must_use]
    pub(crate) fn submit(&self, submission: S, schedule: &Schedule) -> bool {
        if self.queue.push(submission).is_err() {
            unreachable!("a submission without a place");
        }
        schedule.tell_queue()
    }

    /// The oldest submission. Its place stays taken.
    pub(crate) fn pop(&self) -> Option<S> {
        self.queue.pop()
    }

    /// Ends everything in the queue, and wakes who waits for a place. The schedule must be closed.
    pub(crate) fn drain(&self, mut end: impl FnMut(S)) {
        while let Some(submission) = self.pop() {
            end(submission);
            self.places.put(1);
        }
        self.places.wake_all();
    }

    // ----- handles -----

    pub(crate) fn add_handle(&self) {
        // ORDERING: Relaxed; the handle that is cloned is itself counted.
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// The driver of a connection without handles finishes what is under way, and closes.
    pub(crate) fn drop_handle(&self, schedule: &Schedule) {
        // ORDERING: Release; what a handle did is visible to a driver that sees none left.
        if self.handles.fetch_sub(1, Ordering::Release) == 1 {
            let _ = schedule.tell_queue();
        }
    }

    pub(crate) fn has_handles(&self) -> bool {
        // ORDERING: Acquire pairs with the release of `drop_handle`.
        self.handles.load(Ordering::Acquire) != 0
    }
}
