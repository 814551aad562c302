//! hyper's HTTP/2 client, one level below its pool: the connection is ours to replace.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::baseline::Baseline;
use super::line::{Live, Standing};
use super::{INITIAL_STREAMS, REMEMBERED_RESETS, Reply, Settings, WINDOW, read};
use crate::dial::Io;
use crate::failure::{Failure, Kind};

type Body = Full<Bytes>;

/// One connection.
pub(crate) type Wire = SendRequest<Body>;

impl Baseline for Wire {
    type Handle = Self;

    async fn open(io: Io, _: &Settings, standing: Arc<Standing>) -> Result<Self, Failure> {
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

    fn handle(&self) -> Self {
        self.clone()
    }

    async fn exchange(
        live: &Live<Self>,
        send: &mut Self,
        settings: &Settings,
    ) -> Result<Reply, Failure> {
        let under_way = live.standing.under_way();
        let outcome = exchange(send, settings).await;
        under_way.finish();
        // A refused stream is the only unprocessed request that leaves the connection as good as it was.
        if let Err(failure) = &outcome
            && failure.retry_safe
            && failure.kind != Kind::Refused
        {
            live.standing.retire();
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
    read(response, classify).await
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
