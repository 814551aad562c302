//! hyper's HTTP/2 client, one level below its pool: the connection is ours to replace.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::line::{Line, Live, Standing};
use super::{INITIAL_STREAMS, REMEMBERED_RESETS, RESENDS, Reply, Settings, Totals, WINDOW};
use crate::failure::{Failure, Kind};

type Body = Full<Bytes>;

pub(crate) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    lines: Vec<Line<SendRequest<Body>>>,
    resent: AtomicU64,
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
    live: Arc<Live<SendRequest<Body>>>,
    send: SendRequest<Body>,
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
                    let send = live.connection.clone();
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
        let under_way = self.live.standing.under_way();
        let outcome = exchange(&mut self.send, settings).await;
        under_way.finish();
        // A refused stream is the only unprocessed request that leaves the connection as good as it was.
        if let Err(failure) = &outcome
            && failure.retry_safe
            && failure.kind != Kind::Refused
        {
            self.live.standing.retire();
        }
        outcome
    }
}

async fn exchange(send: &mut SendRequest<Body>, settings: &Settings) -> Result<Reply, Failure> {
    let body = Full::new(settings.template.body.clone());
    let response = match send.try_send_request(settings.template.request(body)).await {
        Ok(response) => response,
        Err(mut refused) => {
            // hyper hands the request back when it was never submitted.
            let unsent = refused.take_message().is_some();
            let failure = classify(refused.error());
            return Err(Failure {
                retry_safe: failure.retry_safe || unsent,
                ..failure
            });
        }
    };
    let status = response.status();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| classify(&error))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(Reply { status, bytes })
}

/// hyper's error by the error of h2 within it. A GOAWAY with NO_ERROR before the end of the connection is hidden by hyper.
fn classify(error: &hyper::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Failure::of_stream(error);
        }
        if error.is::<std::io::Error>() {
            return Failure::submitted(Kind::ConnectionLost);
        }
        cause = error.source();
    }
    Failure::submitted(
        if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
            Kind::ConnectionLost
        } else if error.is_user() {
            Kind::Abandoned
        } else {
            Kind::Protocol
        },
    )
}

async fn open(settings: &Settings, standing: Arc<Standing>) -> Result<SendRequest<Body>, Failure> {
    let io = settings
        .dialer
        .dial()
        .await
        .map_err(|error| error.failure())?;
    let (send, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .initial_max_send_streams(INITIAL_STREAMS)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| Failure::unprocessed(classify(&error).kind))?;
    tokio::spawn(async move {
        // Each request is told by hyper how the connection ended.
        let _ended = connection.await;
        standing.retire();
    });
    Ok(send)
}
