//! A thread pool that hands results back through pooled rounds, to callers that block.
//!
//! Each job goes to the workers together with its completer; the caller keeps the completion and calls
//! `wait`. Do so where plain threads hand work to plain threads. The same completion can be awaited,
//! so an async caller needs no other interface.
//!
//! A job that panics fails its round with what the panic carried, as joining a thread would. A job that
//! never ran, because the workers had stopped, is abandoned: its completer was dropped. One that nobody
//! waits for any more is not begun.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use completion_core::{Completer, Completion, CompletionError, Pool};

/// What a panic carried.
type Panicked = Box<dyn Any + Send>;

struct Job<T> {
    work: Box<dyn FnOnce() -> T + Send>,
    completer: Completer<'static, T, Panicked>,
}

impl<T> Job<T> {
    fn run(self) {
        if self.completer.is_closed() {
            return;
        }
        // The work is used up here, so nobody sees what a panic left half done.
        let told = match panic::catch_unwind(AssertUnwindSafe(self.work)) {
            Ok(value) => self.completer.complete(value).is_ok(),
            Err(panicked) => self.completer.fail(panicked).is_ok(),
        };
        if !told {
            println!("the caller left while the job ran");
        }
    }
}

struct Workers<T> {
    /// `None` stops the worker that takes it.
    jobs: Sender<Option<Job<T>>>,
    results: Pool<T, Panicked>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Workers<T> {
    fn new(threads: usize) -> Self {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let threads = (0..threads).map(|_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                while let Some(job) = next(&queue) {
                    job.run();
                }
            })
        });
        Self {
            jobs,
            results: Pool::new(),
            threads: threads.collect(),
        }
    }

    fn submit(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Completion<'static, T, Panicked> {
        let (completer, completion) = self.results.rent();
        let work = Box::new(work);
        // If no worker is left, the job is in the error, and its completer is dropped with it.
        let _ = self.jobs.send(Some(Job { work, completer }));
        completion
    }

    /// Waits for the jobs that were submitted. Later ones are abandoned.
    fn stop(&mut self) {
        for _ in &self.threads {
            self.jobs.send(None).expect("the workers hold the queue");
        }
        for thread in self.threads.drain(..) {
            thread.join().expect("jobs' panics are caught");
        }
    }
}

fn next<T>(queue: &Mutex<Receiver<Option<Job<T>>>>) -> Option<Job<T>> {
    let queue = queue.lock().expect("nothing panics under it");
    queue.recv().ok().flatten()
}

fn main() {
    // One worker, so that it is known below which job is running.
    let mut workers = Workers::new(1);

    let sum = workers.submit(|| (1..=100).sum()).wait();
    println!("{sum:?}");
    assert!(matches!(sum, Ok(5050)));

    // Panics past the hook, which would print a backtrace that looks like a failure of the example.
    let panicked = workers.submit(|| panic::resume_unwind(Box::new("out of paper")));
    let Err(CompletionError::Failed(payload)) = panicked.wait() else {
        panic!("the caller is told of the panic");
    };
    let message = payload.downcast_ref::<&str>();
    println!("panicked: {message:?}");
    assert_eq!(message, Some(&"out of paper"));

    // While the worker is busy, a caller leaves; its job is never begun.
    let (finish, finished) = channel();
    let busy = workers.submit(move || finished.recv().expect("main sends"));
    drop(workers.submit(|| unreachable!("nobody waits for it")));
    finish.send(1).expect("the worker receives");
    assert!(matches!(busy.wait(), Ok(1)));

    workers.stop();
    let late = workers.submit(|| 2).wait();
    println!("after the end: {late:?}");
    assert!(matches!(late, Err(CompletionError::Abandoned)));
    assert_eq!(workers.results.stats().in_use, 0);
}
