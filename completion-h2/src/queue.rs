//! The way of requests from any number of clients to one driver: a bounded queue.
//!
//! Who wants to submit first takes a *place* ([`places`]), and who has one always finds room in the queue. A place is given
//! back when its request leaves the queue *and* the driver's waiting list, so the number of requests that wait for a
//! stream is bounded by the capacity, and the list never grows beyond it.
//!
//! crossbeam's `ArrayQueue` fits: bounded, no allocation per element, any number of producers. It is not lock-free: a pop
//! spins on a producer that was descheduled in the middle of a push. This crate claims no lock-freedom, so that is fine;
//! the free list of the pool, where it would not be, is something else.
//!
//! Each request is answered through a completion from a pool. The driver completes it; only what is submitted after the
//! driver closed the link is failed here, by the submitter ([`Shared::drain`]).

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use completion_core::{Completer, Completion, Pool};
use http::{Request, Response};

use crate::client::{RequestTimeout, ResponseBody};
use crate::error::{Error, Failure};
use crate::link::Link;
use crate::sync::{Arc, Mutex};
use inbox::Inbox;
use places::{Taken, Ticket};

pub(crate) mod inbox;
pub(crate) mod places;
#[cfg(test)]
mod tests;

/// What a request comes to.
pub(crate) type Reply = Response<ResponseBody>;
/// The pool that a request's round is rented from.
pub(crate) type Replies<B> = Pool<Reply, Failure<B>>;
/// The producer's side of a request's round.
pub(crate) type ReplyCompleter<B> = Completer<'static, Reply, Failure<B>>;
/// The consumer's side of a request's round.
pub(crate) type ReplyCompletion<B> = Completion<'static, Reply, Failure<B>>;
/// The pool for acknowledgments of SETTINGS: how long each took.
pub(crate) type Acks = Pool<Duration, Error>;
/// The producer's side of a SETTINGS round.
pub(crate) type AckCompleter = Completer<'static, Duration, Error>;

/// A clock, whatever the timer's type.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A request on its way to a stream.
pub(crate) struct Submission<B> {
    pub(crate) request: Request<B>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) completer: ReplyCompleter<B>,
}

impl<B> Submission<B> {
    /// Ends it unsent.
    pub(crate) fn fail(self, error: Error) {
        // Rejected means that nobody waits any more.
        let _ = self.completer.fail(Failure::unsent(error, self.request));
    }
}

/// A SETTINGS change on its way.
pub(crate) struct Change {
    pub(crate) initial_window_size: u32,
    pub(crate) completer: AckCompleter,
}

/// What one connection's driver and clients share.
pub(crate) struct Shared<B> {
    pub(crate) link: Arc<Link>,
    pub(crate) inbox: Inbox<Submission<B>>,
    pub(crate) replies: Replies<B>,
    pub(crate) acks: Acks,
    /// Off the request path and empty but for moments, so a mutex will do. Nothing foreign runs under it.
    changes: Mutex<VecDeque<Change>>,
    clock: Clock,
    timeout: Option<Duration>,
}

impl<B> Shared<B> {
    /// With one handle, which the caller makes.
    pub(crate) fn new(
        capacity: usize,
        replies: Replies<B>,
        acks: Acks,
        clock: Clock,
        timeout: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(),
            inbox: Inbox::new(capacity),
            replies,
            acks,
            changes: Mutex::default(),
            clock,
            timeout,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// When a request that is submitted now times out. `None` is never.
    pub(crate) fn deadline(&self, request: &Request<B>) -> Option<Instant> {
        let own = request.extensions().get::<RequestTimeout>();
        let timeout = own.map(|own| own.0).or(self.timeout)?;
        self.now().checked_add(timeout)
    }

    /// Waits for a place in the queue.
    ///
    /// `Err` is the reason why there will be none: the link is closed, or the deadline passed.
    pub(crate) fn poll_place(
        &self,
        ticket: &mut Ticket,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let taken = self
            .inbox
            .poll_place(ticket, deadline, cx, || self.link.refusal());
        if taken.is_pending() && deadline.is_some() {
            // The driver keeps time for those who wait for a place, too.
            let _ = self.link.schedule.tell_queue();
        }
        taken.map(|taken| match taken? {
            Taken::Place => Ok(()),
            Taken::Expired => Err(Error::timeout()),
        })
    }

    /// Submits a request for which the caller holds a place.
    pub(crate) fn submit(
        &self,
        request: Request<B>,
        deadline: Option<Instant>,
    ) -> ReplyCompletion<B> {
        let (completer, completion) = self.replies.rent();
        let submission = Submission {
            request,
            deadline,
            completer,
        };
        if self.inbox.submit(submission, &self.link.schedule) {
            self.drain();
        }
        completion
    }

    /// Asks for a SETTINGS change.
    pub(crate) fn change(&self, initial_window_size: u32) -> Completion<'static, Duration, Error> {
        let (completer, completion) = self.acks.rent();
        let change = Change {
            initial_window_size,
            completer,
        };
        self.with_changes(|changes| {
            // Bounded by those who still wait: a change whose future was dropped is not made.
            changes.retain(|change| !change.completer.is_closed());
            changes.push_back(change);
        });
        if self.link.schedule.tell_settings() {
            self.drain();
        }
        completion
    }

    /// The oldest change that somebody waits for.
    pub(crate) fn pop_change(&self) -> Option<Change> {
        self.with_changes(|changes| {
            loop {
                let change = changes.pop_front()?;
                if !change.completer.is_closed() {
                    return Some(change);
                }
            }
        })
    }

    /// Puts a change back for which it was too early.
    pub(crate) fn unpop_change(&self, change: Change) {
        self.with_changes(|changes| changes.push_front(change));
    }

    fn with_changes<R>(&self, run: impl FnOnce(&mut VecDeque<Change>) -> R) -> R {
        // Dropping a completer of a closed round under the lock calls nobody: there is no waiter.
        run(&mut self.changes.lock())
    }

    /// Fails everything in the queues, and wakes who waits for a place. The link must be closed.
    pub(crate) fn drain(&self) {
        let cause = self.link.cause();
        let cause = cause.unwrap_or_else(|| Error::abandoned("the driver is gone"));
        self.inbox
            .drain(|submission| submission.fail(cause.clone()));
        while let Some(change) = self.pop_change() {
            let _ = change.completer.fail(cause.clone());
        }
    }

    pub(crate) fn drop_handle(&self) {
        self.inbox.drop_handle(&self.link.schedule);
    }
}
