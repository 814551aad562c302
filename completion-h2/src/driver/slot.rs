//! What the driver and one stream's response body share, the waker that h2 gets for the stream, and the count of what h2
//! holds of its upload.
//!
//! A slot belongs to a place in the driver's slab and serves one stream after the other, so that no stream costs an
//! allocation. It is the [`Wake`] of that place: to wake it is to set a bit and to schedule the driver, which is all that may
//! be done under h2's lock. A response body gives h2 this waker too, and keeps its caller's waker here; the driver wakes
//! that one when no lock is held. So nobody's waker is cloned, woken or dropped under h2's lock.
//!
//! | event | what the body does | what the driver does |
//! |---|---|---|
//! | something arrived | | wakes the body's waker |
//! | the body ended, failed or was dropped | drops h2's handle, then [`leave`](Slot::leave)s | ends the stream |
//! | the deadline passed, the request body failed | fails | [`fail`](Slot::fail)s the slot, and takes a new one for its place |
//! | the connection ended | fails | closes the link, then wakes the body's waker |
//!
//! h2 does not tell when an upload has left, but it drops what has. So each piece of one goes with a [`Hold`], which does
//! under h2's lock what the waker does there.

use std::sync::OnceLock;
use std::task::{Wake, Waker};

use crate::driver::pieces::Pieces;
use crate::error::Error;
use crate::link::Link;
use crate::sync::{Arc, AtomicU8, AtomicWaker, Ordering};

/// One place's shared part.
#[derive(Debug)]
pub(crate) struct Slot {
    link: Arc<Link>,
    index: usize,
    /// Whose body waits for data.
    waiter: AtomicWaker,
    /// 0, or how the body left ([`Left`]).
    left: AtomicU8,
    /// What h2 holds of request bodies.
    pieces: Pieces,
    /// Set once, after which the slot is not used for another stream.
    failure: OnceLock<Error>,
}

/// How a response body let go of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Left {
    /// The peer had ended it.
    Ended = 1,
    /// The peer may still send: the stream must be reset.
    Early = 2,
}

impl Slot {
    pub(crate) fn new(link: Arc<Link>, index: usize) -> Arc<Self> {
        Arc::new(Self {
            link,
            index,
            waiter: AtomicWaker::new(),
            left: AtomicU8::new(0),
            pieces: Pieces::new(),
            failure: OnceLock::new(),
        })
    }

    // ----- the body -----

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Whom to wake when something arrives.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waiter.register(waker);
    }

    /// Why the body is not to touch h2 any more, if so.
    pub(crate) fn gone(&self) -> Option<Error> {
        self.failure().or_else(|| {
            let unwound = self.link.is_unwound();
            unwound.then(|| self.link.cause()).flatten()
        })
    }

    /// Why the stream failed, if the driver failed it.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().cloned()
    }

    /// The body is done; the last thing it does here.
    pub(crate) fn leave(&self, left: Left) {
        drop(self.waiter.take());
        // ORDERING: Release; the body's use of the slot is over when the driver sees it.
        self.left.store(left as u8, Ordering::Release);
        self.link.schedule.tell_slot(self.index);
    }

    // ----- the driver -----

    /// Whether and how the body left. Asked again, it has not.
    pub(crate) fn take_left(&self) -> Option<Left> {
        // ORDERING: Acquire pairs with the release of `leave`.
        match self.left.swap(0, Ordering::Acquire) {
            0 => None,
            left if left == Left::Ended as u8 => Some(Left::Ended),
            _ => Some(Left::Early),
        }
    }

    /// For a piece that h2 gets.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.pieces.add();
        Hold(Arc::clone(self))
    }

    /// Whether h2 holds a piece, be it one of an earlier stream in this place. If so, the driver is told when it does not
    /// any more.
    pub(crate) fn awaits_pieces(&self) -> bool {
        self.pieces.are_awaited()
    }

    /// Wakes the body's waiter. No lock may be held.
    pub(crate) fn wake_body(&self) {
        self.waiter.wake();
    }

    /// Fails the body, whatever it still has to come, and gives the slot up. The body is to be woken then.
    pub(crate) fn fail(&self, error: Error) {
        let _ = self.failure.set(error);
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.link.schedule.tell_slot(self.index);
    }
}

/// Goes with a piece of a request body, for as long as h2 has it.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Slot>);

impl Drop for Hold {
    fn drop(&mut self) {
        let slot = &*self.0;
        if slot.pieces.drop_one() {
            slot.link.schedule.tell_slot(slot.index);
        }
    }
}
