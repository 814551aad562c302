//! Where a thread is parked, and how others know.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    Parked,
    Released,
    Done,
}

/// One thread's way in and out.
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    /// Waits until the state is one of these.
    fn wait(&self, states: [State; 2]) -> State {
        let state = self.state.lock().unwrap();
        *self
            .changed
            .wait_while(state, |state| !states.contains(state))
            .unwrap()
    }
}

thread_local! {
    /// This thread is to be parked here, after so many steps more.
    static GATE: RefCell<Option<(usize, Arc<Gate>)>> = const { RefCell::new(None) };
    /// Steps that this thread may still make; `None` where nobody counts.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Before every atomic operation.
pub(crate) fn step() {
    if let Some(left) = LEFT.get() {
        assert!(left > 0, "a peer of a parked thread waits for it");
        LEFT.set(Some(left - 1));
    }
    let gate = GATE.with_borrow_mut(|gate| match gate {
        Some((0, _)) => gate.take(),
        Some((left, _)) => {
            *left -= 1;
            None
        }
        None => None,
    });
    if let Some((_, gate)) = gate {
        gate.set(State::Parked);
        gate.wait([State::Released, State::Released]);
    }
}

/// Whether somebody here must not wait for a lock.
pub(crate) fn is_counted() -> bool {
    LEFT.get().is_some()
}

/// Runs `body`, which must not take more steps than these.
pub(crate) fn within<R>(steps: usize, body: impl FnOnce() -> R) -> R {
    LEFT.set(Some(steps));
    let result = body();
    LEFT.set(None);
    result
}

/// Runs `act` on another thread, parked before its `k`th step while `meanwhile` runs here. Whether
/// there was such a step.
pub(crate) fn parked_before(k: usize, act: impl FnOnce() + Send, meanwhile: impl FnOnce()) -> bool {
    /// Says so also if the act panics.
    struct DoneOnDrop(Arc<Gate>);

    impl Drop for DoneOnDrop {
        fn drop(&mut self) {
            self.0.set(State::Done);
        }
    }

    /// Lets it go also if what is done meanwhile panics.
    struct ReleaseOnDrop<'g>(&'g Gate);

    impl Drop for ReleaseOnDrop<'_> {
        fn drop(&mut self) {
            self.0.set(State::Released);
        }
    }

    let gate = Arc::new(Gate {
        state: Mutex::new(State::Runs),
        changed: Condvar::new(),
    });
    std::thread::scope(|scope| {
        let its_gate = gate.clone();
        scope.spawn(move || {
            let done = DoneOnDrop(its_gate.clone());
            GATE.set(Some((k, its_gate)));
            act();
            GATE.set(None);
            drop(done);
        });
        let parked = gate.wait([State::Parked, State::Done]) == State::Parked;
        let release = parked.then(|| ReleaseOnDrop(&gate));
        meanwhile();
        drop(release);
        parked
    })
}
