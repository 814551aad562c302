//! The progress bar: on a terminal only, and on a thread of its own, whose allocations are not counted.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REFRESH: Duration = Duration::from_millis(100);

/// Shows progress until it is dropped.
pub(crate) struct Progress {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Shows how `done` approaches `total`; does nothing when stderr is no terminal.
    pub(crate) fn start(total: u64, done: impl Fn() -> u64 + Send + 'static) -> Option<Self> {
        if !stderr().is_terminal() {
            return None;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let show = move || {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {eta} left")
            {
                bar.set_style(style);
            }
            // ORDERING: Relaxed; joining the thread orders what matters, the last drawing.
            while !stopped.load(Ordering::Relaxed) {
                bar.set_position(done());
                thread::park_timeout(REFRESH);
            }
            bar.finish_and_clear();
        };
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(show)
            .ok()?;
        Some(Self { stop, thread })
    }

    /// Clears the bar, so that what is printed next begins on a clean line.
    pub(crate) fn clear(self) {
        // ORDERING: Relaxed; joining orders it.
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A bar that panicked has nothing left to clear.
        let _cleared = self.thread.join();
    }
}
