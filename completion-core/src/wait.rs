//! Waiting on a thread, without an executor.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::completion::Completion;
use crate::error::CompletionError;
use crate::oneshot::{Receiver, error::RecvError};

/// Unparks one thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T, E> Completion<'_, T, E> {
    /// Blocks the thread until the outcome is there.
    ///
    /// For threads outside any executor; in a task, `.await`. Allocates one waker if it has to wait.
    ///
    /// # Errors
    ///
    /// As for awaiting.
    ///
    /// # Panics
    ///
    /// If the outcome was taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// let (completer, completion) = pool.rent();
    /// std::thread::spawn(|| completer.complete(7));
    /// assert_eq!(completion.wait(), Ok(7));
    /// ```
    #[track_caller]
    pub fn wait(mut self) -> Result<T, CompletionError<E>> {
        loop {
            if let Some(outcome) = self.wait_until(None) {
                return outcome;
            }
        }
    }

    /// Blocks the thread until the outcome is there, or the time is over; then `None`, and the round goes on.
    ///
    /// Wait again, or drop the completion, which cancels. The time may be longer than asked for, never
    /// shorter; one too long for the clock is for ever.
    ///
    /// # Errors
    ///
    /// As for awaiting.
    ///
    /// # Panics
    ///
    /// If the outcome was taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = completion_core::Pool::<u32, ()>::new();
    /// let (completer, mut completion) = pool.rent();
    /// assert_eq!(completion.wait_timeout(Duration::from_millis(1)), None);
    /// completer.complete(7)?;
    /// assert_eq!(completion.wait_timeout(Duration::from_secs(1)), Some(Ok(7)));
    /// # Ok::<(), completion_core::Rejected<u32>>(())
    /// ```
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, CompletionError<E>>> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    #[track_caller]
    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Result<T, CompletionError<E>>> {
        assert!(
            !self.is_terminated(),
            "`Completion` waited for after it returned its outcome"
        );
        if let Some(outcome) = self.try_take() {
            return Some(outcome);
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut *self).poll(&mut context) {
                return Some(outcome);
            }
            // Each returns at once if the wake came first; a wake of another origin costs one more poll.
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}

impl<T> Receiver<T> {
    /// Blocks the thread until the value is there.
    ///
    /// For threads outside any executor; in a task, `.await`. Allocates one waker if it has to wait.
    ///
    /// # Errors
    ///
    /// As for awaiting.
    ///
    /// # Panics
    ///
    /// If a result was returned already.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = completion_core::oneshot::channel();
    /// std::thread::spawn(|| tx.send(7));
    /// assert_eq!(rx.blocking_recv(), Ok(7));
    /// ```
    #[track_caller]
    pub fn blocking_recv(self) -> Result<T, RecvError> {
        self.completion.wait().map_err(|_| RecvError::new())
    }
}
