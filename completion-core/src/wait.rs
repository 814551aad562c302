//! Waiting on a thread, without an executor.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::thread::{self, Thread};

use crate::completion::Completion;
use crate::error::CompletionError;

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
        assert!(
            !self.is_terminated(),
            "`Completion` waited for after it returned its outcome"
        );
        if let Some(outcome) = self.try_take() {
            return outcome;
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut self).poll(&mut context) {
                return outcome;
            }
            // Returns at once if the wake came first; a wake of another origin costs one more poll.
            thread::park();
        }
    }
}
