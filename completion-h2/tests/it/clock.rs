//! Time that stands still until a test moves it, so that deadlines pass exactly when they are meant to.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use completion_h2::Timer;
use completion_h2::client::Builder;

/// A clock; clones show the same time.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<State>>);

struct State {
    now: Instant,
    sleepers: Vec<Waker>,
}

/// A sleep by this clock.
pub(crate) struct Sleep {
    clock: Clock,
    deadline: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::now(),
            sleepers: Vec::new(),
        })))
    }

    /// A builder whose connections have this time.
    pub(crate) fn builder(&self) -> Builder<Self> {
        Builder::with_timer(self.clone())
    }

    /// Moves on. Everybody looks at the clock then.
    pub(crate) fn advance(&self, by: Duration) {
        let sleepers = {
            let mut state = self.state();
            state.now += by;
            std::mem::take(&mut state.sleepers)
        };
        sleepers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Timer for Clock {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.state().now
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep {
            clock: self.clone(),
            deadline,
        }
    }

    fn reset(&self, mut sleep: Pin<&mut Sleep>, deadline: Instant) {
        sleep.deadline = deadline;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if self.deadline <= state.now {
            return Poll::Ready(());
        }
        if !state.sleepers.iter().any(|it| it.will_wake(cx.waker())) {
            state.sleepers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
