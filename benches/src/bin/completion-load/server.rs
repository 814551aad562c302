//! The embedded server: h2c on a loopback port, on a thread of its own whose allocations nobody counts.
//!
//! A request without a body is answered with an empty 200; a body is sent back as it came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;

/// The limit that it announces; a greater concurrency shows how a client keeps to it.
const MAX_STREAMS: u32 = 256;

/// Cancelled requests are the tool's business, never a reason to hang up on it.
const PATIENCE: usize = 1 << 20;

/// Starts the server; it lives as long as the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let serve = move || runtime.block_on(accept(listener));
    thread::Builder::new()
        .name("embedded-server".to_owned())
        .spawn(serve)?;
    Ok(address)
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // An accept that fails is that one client's loss.
        if let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(connection(socket));
        }
    }
}

/// Serves one connection. How it ends is the client's to judge.
async fn connection(socket: TcpStream) -> Result<(), h2::Error> {
    socket
        .set_nodelay(true)
        .map_err(|_| h2::Reason::INTERNAL_ERROR)?;
    let mut connection = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(PATIENCE)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(socket)
        .await?;
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        answer(request, respond);
    }
    Ok(())
}

/// Errors below mean that the client cancelled this stream: nothing is left to do for it.
fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let body = request.into_body();
    let empty = body.is_end_stream();
    if let Ok(stream) = respond.send_response(Response::new(()), empty)
        && !empty
    {
        tokio::spawn(echo(body, stream));
    }
}

async fn echo(mut body: RecvStream, mut stream: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        send(&mut stream, chunk).await?;
    }
    stream.send_data(Bytes::new(), true)
}

/// Sends `chunk` as the peer's window allows.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    mut chunk: Bytes,
) -> Result<(), h2::Error> {
    while !chunk.is_empty() {
        stream.reserve_capacity(chunk.len());
        match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(granted) => stream.send_data(chunk.split_to(granted?.min(chunk.len())), false)?,
            None => return Err(h2::Reason::CANCEL.into()),
        }
    }
    Ok(())
}
