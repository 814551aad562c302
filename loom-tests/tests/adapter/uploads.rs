//! drop_one ‖ are_awaited: the driver is told when h2 holds nothing of an upload any more, and what h2 held is gone then.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::pieces::Pieces;
use crate::schedule::Schedule;
use crate::sync::Fact;
use crate::{asleep, drive, explore};

struct Stage {
    schedule: Schedule,
    witness: Witness,
    pieces: Pieces,
    dropped: [Fact; 2],
}

impl Stage {
    /// With so many pieces under way.
    fn new(pieces: usize) -> Arc<Self> {
        let witness = Witness::new(Kind::A);
        let stage = Self {
            schedule: asleep(&witness),
            witness,
            pieces: Pieces::new(),
            dropped: [Fact::new(), Fact::new()],
        };
        (0..pieces).for_each(|_| stage.pieces.add());
        Arc::new(stage)
    }

    /// What h2 does with a piece that has left.
    fn leaves(&self, piece: usize) {
        self.dropped[piece].write(7);
        if self.pieces.drop_one() {
            self.schedule.tell_slot(0);
        }
    }

    /// What the driver does with a stream that is over but for its upload.
    fn await_all(&self) {
        if self.pieces.are_awaited() {
            drive(&self.witness, &self.schedule, |events| {
                self.schedule.ready(events).count() > 0 && !self.pieces.are_awaited()
            });
        }
    }
}

#[test]
fn two_leave() {
    explore(Some(3), || {
        let stage = Stage::new(2);
        let leaving = [0, 1].map(|piece| {
            let stage = stage.clone();
            thread::spawn(move || stage.leaves(piece))
        });
        stage.await_all();
        assert_eq!(stage.dropped.each_ref().map(Fact::read), [7; 2]);
        for thread in leaving {
            thread.join().unwrap();
        }
    });
}

/// One leaves while h2 gets another.
#[test]
fn leave_and_add() {
    explore(None, || {
        let stage = Stage::new(1);
        let leaving = {
            let stage = stage.clone();
            thread::spawn(move || stage.leaves(0))
        };
        stage.pieces.add();
        leaving.join().unwrap();
        assert!(stage.pieces.are_awaited());
        stage.leaves(1);
        assert!(!stage.pieces.are_awaited());
    });
}

/// The next stream of the place waits for its own while the one before is just noticed to be gone.
#[test]
fn leave_and_next_stream() {
    explore(Some(2), || {
        let stage = Stage::new(1);
        let leaving = {
            let stage = stage.clone();
            thread::spawn(move || {
                stage.leaves(0);
                stage
            })
        };
        stage.await_all();
        assert_eq!(stage.dropped[0].read(), 7);
        stage.pieces.add();
        let next = thread::spawn(move || leaving.join().unwrap().leaves(1));
        stage.await_all();
        assert_eq!(stage.dropped[1].read(), 7);
        next.join().unwrap();
    });
}
