//! close ‖ submissions, and whoever waits for a place: each submission is ended once, by the driver's drain or by who was
//! too late, and who sees that it is over finds out why.

use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use loom_tests::{Kind, Payload, Witness};

use crate::inbox::Inbox;
use crate::places::{Taken, Ticket};
use crate::schedule::Schedule;
use crate::sync::Fact;
use crate::{asleep, explore};

struct Stage {
    schedule: Schedule,
    inbox: Inbox<Payload>,
    /// As the link keeps it.
    cause: Fact,
    witness: Witness,
    ended: std::sync::atomic::AtomicUsize,
}

impl Stage {
    fn new(capacity: usize) -> Arc<Self> {
        let witness = Witness::new(Kind::A);
        Arc::new(Self {
            schedule: asleep(&witness),
            inbox: Inbox::new(capacity),
            cause: Fact::new(),
            witness,
            ended: 0.into(),
        })
    }

    fn submit(&self) {
        assert!(self.inbox.places.try_take());
        if self.inbox.submit(self.witness.payload(1), &self.schedule) {
            self.drain();
        }
    }

    fn drain(&self) {
        assert_eq!(self.cause.read(), 9);
        self.inbox.drain(|payload| {
            drop(payload);
            self.ended.fetch_add(1, SeqCst);
        });
    }

    /// What the driver does at its end.
    fn close(&self) {
        self.cause.write(9);
        self.schedule.close();
        self.drain();
    }

    fn refusal(&self) -> Option<u32> {
        let closed = self.schedule.marks().closed();
        closed.then(|| self.cause.read())
    }

    fn ended(&self) -> usize {
        self.ended.load(SeqCst)
    }
}

#[test]
fn submit_and_close() {
    explore(None, || {
        let stage = Stage::new(1);
        let client = {
            let stage = stage.clone();
            thread::spawn(move || stage.submit())
        };
        stage.close();
        client.join().unwrap();
        assert_eq!(stage.ended(), 1);
        assert!(stage.inbox.pop().is_none());
        assert!(stage.inbox.places.try_take(), "the place is free again");
    });
}

#[test]
fn two_submit_and_close() {
    explore(Some(2), || {
        let stage = Stage::new(2);
        let clients = [(); 2].map(|()| {
            let stage = stage.clone();
            thread::spawn(move || stage.submit())
        });
        stage.close();
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!(stage.ended(), 2);
    });
}

/// The same with a queue that orders nothing by itself: one place, which is full or not.
#[test]
fn submit_and_close_on_the_word_alone() {
    explore(None, || {
        let stage = Stage::new(1);
        let queue = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let end = |queue: &(AtomicU32, AtomicU32)| {
            if queue.0.load(Relaxed) == 1 {
                queue.1.fetch_add(1, Relaxed);
            }
        };
        let client = {
            let (stage, queue) = (stage.clone(), queue.clone());
            thread::spawn(move || {
                queue.0.store(1, Relaxed);
                if stage.schedule.tell_queue() {
                    assert_eq!(stage.cause.read(), 9);
                    end(&queue);
                }
            })
        };
        stage.cause.write(9);
        stage.schedule.close();
        end(&queue);
        client.join().unwrap();
        // Both may see it there, as it is not taken out.
        assert_ne!(queue.1.load(Relaxed), 0);
    });
}

#[test]
fn look_and_close() {
    explore(None, || {
        let stage = Stage::new(1);
        let client = {
            let stage = stage.clone();
            thread::spawn(move || {
                if let Some(reason) = stage.refusal() {
                    assert_eq!(reason, 9);
                }
            })
        };
        stage.close();
        client.join().unwrap();
        assert_eq!(stage.refusal(), Some(9));
    });
}

/// Who waits for a place at the end is told, however late it came to wait.
#[test]
fn wait_and_close() {
    explore(None, || {
        let stage = Stage::new(1);
        assert!(stage.inbox.places.try_take());
        let closer = {
            let stage = stage.clone();
            thread::spawn(move || stage.close())
        };
        let waiter = Witness::new(Kind::B);
        let mut ticket = Ticket::default();
        let taken = waiter.block_on(std::future::poll_fn(|cx| {
            let refusal = || stage.refusal();
            stage.inbox.poll_place(&mut ticket, None, cx, refusal)
        }));
        assert_eq!(taken, Err::<Taken, _>(9));
        closer.join().unwrap();
        waiter.assert_no_wakers();
    });
}
