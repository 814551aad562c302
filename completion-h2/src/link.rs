//! What everybody who has to do with one connection shares, whatever the type of its request bodies: the [`schedule`] of
//! the driver, and the cause of the connection's end.
//!
//! # Wakers under h2's lock
//!
//! h2 calls wakers while it holds the connection's mutex. All wakers that it ever gets are the ones made here and in the
//! slots, and they only tell the schedule. Even that ends in the executor's waker when the driver sleeps; so
//! who calls h2 outside the driver does it inside [`Schedule::quietly`], which wakes afterwards.

use std::sync::{Arc, OnceLock};
use std::task::Wake;

use crate::error::{BoxError, Error};
use crate::tap::{GoAway, TapHandle};

pub(crate) use schedule::{Events, MAX_STREAMS, Schedule};

mod schedule;

/// Shared by the driver, its clients, its response bodies and every waker.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) schedule: Schedule,
    tap: OnceLock<TapHandle>,
    /// Why the connection ended.
    cause: OnceLock<Error>,
    /// Set if a poll of the driver unwound. h2's mutex may be poisoned, and h2 panics on that: its handles are not to be used.
    unwound: OnceLock<()>,
    /// The first GOAWAY, as the error that all requests share which it ends: there may be many, and servers such as nginx
    /// end every connection so.
    farewell: OnceLock<(GoAway, Error)>,
}

impl Link {
    /// For a driver that is going to be polled.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            schedule: Schedule::new(),
            tap: OnceLock::new(),
            cause: OnceLock::new(),
            unwound: OnceLock::new(),
            farewell: OnceLock::new(),
        })
    }

    /// Whether nothing more is served.
    pub(crate) fn is_closed(&self) -> bool {
        self.schedule.marks().closed()
    }

    /// Whether new requests are better sent elsewhere.
    pub(crate) fn is_unusable(&self) -> bool {
        self.schedule.marks().unusable()
    }

    /// Why a request submitted now would fail, if it would.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let marks = self.schedule.marks();
        if marks.closed() {
            self.cause().map(|cause| cause.retriable(true))
        } else if marks.draining() {
            let received = self.go_away()?;
            Some(self.farewell(received, || None).retriable(true))
        } else {
            None
        }
    }

    /// Why the connection was closed, if it is.
    pub(crate) fn end(&self) -> Option<Error> {
        self.is_closed().then(|| self.cause()).flatten()
    }

    /// Why the connection ended, as soon as that is known.
    pub(crate) fn cause(&self) -> Option<Error> {
        self.cause.get().cloned()
    }

    /// Whether h2's handles are not to be used or dropped any more.
    pub(crate) fn is_unwound(&self) -> bool {
        self.unwound.get().is_some()
    }

    /// The last GOAWAY received.
    pub(crate) fn go_away(&self) -> Option<GoAway> {
        self.tap.get()?.go_away()
    }

    /// The error of a request that this GOAWAY ended.
    pub(crate) fn farewell(
        &self,
        received: GoAway,
        then: impl FnOnce() -> Option<BoxError>,
    ) -> Error {
        match self.farewell.get() {
            Some((first, error)) if *first == received => error.clone(),
            known => {
                let error = Error::go_away(received, then());
                if known.is_none() {
                    // Somebody else may have been faster; then theirs is as good.
                    let _ = self.farewell.set((received, error.clone()));
                }
                error
            }
        }
    }

    // ----- the driver -----

    pub(crate) fn set_tap(&self, tap: TapHandle) {
        // There is one transport per link, so this never finds another.
        let _ = self.tap.set(tap);
    }

    /// Records the cause, if it is the first, and closes. Returns the recorded one. The caller then drains the queues.
    pub(crate) fn close(&self, error: Error, unwound: bool) -> Error {
        if unwound {
            // Also if the cause is another: then it unwound while closing.
            let _ = self.unwound.set(());
        }
        let cause = self.cause.get_or_init(|| error);
        self.schedule.close();
        cause.clone()
    }
}

/// The waker that h2's connection gets.
pub(crate) struct ConnectionWaker(pub(crate) Arc<Link>);

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.schedule.tell_connection();
    }
}

/// The waker that the sleep gets.
pub(crate) struct TimerWaker(pub(crate) Arc<Link>);

impl Wake for TimerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.schedule.tell_timer();
    }
}

#[cfg(test)]
mod tests;
