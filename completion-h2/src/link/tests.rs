//! Unit tests of the scheduling word.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Wake, Waker};
use std::thread;

use super::{Link, MAX_STREAMS};
use crate::error::Error;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        // ORDERING: SeqCst; a count, off every way.
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A link whose driver has done its first poll and sleeps, and the count of its wakes.
fn asleep() -> (Arc<Link>, Arc<Count>, Waker) {
    let link = Link::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    link.schedule.begin(&waker);
    let first = link.schedule.take();
    assert!(first.queue() && first.connection() && first.timer() && !first.cancel());
    assert!(link.schedule.sleep());
    (link, count, waker)
}

fn wakes(count: &Count) -> usize {
    // ORDERING: SeqCst, as above.
    count.0.load(Ordering::SeqCst)
}

#[test]
fn many_events_cost_one_wake() {
    let (link, count, waker) = asleep();
    for _ in 0..10 {
        assert!(!link.schedule.tell_queue());
        link.schedule.tell_cancel();
        link.schedule.tell_slot(3);
    }
    assert_eq!(wakes(&count), 1);

    link.schedule.begin(&waker);
    let events = link.schedule.take();
    assert!(events.queue() && events.cancel() && !events.connection() && !events.timer());
    assert_eq!(link.schedule.ready(events).collect::<Vec<_>>(), [3]);
    assert!(link.schedule.sleep());
    link.schedule.tell_connection();
    assert_eq!(wakes(&count), 2, "asleep again, so the next event wakes");
}

#[test]
fn an_event_while_running_wakes_nobody_but_keeps_the_driver_up() {
    let (link, count, waker) = asleep();
    link.schedule.begin(&waker);
    link.schedule.take();
    link.schedule.tell_cancel();
    assert!(!link.schedule.sleep());
    assert!(link.schedule.take().cancel());
    assert!(link.schedule.sleep());
    assert_eq!(wakes(&count), 0);
}

#[test]
fn every_slot_has_a_bit_of_its_own() {
    let (link, _, _) = asleep();
    let told = [0, 1, 63, 64, 65, 700, MAX_STREAMS - 1];
    for index in told {
        link.schedule.tell_slot(index);
    }
    let events = link.schedule.take();
    assert_eq!(link.schedule.ready(events).collect::<Vec<_>>(), told);
    let again = link.schedule.take();
    assert_eq!(link.schedule.ready(again).count(), 0);
}

#[test]
fn quietly_wakes_once_and_only_afterwards() {
    let (link, count, waker) = asleep();
    link.schedule.quietly(|| {
        link.schedule.tell_connection();
        link.schedule.tell_slot(1);
        assert_eq!(wakes(&count), 0);
    });
    assert_eq!(wakes(&count), 1);

    link.schedule.begin(&waker);
    link.schedule.take();
    assert!(link.schedule.sleep());
    link.schedule.quietly(|| {});
    assert_eq!(wakes(&count), 1, "no event, no wake");
    assert!(!link.schedule.tell_queue());
    assert_eq!(wakes(&count), 2, "and the driver can be woken again");
}

/// The driver, not who is quiet, decides whether it is awake.
#[test]
fn quietly_holds_while_the_driver_comes_and_goes() {
    let (link, count, waker) = asleep();
    link.schedule.begin(&waker);
    link.schedule.quietly(|| {
        assert!(link.schedule.sleep());
        link.schedule.tell_connection();
        assert_eq!(wakes(&count), 0, "woken under h2's lock");
    });
    assert_eq!(wakes(&count), 1);

    link.schedule.begin(&waker);
    assert!(link.schedule.take_connection() && link.schedule.sleep());
    link.schedule.quietly(|| link.schedule.begin(&waker));
    link.schedule.tell_connection();
    assert_eq!(wakes(&count), 1, "woken while it runs");
}

#[test]
fn quietly_gives_the_wake_back_also_when_h2_panics() {
    let (link, count, _) = asleep();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        link.schedule.quietly(|| {
            link.schedule.tell_connection();
            panic!("poisoned");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(wakes(&count), 1);
}

/// That it unwound later is known all the same.
#[test]
fn the_first_cause_stays() {
    let (link, _, _) = asleep();
    assert!(link.refusal().is_none());
    assert!(link.close(Error::timeout(), false).is_timeout());
    assert!(!link.is_unwound());
    assert!(link.close(Error::abandoned("later"), true).is_timeout());
    assert!(link.is_closed() && link.is_unusable() && link.is_unwound());
    assert!(link.schedule.tell_queue(), "too late");
    assert!(link.refusal().is_some_and(|error| error.is_retry_safe()));
}

/// Of a push that races the close, one side always sees the other: nothing is left in the queue for ever.
#[test]
fn a_submission_that_races_the_close_is_seen_by_one_of_the_two() {
    let rounds = if cfg!(miri) { 20 } else { 2000 };
    for _ in 0..rounds {
        let (link, _, _) = asleep();
        let pushed = AtomicUsize::new(0);
        let seen = AtomicUsize::new(0);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                // ORDERING: Relaxed, here and below; that the schedule orders them is what is tried.
                pushed.store(1, Ordering::Relaxed);
                if link.schedule.tell_queue() {
                    seen.fetch_add(pushed.swap(0, Ordering::Relaxed), Ordering::Relaxed);
                }
            });
            start.wait();
            link.close(Error::timeout(), false);
            seen.fetch_add(pushed.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        });
        assert_eq!(seen.into_inner(), 1);
    }
}
