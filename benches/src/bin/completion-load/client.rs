//! The three clients behind one face: open a session per worker, exchange one request after the other in it.
//!
//! The face is an enum and not a trait object: a boxed future per request would show up in what is measured.

mod baseline;
mod completion;
mod h2;
mod hyper;
mod line;

use std::sync::Arc;
use std::time::Duration;

use ::h2::client::Builder;
use ::hyper::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;

use crate::args::ClientName;
use crate::dial::Dialer;
use crate::failure::{Failure, Kind};

/// How often a request that the peer certainly did not process is sent again.
const RESENDS: u32 = 3;

/// The windows of the baselines, so that none of them wins by a larger buffer: HTTP/2's own default.
const WINDOW: u32 = 65_535;

/// Streams in flight before the peer has announced its limit.
const INITIAL_STREAMS: usize = 100;

/// Dropped requests that a baseline's h2 remembers, so that it ignores what still arrives for them. For one that it has
/// forgotten it would send a second RST_STREAM, and servers count both.
const REMEMBERED_RESETS: usize = 1_024;

/// What late frames for dropped requests may cost a baseline's h2, as with completion-h2: by default it gives a connection
/// up after 100 of them. hyper has no option for it.
const DATA_FRAME_BUDGET: usize = 1 << 20;

/// What a client needs to know.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) template: Arc<Template>,
    pub(crate) connections: usize,
    pub(crate) concurrency: usize,
    pub(crate) pool: u16,
    pub(crate) timeout: Duration,
    pub(crate) settings_timeout: Duration,
}

/// The request that is sent over and over; a copy of it costs reference counts only.
pub(crate) struct Template {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

impl Template {
    fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        request
    }
}

/// A response, read to the end of its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) bytes: u64,
}

/// Reads a response to the end of its body.
async fn read<B: Body<Data = Bytes> + Unpin>(
    response: Response<B>,
    classify: impl Fn(&B::Error) -> Failure,
) -> Result<Reply, Failure> {
    let status = response.status();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| classify(&error))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(Reply { status, bytes })
}

/// What a client did beside answering.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) reconnects: u64,
    pub(crate) resent: u64,
    /// The largest over the connections; none if any is missing, or the client cannot see it.
    pub(crate) settings_ack: Option<Duration>,
    pub(crate) pool: Option<Pool>,
}

/// The pools of all connections, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    pub(crate) capacity: u64,
    pub(crate) in_use: u64,
    pub(crate) high_water: u64,
    pub(crate) rented: u64,
    pub(crate) returned: u64,
    pub(crate) overflow: u64,
    pub(crate) stale: u64,
}

/// One of the three.
pub(crate) enum Client {
    Completion(completion::Client),
    H2(baseline::Client<h2::Wire>),
    Hyper(baseline::Client<hyper::Wire>),
}

impl Client {
    pub(crate) fn new(name: ClientName, settings: &Settings) -> Self {
        match name {
            ClientName::Completion => Self::Completion(completion::Client::new(settings)),
            ClientName::H2 => Self::H2(baseline::Client::new(settings)),
            ClientName::Hyper => Self::Hyper(baseline::Client::new(settings)),
        }
    }

    /// A session on connection `line`, for one request at a time.
    pub(crate) fn session(&self, line: usize) -> Session {
        match self {
            Self::Completion(client) => Session::Completion(client.session(line)),
            Self::H2(client) => Session::H2(client.session(line)),
            Self::Hyper(client) => Session::Hyper(client.session(line)),
        }
    }

    /// Waits, for a moment, until nothing of the run is left in the client.
    pub(crate) async fn settle(&self) {
        if let Self::Completion(client) = self {
            client.settle().await;
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        match self {
            Self::Completion(client) => client.totals(),
            Self::H2(client) => client.totals(),
            Self::Hyper(client) => client.totals(),
        }
    }
}

/// A worker's hold on one connection.
pub(crate) enum Session {
    Completion(completion::Session),
    H2(baseline::Session<h2::Wire>),
    Hyper(baseline::Session<hyper::Wire>),
}

impl Session {
    /// One request, from its submission to the end of the response body, in no more time than the settings' timeout.
    /// Dropping the future cancels it.
    pub(crate) async fn exchange(&mut self) -> Result<Reply, Failure> {
        match self {
            // It keeps the time itself.
            Self::Completion(session) => session.exchange().await,
            Self::H2(session) => within(session.timeout(), session.exchange()).await,
            Self::Hyper(session) => within(session.timeout(), session.exchange()).await,
        }
    }
}

/// The timeout that the baselines lack.
async fn within(
    limit: Duration,
    exchange: impl Future<Output = Result<Reply, Failure>>,
) -> Result<Reply, Failure> {
    let outcome = tokio::time::timeout(limit, exchange).await;
    outcome.unwrap_or(Err(Failure::submitted(Kind::Timeout)))
}
