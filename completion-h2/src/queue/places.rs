//! Places in the queue, and who waits for one.
//!
//! Taking and giving back are one read-modify-write each while there are places. Only when they run out does anybody
//! look at the list of waiters, which sits in a mutex; wakers are cloned before and woken after it is held.
//!
//! Whether anybody waits stands in the same word as the number of places: who comes to wait sets it and then looks for a
//! place, who gives a place back sees it. So one of the two sees the other.
//!
//! The list is served in order, but who comes new may take a place before a waiter who was just woken for it. It then
//! waits again, at the end. Nobody sleeps while there is a place: who is woken and leaves without taking one passes the
//! wake on.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::sync::{AtomicUsize, Mutex, Ordering};

/// Somebody is in the list.
const WAITED: usize = 1;
/// One free place.
const PLACE: usize = 1 << 1;

/// How many requests may wait for a stream.
#[derive(Debug)]
pub(crate) struct Places {
    /// The free places, in units of [`PLACE`], and [`WAITED`], which only changes under the list's lock.
    word: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    waiters: VecDeque<Waiter>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    waker: Waker,
    deadline: Option<Instant>,
    expired: bool,
}

/// One waiter's name in the list, if it is in it. To be handed to [`Places::leave`] when the waiter gives up.
#[derive(Debug, Default)]
pub(crate) struct Ticket(Option<u64>);

/// How waiting for a place ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Place,
    Expired,
}

impl Places {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            word: AtomicUsize::new(capacity * PLACE),
            list: Mutex::new(List::default()),
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn try_take(&self) -> bool {
        // ORDERING: Relaxed; the exchange looks again. Who has just set WAITED does not see an older word than that.
        let mut word = self.word.load(Ordering::Relaxed);
        while word >= PLACE {
            // ORDERING: Acquire pairs with the release of `put`: the queue has room for who takes the place. Relaxed if it
            // fails, as above.
            match self.word.compare_exchange_weak(
                word,
                word - PLACE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives places back.
    pub(crate) fn put(&self, count: usize) {
        // ORDERING: Release; what was in the place has left it.
        self.word.fetch_add(count * PLACE, Ordering::Release);
        self.wake(count);
    }

    /// Waits for a place. `Pending` leaves the ticket in the list, and the waker with it.
    pub(crate) fn poll_take(
        &self,
        ticket: &mut Ticket,
        deadline: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Taken> {
        if ticket.0.is_none() && self.try_take() {
            return Poll::Ready(Taken::Place);
        }
        if self.enlist(ticket, deadline, cx.waker().clone()) {
            return Poll::Ready(Taken::Expired);
        }
        if self.try_take() {
            self.leave(ticket);
            return Poll::Ready(Taken::Place);
        }
        Poll::Pending
    }

    /// Puts the ticket in the list, or renews its waker. Returns whether it has expired, and then removes it.
    fn enlist(&self, ticket: &mut Ticket, deadline: Option<Instant>, mut waker: Waker) -> bool {
        let mut list = self.list.lock();
        let place = ticket.0.and_then(|id| list.find(id));
        match place {
            Some(at) if list.waiters[at].expired => {
                ticket.0 = None;
                let gone = list.waiters.remove(at);
                self.note(&list);
                drop(list);
                drop(gone);
                true
            }
            Some(at) => {
                std::mem::swap(&mut list.waiters[at].waker, &mut waker);
                drop(list);
                drop(waker);
                false
            }
            None => {
                let id = list.next;
                list.next += 1;
                list.waiters.push_back(Waiter {
                    id,
                    waker,
                    deadline,
                    expired: false,
                });
                self.note(&list);
                ticket.0 = Some(id);
                false
            }
        }
    }

    /// Takes the ticket out of the list.
    pub(crate) fn leave(&self, ticket: &mut Ticket) {
        let Some(id) = ticket.0.take() else {
            return;
        };
        let mut list = self.list.lock();
        let gone = list.find(id).and_then(|at| list.waiters.remove(at));
        self.note(&list);
        drop(list);
        // If it is not there it was woken for a place, which somebody else may want.
        if gone.is_none() {
            self.wake(1);
        }
    }

    /// Wakes the first `count` waiters, if there are places for them.
    fn wake(&self, count: usize) {
        // ORDERING: Relaxed. Whoever put a place does not see an older word than that, and the list is read under its lock.
        let word = self.word.load(Ordering::Relaxed);
        if word & WAITED == 0 || word < PLACE {
            return;
        }
        for _ in 0..count {
            if !self.wake_one(u64::MAX) {
                break;
            }
        }
    }

    /// Wakes everybody who waits now, to look whether there will be places here any more. Who waits again is not woken again.
    pub(crate) fn wake_all(&self) {
        let end = self.list.lock().next;
        while self.wake_one(end) {}
    }

    /// Wakes the first waiter and takes it out of the list, if it came before `end`. Returns whether there was one.
    fn wake_one(&self, end: u64) -> bool {
        let mut list = self.list.lock();
        let is_first = |waiter: &Waiter| !waiter.expired && waiter.id < end;
        let first = list.waiters.iter().position(is_first);
        let waiter = first.and_then(|at| list.waiters.remove(at));
        self.note(&list);
        drop(list);
        match waiter {
            Some(waiter) => {
                waiter.waker.wake();
                true
            }
            None => false,
        }
    }

    /// Tells those whose deadline has passed. They stay in the list to find out.
    pub(crate) fn expire(&self, now: Instant) {
        if !self.is_waited_for() {
            return;
        }
        let mut woken = Vec::new();
        for waiter in &mut self.list.lock().waiters {
            if !waiter.expired && waiter.deadline.is_some_and(|deadline| deadline <= now) {
                waiter.expired = true;
                woken.push(std::mem::replace(&mut waiter.waker, Waker::noop().clone()));
            }
        }
        for waker in woken {
            waker.wake();
        }
    }

    /// The earliest deadline of those who wait.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        if !self.is_waited_for() {
            return None;
        }
        let list = self.list.lock();
        let waiters = list.waiters.iter().filter(|waiter| !waiter.expired);
        waiters.filter_map(|waiter| waiter.deadline).min()
    }

    /// Whether anybody is in the list, to be asked without the lock.
    fn is_waited_for(&self) -> bool {
        // ORDERING: Relaxed; who enlists with a deadline tells the driver afterwards.
        self.word.load(Ordering::Relaxed) & WAITED != 0
    }

    /// Notes whether anybody is in the list.
    fn note(&self, list: &List) {
        // ORDERING: Relaxed, both. They publish nothing: who sees the bit takes the lock that is held here.
        if list.waiters.is_empty() {
            self.word.fetch_and(!WAITED, Ordering::Relaxed);
        } else {
            self.word.fetch_or(WAITED, Ordering::Relaxed);
        }
    }
}

impl List {
    fn find(&self, id: u64) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.id == id)
    }
}
