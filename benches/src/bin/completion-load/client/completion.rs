//! completion-h2, as its users have it: one `Connector` for each connection, which replaces it, resends and keeps the time.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use completion_h2::client::{Builder, Connector, ConnectorStats};
use completion_h2::{Error, ErrorKind};
use http_body_util::Full;

use super::{Pool, RESENDS, Reply, Settings, Template, Totals, WINDOW, read};
use crate::dial::DialError;
use crate::failure::{Failure, Kind};

/// How long the drivers may take to notice what was dropped last.
const UNTIL_RETURNED: Duration = Duration::from_secs(1);

/// How long to wait for the acknowledgment of a connection that was made just before the end.
const UNTIL_ACKNOWLEDGED: Duration = Duration::from_millis(100);

pub(crate) struct Client {
    template: Arc<Template>,
    lines: Vec<Connector<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Self {
        let line = |_| {
            let builder = Builder::new()
                .pool_capacity(settings.pool)
                .timeout(settings.timeout)
                .settings_timeout(settings.settings_timeout)
                .resend_limit(RESENDS)
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW);
            let dialer = Arc::clone(&settings.dialer);
            let connect = move || {
                let dialer = Arc::clone(&dialer);
                async move { dialer.dial().await }
            };
            Connector::new(builder, connect, tokio::spawn)
        };
        Self {
            template: Arc::clone(&settings.template),
            lines: (0..settings.connections).map(line).collect(),
        }
    }

    pub(super) fn session(&self, line: usize) -> Session {
        Session {
            template: Arc::clone(&self.template),
            connector: self.lines[line].clone(),
        }
    }

    pub(super) async fn settle(&self) {
        self.wait(UNTIL_RETURNED, |stats| stats.pool.in_use == 0)
            .await;
        self.wait(UNTIL_ACKNOWLEDGED, |stats| {
            stats.settings_ack.is_some() || stats.connections_established == 0
        })
        .await;
    }

    /// Waits until all lines are as they should be, but no longer than `limit`.
    async fn wait(&self, limit: Duration, settled: impl Fn(&ConnectorStats) -> bool) {
        let until = Instant::now() + limit;
        let all = || self.lines.iter().all(|line| settled(&line.stats()));
        while !all() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut pool = Pool::default();
        let mut unacknowledged = false;
        for stats in self.lines.iter().map(Connector::stats) {
            totals.reconnects += stats.reconnects;
            totals.resent += stats.resent;
            if stats.connections_established > 0 {
                totals.settings_ack = totals.settings_ack.max(stats.settings_ack);
                unacknowledged |= stats.settings_ack.is_none();
            }
            pool.capacity += stats.pool.capacity as u64;
            pool.in_use += stats.pool.in_use as u64;
            pool.high_water += stats.pool.high_water as u64;
            pool.rented += stats.pool.rented;
            pool.returned += stats.pool.returned;
            pool.overflow += stats.pool.overflowed;
            pool.stale += stats.pool.stale;
        }
        if unacknowledged {
            totals.settings_ack = None;
        }
        totals.pool = Some(pool);
        totals
    }
}

/// A worker's handle of its line.
pub(crate) struct Session {
    template: Arc<Template>,
    connector: Connector<Full<Bytes>>,
}

impl Session {
    pub(super) async fn exchange(&self) -> Result<Reply, Failure> {
        let body = Full::new(self.template.body.clone());
        let request = self.template.request(body);
        let response = self.connector.request(request).await;
        let response = response.map_err(|error| classify(&error))?;
        read(response, classify).await
    }
}

fn classify(error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Reset => Kind::ResetByPeer,
        ErrorKind::Refused => Kind::Refused,
        ErrorKind::GoAway => Kind::GoAway,
        ErrorKind::ConnectionLost => Kind::ConnectionLost,
        ErrorKind::Timeout => Kind::Timeout,
        ErrorKind::SettingsTimeout => Kind::SettingsTimeout,
        ErrorKind::Connect => {
            let cause = error.source().and_then(|cause| cause.downcast_ref());
            cause.map_or(Kind::Connect, |cause: &DialError| cause.failure().kind)
        }
        ErrorKind::Abandoned => Kind::Abandoned,
        // A request that cannot be sent is no fault of the peer's, but this tool does not make any.
        _ => Kind::Protocol,
    };
    Failure {
        kind,
        retry_safe: error.is_retry_safe(),
    }
}
