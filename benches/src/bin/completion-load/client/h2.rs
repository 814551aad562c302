//! The floor: the h2 crate itself, with the admission that any user of it must add.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Connection, ResponseFuture, SendRequest};
use tokio::sync::Semaphore;

use super::baseline::Baseline;
use super::line::{Live, Standing};
use super::{
    Builder, DATA_FRAME_BUDGET, INITIAL_STREAMS, REMEMBERED_RESETS, Reply, Settings, WINDOW,
};
use crate::dial::Io;
use crate::failure::{Failure, Kind};
use crate::server::send;

/// One connection.
pub(crate) struct Wire {
    send: SendRequest<Bytes>,
    /// As many permits as the peer allows streams: h2's own queue, which knows no bound, stays empty.
    gate: Arc<Semaphore>,
}

impl Baseline for Wire {
    type Handle = SendRequest<Bytes>;

    async fn open(io: Io, settings: &Settings, standing: Arc<Standing>) -> Result<Self, Failure> {
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
        Ok(Self { send, gate })
    }

    fn handle(&self) -> Self::Handle {
        self.send.clone()
    }

    async fn exchange(
        live: &Live<Self>,
        send: &mut Self::Handle,
        settings: &Settings,
    ) -> Result<Reply, Failure> {
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
