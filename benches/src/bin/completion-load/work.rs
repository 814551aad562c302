//! The work itself, the same for every client: so many requests, so many of them in flight, each timed and counted.
//!
//! In the steady state nothing here allocates: a request is a clone of reference counts, and its record a few additions.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use benches::alloc::{Usage, usage};
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use crate::client::{Client, Session, Totals};
use crate::plan::Plan;
use crate::tally::{Outcome, Tally};

/// How much of which work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) plan: Plan,
    pub(crate) concurrency: usize,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
}

/// One client's run, which may be done in several stretches.
pub(crate) struct Work {
    shared: Arc<Shared>,
    current: Option<Stretch>,
    elapsed: Duration,
    counted: Usage,
    counted_requests: u64,
}

struct Shared {
    client: Client,
    scope: Scope,
    /// The number of the next request.
    next: AtomicU64,
    /// Where the current stretch ends.
    end: AtomicU64,
    /// One for each thread, so that workers hardly ever meet at one.
    tallies: Vec<Mutex<Tally>>,
}

/// The stretch under way.
struct Stretch {
    began: Instant,
    /// Usage and ended requests at its start, unless it is warm-up.
    before: Option<(Usage, u64)>,
}

/// What a run came to.
pub(crate) struct Result {
    pub(crate) tally: Tally,
    pub(crate) totals: Totals,
    pub(crate) elapsed: Duration,
    /// After the warm-up.
    pub(crate) counted: Usage,
    pub(crate) counted_requests: u64,
}

impl Work {
    pub(crate) fn new(client: Client, scope: Scope) -> Self {
        let shared = Shared {
            client,
            scope,
            next: AtomicU64::new(0),
            end: AtomicU64::new(0),
            tallies: (0..scope.threads)
                .map(|_| Mutex::new(Tally::new()))
                .collect(),
        };
        Self {
            shared: Arc::new(shared),
            current: None,
            elapsed: Duration::ZERO,
            counted: Usage::default(),
            counted_requests: 0,
        }
    }

    /// Does the requests up to number `end`. `warm_up`: their allocations are not counted.
    ///
    /// Cancel safety: dropped, it leaves the requests under way undone; `finish` reports those that ended.
    pub(crate) async fn advance(&mut self, end: u64, warm_up: bool) {
        let shared = &self.shared;
        // ORDERING: Relaxed; no worker is alive between stretches, and spawning and joining orders the rest.
        let todo = end.saturating_sub(shared.next.load(Ordering::Relaxed));
        if todo == 0 {
            return;
        }
        // ORDERING: Relaxed, as above.
        shared.end.store(end, Ordering::Relaxed);
        let workers = shared
            .scope
            .concurrency
            .min(usize::try_from(todo).unwrap_or(usize::MAX));
        let start = Arc::new(Barrier::new(workers + 1));
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let sessions = shared.sessions(worker);
            tasks.spawn(work(
                Arc::clone(shared),
                Arc::clone(&start),
                worker,
                sessions,
            ));
        }
        // The tasks are there and none has begun: what is counted from here on are the requests.
        self.current = Some(Stretch {
            began: Instant::now(),
            before: (!warm_up).then(|| (usage(), shared.ended())),
        });
        start.wait().await;
        while let Some(done) = tasks.join_next().await {
            if let Err(error) = done
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        // ORDERING: Relaxed; the workers have been joined. Each of them overshot by one.
        shared.next.store(end, Ordering::Relaxed);
        self.close_stretch();
    }

    /// A counter for the progress bar: requests that have begun.
    pub(crate) fn progress(&self) -> impl Fn() -> u64 + Send + 'static {
        let shared = Arc::clone(&self.shared);
        // ORDERING: Relaxed; for the eye only.
        move || {
            shared
                .next
                .load(Ordering::Relaxed)
                .min(shared.end.load(Ordering::Relaxed))
        }
    }

    /// Waits until the client is at rest, and tells what came of the run.
    pub(crate) async fn finish(mut self) -> Result {
        self.close_stretch();
        self.shared.client.settle().await;
        Result {
            tally: self.shared.tally(),
            totals: self.shared.client.totals(),
            elapsed: self.elapsed,
            counted: self.counted,
            counted_requests: self.counted_requests,
        }
    }

    fn close_stretch(&mut self) {
        if let Some(stretch) = self.current.take() {
            self.elapsed += stretch.began.elapsed();
            if let Some((usage_before, ended_before)) = stretch.before {
                self.counted.add(usage().since(usage_before));
                self.counted_requests += self.shared.ended() - ended_before;
            }
        }
    }
}

impl Shared {
    fn tally(&self) -> Tally {
        let mut sum = Tally::new();
        for tally in &self.tallies {
            sum.add(&tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    fn ended(&self) -> u64 {
        let ended = |tally: &Mutex<Tally>| {
            tally
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .requests()
        };
        self.tallies.iter().map(ended).sum()
    }

    fn record(&self, worker: usize, outcome: &Outcome, took: Duration) {
        let tally = &self.tallies[worker % self.tallies.len()];
        tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(outcome, took);
    }

    /// The connections that `worker` sends over, in turn: one, unless there are more connections than workers.
    fn sessions(&self, worker: usize) -> Vec<Session> {
        let Scope {
            concurrency,
            connections,
            ..
        } = self.scope;
        let lines = (worker % connections..connections).step_by(concurrency);
        lines.map(|line| self.client.session(line)).collect()
    }
}

/// One request in flight at a time, until none is left.
async fn work(shared: Arc<Shared>, start: Arc<Barrier>, worker: usize, mut sessions: Vec<Session>) {
    start.wait().await;
    // ORDERING: Relaxed; written before this task was spawned.
    let end = shared.end.load(Ordering::Relaxed);
    for turn in 0_usize.. {
        // ORDERING: Relaxed; only the uniqueness of the number matters, which the read-modify-write gives.
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        if index >= end {
            return;
        }
        let place = turn % sessions.len();
        let session = &mut sessions[place];
        let cancel_after = shared.scope.plan.cancel_after(index);
        let began = Instant::now();
        let exchange = session.exchange();
        let outcome = match cancel_after {
            None => Some(exchange.await),
            Some(delay) => until(began + delay, exchange).await,
        };
        let took = began.elapsed();
        let outcome = match outcome {
            Some(Ok(reply)) => Outcome::Replied(reply),
            Some(Err(failure)) => Outcome::Failed(failure),
            None => Outcome::Cancelled,
        };
        shared.record(worker, &outcome, took);
    }
}

/// Drives `future` until it ends, or drops it once `deadline` has passed (none).
///
/// The deadline is a fraction of a millisecond away, finer than the runtime's timer, so it is awaited by turns of the event
/// loop: each lets the connection read and write.
async fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let expiry = async {
        while Instant::now() < deadline {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        output = &mut future => Some(output),
        () = expiry => None,
    }
}
