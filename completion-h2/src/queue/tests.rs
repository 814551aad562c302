//! Unit tests of the places in the queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::places::{Places, Taken, Ticket};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        // ORDERING: SeqCst; a count, off every way.
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
        // ORDERING: SeqCst, as above.
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

/// A waiter that waits again as it is woken, as one on another thread may.
#[test]
fn who_waits_again_is_not_woken_again() {
    struct Again {
        places: Arc<Places>,
        ticket: Mutex<Ticket>,
        wakes: AtomicUsize,
    }

    impl Again {
        fn wait(self: &Arc<Self>) {
            let waker = Waker::from(Arc::clone(self));
            let mut ticket = self.ticket.lock().unwrap();
            let mut cx = Context::from_waker(&waker);
            assert!(
                self.places
                    .poll_take(&mut ticket, None, &mut cx)
                    .is_pending()
            );
        }
    }

    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            // ORDERING: SeqCst, as above.
            assert!(self.wakes.fetch_add(1, Ordering::SeqCst) < 10, "for ever");
            self.wait();
        }
    }

    let again = Arc::new(Again {
        places: Arc::new(Places::new(0)),
        ticket: Mutex::default(),
        wakes: AtomicUsize::new(0),
    });
    again.wait();
    again.places.wake_all();
    // ORDERING: SeqCst, as above.
    assert_eq!(again.wakes.load(Ordering::SeqCst), 1);
    // Its waker has a handle to itself.
    again.places.leave(&mut again.ticket.lock().unwrap());
}
