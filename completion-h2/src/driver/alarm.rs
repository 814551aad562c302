//! One sleep for all deadlines of a connection.
//!
//! It is armed at the earliest deadline heard of. A deadline that goes away (its request ended in time) leaves it armed:
//! it then fires, the driver looks through what is left, and arms it at the earliest of those. With N requests under way and
//! a timeout of T that is one look in about T, so a request costs a comparison, no timer operation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::link::{Link, TimerWaker};
use crate::timer::Timer;

pub(crate) struct Alarm<T: Timer> {
    timer: T,
    /// Made when the first deadline comes up, moved from then on.
    sleep: Option<Pin<Box<T::Sleep>>>,
    armed: Option<Instant>,
    /// It was armed since the last poll, so that the sleep does not know the waker yet.
    fresh: bool,
    waker: Waker,
}

impl<T: Timer> Alarm<T> {
    pub(crate) fn new(timer: T, link: Arc<Link>) -> Self {
        Self {
            timer,
            sleep: None,
            armed: None,
            fresh: false,
            waker: Waker::from(Arc::new(TimerWaker(link))),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.timer.now()
    }

    /// Sees to it that the alarm fires at `deadline`, or before.
    pub(crate) fn arm(&mut self, deadline: Instant) {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        match &mut self.sleep {
            Some(sleep) => self.timer.reset(sleep.as_mut(), deadline),
            None => self.sleep = Some(Box::pin(self.timer.sleep_until(deadline))),
        }
        self.armed = Some(deadline);
        self.fresh = true;
    }

    /// Whether the alarm went off, and what time it is. It is not armed then. Looks at the sleep only if `woken`, or
    /// armed since the last time.
    pub(crate) fn poll(&mut self, woken: bool) -> Option<Instant> {
        let armed = self.armed?;
        if !woken && !self.fresh {
            return None;
        }
        self.fresh = false;
        let sleep = self.sleep.as_mut()?;
        match sleep.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => None,
            Poll::Ready(()) => {
                self.armed = None;
                // A timer that is early by its own clock must not make us arm the same deadline over and over.
                Some(self.timer.now().max(armed))
            }
        }
    }
}
