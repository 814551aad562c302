//! quietly ‖ the driver, tell, another quietly: no waker of the driver is called while its h2 is, and no wake is lost.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::schedule::Schedule;
use crate::{asleep, drive, explore};

/// As h2 does under its lock.
fn wake_connection(schedule: &Schedule, witness: &Witness) {
    let before = witness.wakes();
    schedule.tell_connection();
    assert_eq!(witness.wakes(), before, "woken under h2's lock");
}

/// Somebody who calls h2, which wakes nobody.
fn done_with_h2(schedule: &Arc<Schedule>) -> thread::JoinHandle<()> {
    let schedule = schedule.clone();
    thread::spawn(move || schedule.quietly(|| ()))
}

/// The driver runs, goes to sleep, or sleeps.
#[test]
fn quietly_and_sleep() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let body = {
            let (schedule, witness) = (schedule.clone(), witness.clone());
            thread::spawn(move || schedule.quietly(|| wake_connection(&schedule, &witness)))
        };
        drive(&witness, &schedule, |events| events.connection());
        body.join().unwrap();
        assert!(witness.wakes() <= 1);
    });
}

/// The driver calls h2 too, polled unasked, while somebody else is done with it.
#[test]
fn quietly_and_poll() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let body = done_with_h2(&schedule);
        schedule.begin(&witness.waker());
        wake_connection(&schedule, &witness);
        assert!(schedule.take_connection());
        assert!(schedule.sleep());
        body.join().unwrap();
        assert_eq!(witness.wakes(), 0);
    });
}

/// Somebody else tells meanwhile: whoever wakes, it is done once.
#[test]
fn quietly_and_tell() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let body = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.quietly(|| schedule.tell_connection()))
        };
        schedule.tell_cancel();
        body.join().unwrap();
        assert_eq!(witness.wakes(), 1);
        schedule.begin(&witness.waker());
        let events = schedule.take();
        assert!(events.connection() && events.cancel());
        assert!(schedule.sleep());
        schedule.tell_cancel();
        assert_eq!(witness.wakes(), 2, "nobody is quiet any more");
    });
}

/// The last of two wakes.
#[test]
fn two_quietly() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let other = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.quietly(|| schedule.tell_connection()))
        };
        schedule.quietly(|| schedule.tell_cancel());
        other.join().unwrap();
        assert_eq!(witness.wakes(), 1);
        assert!(schedule.take().cancel());
    });
}

/// One teller, one who is quiet, and a driver that goes to sleep in between.
#[test]
fn quietly_tell_and_sleep() {
    explore(Some(3), || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let body = done_with_h2(&schedule);
        let teller = {
            let schedule = schedule.clone();
            thread::spawn(move || schedule.tell_cancel())
        };
        drive(&witness, &schedule, |events| events.cancel());
        teller.join().unwrap();
        body.join().unwrap();
        assert!(witness.wakes() <= 1);
    });
}

/// A driver that is dropped asleep closes before it drops what it has of h2, which then wakes its streams.
#[test]
fn close_asleep() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let schedule = Arc::new(asleep(&witness));
        let body = done_with_h2(&schedule);
        schedule.close();
        wake_connection(&schedule, &witness);
        body.join().unwrap();
        assert_eq!(witness.wakes(), 0);
    });
}
