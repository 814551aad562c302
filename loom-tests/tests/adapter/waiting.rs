//! Places in the queue: put ‖ take and wait. Nobody sleeps while there is a place, and who has one finds room.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::explore;
use crate::places::{Places, Taken, Ticket};
use crate::sync::Fact;

/// Places of which the only one is taken.
fn full() -> Arc<Places> {
    let places = Places::new(1);
    assert!(places.try_take());
    Arc::new(places)
}

/// Waits for a place.
fn wait(witness: &Witness, places: &Places, ticket: &mut Ticket) -> Taken {
    witness.block_on(poll_fn(|cx| places.poll_take(ticket, None, cx)))
}

fn poll(witness: &Witness, places: &Places, ticket: &mut Ticket, at: Option<Instant>) -> bool {
    witness
        .poll(&mut poll_fn(|cx| places.poll_take(ticket, at, cx)))
        .is_ready()
}

/// Gives the place back on another thread.
fn put(places: &Arc<Places>) -> thread::JoinHandle<()> {
    let places = places.clone();
    thread::spawn(move || places.put(1))
}

#[test]
fn put_and_wait() {
    explore(None, || {
        let witness = Witness::new(Kind::A);
        let places = full();
        let putter = put(&places);
        assert_eq!(
            wait(&witness, &places, &mut Ticket::default()),
            Taken::Place
        );
        putter.join().unwrap();
        assert!(!places.try_take(), "there was one place");
        witness.assert_no_wakers();
    });
}

/// What was in the place has left it when the next one has it.
#[test]
fn put_and_take() {
    explore(None, || {
        let places = full();
        let room = Arc::new(Fact::new());
        room.write(1);
        let putter = {
            let (places, room) = (places.clone(), room.clone());
            thread::spawn(move || {
                room.write(0);
                places.put(1);
            })
        };
        if places.try_take() {
            assert_eq!(room.read(), 0);
        }
        putter.join().unwrap();
    });
}

#[test]
fn two_take_one() {
    explore(None, || {
        let places = Arc::new(Places::new(1));
        let other = {
            let places = places.clone();
            thread::spawn(move || places.try_take())
        };
        let here = places.try_take();
        assert_ne!(other.join().unwrap(), here);
    });
}

#[test]
fn two_put() {
    explore(None, || {
        let places = Arc::new(Places::new(2));
        assert!(places.try_take() && places.try_take());
        let other = put(&places);
        places.put(1);
        other.join().unwrap();
        assert!(places.try_take() && places.try_take() && !places.try_take());
    });
}

/// Two wait for one place, which the first that has it gives on.
#[test]
fn two_wait_and_put() {
    explore(Some(2), || {
        let places = full();
        let other = {
            let places = places.clone();
            thread::spawn(move || {
                let witness = Witness::new(Kind::B);
                wait(&witness, &places, &mut Ticket::default());
                places.put(1);
                witness.assert_no_wakers();
            })
        };
        let putter = put(&places);
        let witness = Witness::new(Kind::A);
        wait(&witness, &places, &mut Ticket::default());
        places.put(1);
        other.join().unwrap();
        putter.join().unwrap();
        assert!(places.try_take() && !places.try_take());
        witness.assert_no_wakers();
    });
}

/// Who was woken and leaves, or leaves before, does not keep the place from the next.
#[test]
fn put_and_leave() {
    explore(None, || {
        let [first, second] = [Kind::A, Kind::B].map(Witness::new);
        let places = full();
        let mut tickets = [Ticket::default(), Ticket::default()];
        assert!(!poll(&first, &places, &mut tickets[0], None));
        assert!(!poll(&second, &places, &mut tickets[1], None));
        let putter = put(&places);
        places.leave(&mut tickets[0]);
        putter.join().unwrap();
        assert_eq!(second.wakes(), 1);
        assert_eq!(wait(&second, &places, &mut tickets[1]), Taken::Place);
        first.assert_no_wakers();
        second.assert_no_wakers();
    });
}

/// One is woken and leaves while the other just comes to wait.
#[test]
fn leave_and_wait() {
    explore(None, || {
        let [first, second] = [Kind::A, Kind::B].map(Witness::new);
        let places = full();
        let mut ticket = Ticket::default();
        assert!(!poll(&first, &places, &mut ticket, None));
        places.put(1);
        assert_eq!(first.wakes(), 1);
        let other = {
            let places = places.clone();
            thread::spawn(move || {
                wait(&second, &places, &mut Ticket::default());
                second.assert_no_wakers();
            })
        };
        places.leave(&mut ticket);
        other.join().unwrap();
    });
}

/// The first's time is over while a place comes back: it is told of either, and the place is not lost on it.
#[test]
fn expire_and_put() {
    explore(None, || {
        let [first, second] = [Kind::A, Kind::B].map(|kind| Arc::new(Witness::new(kind)));
        let now = Instant::now();
        let places = full();
        let mut tickets = [Ticket::default(), Ticket::default()];
        assert!(!poll(&first, &places, &mut tickets[0], Some(now)));
        let later = now + Duration::from_secs(1);
        assert!(!poll(&second, &places, &mut tickets[1], Some(later)));
        let driver = {
            let places = places.clone();
            thread::spawn(move || places.expire(now))
        };
        places.put(1);
        driver.join().unwrap();
        let [one, two] = [&first, &second].map(|it| it.wakes());
        assert!([(1, 0), (1, 1)].contains(&(one, two)), "{one} {two}");
        let taken = first.block_on(poll_fn(|cx| places.poll_take(&mut tickets[0], None, cx)));
        match taken {
            Taken::Place => places.put(1),
            Taken::Expired => {}
        }
        assert_eq!(wait(&second, &places, &mut tickets[1]), Taken::Place);
        assert_eq!(places.earliest(), None);
        first.assert_no_wakers();
        second.assert_no_wakers();
    });
}

/// Who comes to wait with a deadline tells the driver, which then knows when.
#[test]
fn enlist_and_expire() {
    explore(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let now = Instant::now();
        let places = full();
        let driver = {
            let places = places.clone();
            thread::spawn(move || places.expire(now))
        };
        let mut ticket = Ticket::default();
        let pending = !poll(&witness, &places, &mut ticket, Some(now));
        assert!(pending);
        driver.join().unwrap();
        assert_eq!(places.earliest().is_none(), witness.wakes() == 1);
        places.expire(now);
        assert_eq!(witness.wakes(), 1);
        assert!(poll(&witness, &places, &mut ticket, Some(now)));
        witness.assert_no_wakers();
    });
}
