//! The floor: the h2 crate itself, with what any user of it must add (admission, reconnection, resending).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Connection, ResponseFuture, SendRequest};
use tokio::sync::Semaphore;

use super::line::{Line, Live, Standing};
use super::{
    Builder, DATA_FRAME_BUDGET, INITIAL_STREAMS, REMEMBERED_RESETS, RESENDS, Reply, Settings,
    Totals, WINDOW,
};
use crate::dial::Io;
use crate::failure::{Failure, Kind};
use crate::server::send;

pub(crate) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    lines: Vec<Line<Wire>>,
    resent: AtomicU64,
}

/// One connection.
struct Wire {
    send: SendRequest<Bytes>,
    /// As many permits as the peer allows streams: h2's own queue, which knows no bound, stays empty.
    gate: Arc<Semaphore>,
}

impl Client {
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

    pub(super) fn session(&self, line: usize) -> Session {
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
pub(crate) struct Session {
    inner: Arc<Inner>,
    line: usize,
    held: Option<Held>,
}

struct Held {
    live: Arc<Live<Wire>>,
    send: SendRequest<Bytes>,
}

impl Session {
    pub(super) fn timeout(&self) -> Duration {
        self.inner.settings.timeout
    }

    pub(super) async fn exchange(&mut self) -> Result<Reply, Failure> {
        let mut resends = 0;
        loop {
            let inner = &self.inner;
            let held = match self.held.take().filter(|held| held.live.standing.usable()) {
                Some(held) => held,
                None => {
                    let open = |standing| open(&inner.settings, standing);
                    let live = inner.lines[self.line].get(open).await?;
                    let send = live.connection.send.clone();
                    Held { live, send }
                }
            };
            let held = self.held.insert(held);
            match held.exchange(&inner.settings).await {
                Err(failure) if failure.retry_safe && resends < RESENDS => {
                    resends += 1;
                    // ORDERING: Relaxed; a statistic that publishes nothing.
                    inner.resent.fetch_add(1, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
    }
}

impl Held {
    async fn exchange(&mut self, settings: &Settings) -> Result<Reply, Failure> {
        let Self { live, send } = self;
        let Ok(_permit) = live.connection.gate.acquire().await else {
            return Err(Failure::unprocessed(Kind::ConnectionLost));
        };
        let under_way = live.standing.under_way();
        let outcome = exchange(send, settings).await;
        under_way.finish();
        if let Err(failure) = &outcome
            && failure.kind == Kind::GoAway
        {
            live.standing.retire();
        }
        outcome
    }
}

/// One request on an admitted stream.
async fn exchange(send: &mut SendRequest<Bytes>, settings: &Settings) -> Result<Reply, Failure> {
    let body = settings.template.body.clone();
    let sent = match poll_fn(|cx| send.poll_ready(cx)).await {
        Ok(()) => send.send_request(settings.template.request(()), body.is_empty()),
        Err(error) => Err(error),
    };
    // Nothing of this request has been written when h2 does not take it.
    let (response, mut stream) =
        sent.map_err(|error| Failure::unprocessed(Failure::of_stream(&error).kind))?;
    let outcome = if body.is_empty() {
        read(response).await
    } else {
        // Both directions at once: a server may answer while it is still being written to.
        let mut reading = pin!(read(response));
        let writing = async { send_all(&mut stream, body).await };
        tokio::select! {
            biased;
            outcome = &mut reading => outcome,
            // The reading side learns why writing failed.
            _ = writing => reading.await,
        }
    };
    outcome.map_err(|error| {
        let failure = Failure::of_stream(&error);
        if failure.kind == Kind::ConnectionLost && went_away(send) {
            Failure::submitted(Kind::GoAway)
        } else {
            failure
        }
    })
}

async fn send_all(stream: &mut h2::SendStream<Bytes>, body: Bytes) -> Result<(), h2::Error> {
    send(stream, body).await?;
    stream.send_data(Bytes::new(), true)
}

async fn read(response: ResponseFuture) -> Result<Reply, h2::Error> {
    let response = response.await?;
    let status = response.status();
    let mut body: RecvStream = response.into_body();
    let mut bytes = 0;
    if !body.is_end_stream() {
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            body.flow_control().release_capacity(chunk.len())?;
        }
        body.trailers().await?;
    }
    Ok(Reply { status, bytes })
}

/// Whether the connection that just ended had said so before: h2 gives the streams a broken pipe and keeps the GOAWAY.
fn went_away(send: &mut SendRequest<Bytes>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match send.poll_ready(&mut cx) {
        Poll::Ready(Err(error)) => error.is_go_away() && error.is_remote(),
        _ => false,
    }
}

async fn open(settings: &Settings, standing: Arc<Standing>) -> Result<Wire, Failure> {
    let io = settings
        .dialer
        .dial()
        .await
        .map_err(|error| error.failure())?;
    let (send, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .initial_max_send_streams(INITIAL_STREAMS)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .handshake(io)
        .await
        .map_err(|error| Failure::unprocessed(Failure::of_stream(&error).kind))?;
    // More permits than workers would never be used.
    let wanted = settings.concurrency;
    let gate = Arc::new(Semaphore::new(wanted.min(INITIAL_STREAMS)));
    tokio::spawn(drive(connection, Arc::clone(&gate), wanted, standing));
    Ok(Wire { send, gate })
}

/// Drives the connection to its end, and keeps the gate as wide as the peer allows.
async fn drive(
    mut connection: Connection<Io, Bytes>,
    gate: Arc<Semaphore>,
    wanted: usize,
    standing: Arc<Standing>,
) {
    let mut granted = wanted.min(INITIAL_STREAMS);
    poll_fn(|cx| {
        // Each stream is told by h2 how the connection ended.
        let ended = Future::poll(std::pin::Pin::new(&mut connection), cx).map(drop);
        let allowed = wanted.min(connection.max_concurrent_send_streams());
        if allowed > granted {
            gate.add_permits(allowed - granted);
            granted = allowed;
        } else if allowed < granted {
            // Permits in use are taken back on a later poll.
            granted -= gate.forget_permits(granted - allowed);
        }
        ended
    })
    .await;
    standing.retire();
    gate.close();
}
