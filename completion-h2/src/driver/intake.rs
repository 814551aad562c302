//! The driver's half that needs no transport: it takes submissions from the queue, keeps those that wait for a stream, and
//! lets them time out or be cancelled there.
//!
//! Apart from the rest because a [`Connector`](crate::client::Connector) runs it while it is still connecting: requests
//! that come meanwhile are submitted like any others. Its drop fails whatever is still there.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;

use crate::driver::USUAL;
use crate::driver::alarm::Alarm;
use crate::error::Error;
use crate::link::{Events, Link};
use crate::queue::{Shared, Submission};
use crate::timer::Timer;

/// Submissions taken from the queue in one go. Clients may go on submitting meanwhile.
const PULL: usize = 256;

pub(crate) struct Intake<B, T: Timer> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) alarm: Alarm<T>,
    /// No longer than the queue's capacity: everything in it holds a place.
    waiting: VecDeque<Submission<B>>,
    /// How many were cancelled or timed out here.
    pub(crate) given_up: usize,
    closed: bool,
    /// A poll is under way. A drop that finds it set happens because the poll unwound.
    polling: bool,
}

impl<B, T: Timer> Intake<B, T> {
    pub(crate) fn new(shared: Arc<Shared<B>>, timer: T) -> Self {
        let alarm = Alarm::new(timer, Arc::clone(&shared.link));
        Self {
            shared,
            alarm,
            waiting: VecDeque::with_capacity(USUAL),
            given_up: 0,
            closed: false,
            polling: false,
        }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.shared.link
    }

    /// Between the two, an unwinding is noticed.
    pub(crate) fn begin(&mut self, waker: &Waker) {
        self.polling = true;
        self.link().schedule.begin(waker);
    }

    pub(crate) fn end(&mut self) {
        self.polling = false;
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.polling
    }

    /// Does what there is to do while there is no connection.
    pub(crate) fn tend(&mut self, cx: &mut Context<'_>) {
        self.begin(cx.waker());
        loop {
            let events = self.link().schedule.take();
            self.handle(events);
            let mut woken = events.timer();
            while let Some(now) = self.alarm.poll(woken) {
                self.expire(now);
                self.rearm();
                woken = false;
            }
            if self.link().schedule.sleep() {
                break;
            }
        }
        self.end();
    }

    /// Does what the events ask for.
    pub(crate) fn handle(&mut self, events: Events) {
        if events.cancel() {
            self.drop_cancelled();
        }
        if events.queue() {
            self.pull();
        }
    }

    /// Takes in what was submitted. Returns whether there was anything.
    pub(crate) fn pull(&mut self) -> bool {
        let mut taken = 0;
        while taken < PULL {
            let Some(submission) = self.shared.inbox.pop() else {
                break;
            };
            taken += 1;
            if submission.completer.is_closed() {
                self.give_up(1);
                continue;
            }
            if let Some(deadline) = submission.deadline {
                self.alarm.arm(deadline);
            }
            self.waiting.push_back(submission);
        }
        if taken == PULL {
            let _ = self.shared.link.schedule.tell_queue();
        }
        if let Some(deadline) = self.shared.inbox.places.earliest() {
            self.alarm.arm(deadline);
        }
        taken > 0
    }

    fn drop_cancelled(&mut self) {
        let before = self.waiting.len();
        self.waiting
            .retain(|submission| !submission.completer.is_closed());
        self.give_up(before - self.waiting.len());
    }

    /// Fails those whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.shared.inbox.places.expire(now);
        let overdue = |submission: &Submission<B>| {
            let deadline = submission.deadline;
            deadline.is_some_and(|deadline| deadline <= now)
        };
        // Nearly always none or few: a pass for each keeps the order and needs no second list.
        while let Some(at) = self.waiting.iter().position(overdue) {
            if let Some(submission) = self.waiting.remove(at) {
                submission.fail(Error::timeout());
                self.give_up(1);
            }
        }
    }

    /// Arms the alarm at the earliest deadline here.
    pub(crate) fn rearm(&mut self) {
        let waiting = self.waiting.iter().filter_map(|it| it.deadline);
        let earliest = waiting.chain(self.shared.inbox.places.earliest()).min();
        if let Some(deadline) = earliest {
            self.alarm.arm(deadline);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next one that somebody waits for. Its place is free again.
    pub(crate) fn next(&mut self) -> Option<Submission<B>> {
        loop {
            let submission = self.waiting.pop_front()?;
            self.put(1);
            if !submission.completer.is_closed() {
                return Some(submission);
            }
        }
    }

    /// Fails all that wait.
    pub(crate) fn fail_waiting(&mut self, error: &Error) {
        while let Some(submission) = self.next() {
            submission.fail(error.clone());
        }
    }

    fn give_up(&mut self, count: usize) {
        self.given_up = self.given_up.saturating_add(count);
        self.put(count);
    }

    fn put(&self, count: usize) {
        if count > 0 {
            self.shared.inbox.places.put(count);
        }
    }

    /// Closes: from here on everything submitted fails with the cause, which is `error` if there is none yet.
    pub(crate) fn close(&mut self, error: Error) -> Error {
        self.close_as(error, false)
    }

    /// Closes because the driver is dropped, be it by unwinding.
    pub(crate) fn close_dropped(&mut self) -> Error {
        if self.polling {
            self.close_as(Error::abandoned("the driver panicked"), true)
        } else {
            self.close(Error::abandoned("the driver was dropped"))
        }
    }

    fn close_as(&mut self, error: Error, unwound: bool) -> Error {
        let cause = self.shared.link.close(error, unwound);
        self.fail_waiting(&cause);
        self.shared.drain();
        self.closed = true;
        cause
    }
}

impl<B, T: Timer> Drop for Intake<B, T> {
    /// Who is woken may panic, and this may be because somebody did. The others are told all the same, and the process is not
    /// aborted for it.
    fn drop(&mut self) {
        let mut first = None;
        while !self.closed {
            let close = AssertUnwindSafe(|| drop(self.close_dropped()));
            if let Err(panicked) = panic::catch_unwind(close) {
                first.get_or_insert(panicked);
            }
        }
        if let Some(panicked) = first
            && !thread::panicking()
        {
            panic::resume_unwind(panicked);
        }
    }
}
