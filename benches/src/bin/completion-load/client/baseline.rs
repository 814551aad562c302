//! A baseline client: a library's own connections, with what any user of them must add (reconnection, resending).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::line::{Line, Live, Standing};
use super::{RESENDS, Reply, Settings, Totals};
use crate::dial::Io;
use crate::failure::Failure;

/// A connection of the library.
pub(crate) trait Baseline: Sized {
    /// A worker's own handle of it.
    type Handle;

    /// Makes a connection, which is retired when it ends.
    async fn open(io: Io, settings: &Settings, standing: Arc<Standing>) -> Result<Self, Failure>;

    fn handle(&self) -> Self::Handle;

    /// One request, which retires the connection when it shows that no other should follow.
    async fn exchange(
        live: &Live<Self>,
        handle: &mut Self::Handle,
        settings: &Settings,
    ) -> Result<Reply, Failure>;
}

pub(crate) struct Client<W> {
    inner: Arc<Inner<W>>,
}

struct Inner<W> {
    settings: Settings,
    lines: Vec<Line<W>>,
    resent: AtomicU64,
}

impl<W: Baseline> Client<W> {
    pub(super) fn new(settings: &Settings) -> Self {
        let inner = Inner {
            settings: settings.clone(),
            lines: (0..settings.connections).map(|_| Line::new()).collect(),
            resent: AtomicU64::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn session(&self, line: usize) -> Session<W> {
        Session {
            inner: Arc::clone(&self.inner),
            line,
            held: None,
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            reconnects: self.inner.lines.iter().map(Line::reconnects).sum(),
            // ORDERING: Relaxed; a statistic, read after the run.
            resent: self.inner.resent.load(Ordering::Relaxed),
            ..Totals::default()
        }
    }
}

/// A worker's own handle of its line's connection, kept from request to request.
pub(crate) struct Session<W: Baseline> {
    inner: Arc<Inner<W>>,
    line: usize,
    held: Option<(Arc<Live<W>>, W::Handle)>,
}

impl<W: Baseline> Session<W> {
    pub(super) fn timeout(&self) -> Duration {
        self.inner.settings.timeout
    }

    pub(super) async fn exchange(&mut self) -> Result<Reply, Failure> {
        let Inner {
            settings,
            lines,
            resent,
        } = &*self.inner;
        let open = async |standing| {
            let io = settings.dialer.dial().await;
            let io = io.map_err(|error| error.failure())?;
            W::open(io, settings, standing).await
        };
        let mut resends = 0;
        loop {
            let held = match self.held.take().filter(|(live, _)| live.standing.usable()) {
                Some(held) => held,
                None => {
                    let live = lines[self.line].get(open).await?;
                    let handle = live.connection.handle();
                    (live, handle)
                }
            };
            let (live, handle) = self.held.insert(held);
            match W::exchange(live, handle, settings).await {
                Err(failure) if failure.retry_safe && resends < RESENDS => {
                    resends += 1;
                    // ORDERING: Relaxed; a statistic that publishes nothing.
                    resent.fetch_add(1, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
    }
}
