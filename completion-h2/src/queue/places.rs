//! Places in the queue, and who waits for one.
//!
//! Taking and giving back are one read-modify-write each while there are places. Only when they run out does anybody
//! look at the list of waiters, which sits in a mutex; wakers are cloned before and woken after it is held.
//!
//! The list is served in order, but who comes new may take a place before a waiter who was just woken for it. It then
//! waits again, at the end. Nobody sleeps while there is a place: who is woken and leaves without taking one passes the
//! wake on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// How many requests may wait for a stream.
#[derive(Debug)]
pub(crate) struct Places {
    free: AtomicUsize,
    /// The length of the list, to be looked at without the lock.
    waiting: AtomicUsize,
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
            free: AtomicUsize::new(capacity),
            waiting: AtomicUsize::new(0),
            list: Mutex::default(),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing under the lock can leave the list half changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, if there is one.
    pub(crate) fn try_take(&self) -> bool {
        // ORDERING: SeqCst, with `put` and `enlist`: either who gives a place back sees the waiter, or the waiter sees
        // the place.
        self.free
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| {
                free.checked_sub(1)
            })
            .is_ok()
    }

    /// Gives places back.
    pub(crate) fn put(&self, count: usize) {
        // ORDERING: SeqCst, as in `try_take`.
        self.free.fetch_add(count, Ordering::SeqCst);
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
        let mut list = self.list();
        let place = ticket.0.and_then(|id| list.find(id));
        match place {
            Some(at) if list.waiters[at].expired => {
                ticket.0 = None;
                let gone = list.waiters.remove(at);
                self.count(&list);
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
                self.count(&list);
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
        let mut list = self.list();
        let gone = list.find(id).and_then(|at| list.waiters.remove(at));
        self.count(&list);
        drop(list);
        // If it is not there it was woken for a place, which somebody else may want.
        if gone.is_none() {
            self.wake(1);
        }
    }

    /// Wakes the first `count` waiters, if there are places for them.
    fn wake(&self, count: usize) {
        // ORDERING: SeqCst, twice, as in `try_take`.
        if self.waiting.load(Ordering::SeqCst) == 0 || self.free.load(Ordering::SeqCst) == 0 {
            return;
        }
        for _ in 0..count {
            if !self.wake_one() {
                break;
            }
        }
    }

    /// Wakes everybody, to find that there will be no places any more.
    pub(crate) fn wake_all(&self) {
        while self.wake_one() {}
    }

    /// Wakes the first waiter and takes it out of the list. Returns whether there was one.
    fn wake_one(&self) -> bool {
        let mut list = self.list();
        let first = list.waiters.iter().position(|waiter| !waiter.expired);
        let waiter = first.and_then(|at| list.waiters.remove(at));
        self.count(&list);
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
        // ORDERING: Relaxed; who enlists with a deadline tells the driver afterwards.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut woken = Vec::new();
        for waiter in &mut self.list().waiters {
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
        // ORDERING: Relaxed, as in `expire`.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let list = self.list();
        let waiters = list.waiters.iter().filter(|waiter| !waiter.expired);
        waiters.filter_map(|waiter| waiter.deadline).min()
    }

    fn count(&self, list: &List) {
        // ORDERING: SeqCst, as in `try_take`.
        self.waiting.store(list.waiters.len(), Ordering::SeqCst);
    }
}

impl List {
    fn find(&self, id: u64) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.id == id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::{Duration, Instant};

    use super::{Places, Taken, Ticket};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Waiting {
        count: Arc<Count>,
        ticket: Ticket,
        deadline: Option<Instant>,
    }

    impl Waiting {
        fn new() -> Self {
            Self {
                count: Arc::default(),
                ticket: Ticket::default(),
                deadline: None,
            }
        }

        fn poll(&mut self, places: &Places) -> Poll<Taken> {
            let waker = Waker::from(Arc::clone(&self.count));
            let mut cx = Context::from_waker(&waker);
            places.poll_take(&mut self.ticket, self.deadline, &mut cx)
        }

        fn wakes(&self) -> usize {
            self.count.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn waiters_are_woken_in_order_one_per_place() {
        let places = Places::new(1);
        assert!(places.try_take());
        let (mut a, mut b) = (Waiting::new(), Waiting::new());
        assert_eq!(a.poll(&places), Poll::Pending);
        assert_eq!(a.poll(&places), Poll::Pending);
        assert_eq!(b.poll(&places), Poll::Pending);
        places.put(1);
        assert_eq!((a.wakes(), b.wakes()), (1, 0));
        assert_eq!(a.poll(&places), Poll::Ready(Taken::Place));
        places.put(1);
        assert_eq!(b.wakes(), 1);
        assert_eq!(b.poll(&places), Poll::Ready(Taken::Place));
        assert!(!places.try_take());
    }

    #[test]
    fn who_was_woken_and_leaves_passes_it_on() {
        let places = Places::new(1);
        assert!(places.try_take());
        let (mut a, mut b) = (Waiting::new(), Waiting::new());
        assert_eq!(a.poll(&places), Poll::Pending);
        assert_eq!(b.poll(&places), Poll::Pending);
        places.put(1);
        assert_eq!((a.wakes(), b.wakes()), (1, 0));
        places.leave(&mut a.ticket);
        assert_eq!(b.wakes(), 1);
    }

    #[test]
    fn who_leaves_is_forgotten_with_its_waker() {
        let places = Places::new(1);
        assert!(places.try_take());
        let mut a = Waiting::new();
        assert_eq!(a.poll(&places), Poll::Pending);
        assert_eq!(Arc::strong_count(&a.count), 2);
        places.leave(&mut a.ticket);
        assert_eq!(Arc::strong_count(&a.count), 1);
        places.put(1);
        assert_eq!(a.wakes(), 0);
    }

    #[test]
    fn an_expired_waiter_is_told_and_frees_its_waker() {
        let places = Places::new(1);
        assert!(places.try_take());
        let now = Instant::now();
        let (mut a, mut b) = (Waiting::new(), Waiting::new());
        a.deadline = Some(now);
        b.deadline = now.checked_add(Duration::from_secs(1));
        assert_eq!(b.poll(&places), Poll::Pending);
        assert_eq!(a.poll(&places), Poll::Pending);
        assert_eq!(places.earliest(), a.deadline);
        places.expire(now);
        assert_eq!((a.wakes(), b.wakes()), (1, 0));
        assert_eq!(places.earliest(), b.deadline);
        places.put(1);
        assert_eq!(b.wakes(), 1, "an expired waiter does not use up the wake");
        assert_eq!(a.poll(&places), Poll::Ready(Taken::Expired));
        assert_eq!(Arc::strong_count(&a.count), 1);
    }
}
