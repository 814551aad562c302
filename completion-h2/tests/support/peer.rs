//! The peer's thread, and the connection that a script talks on.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::frame::{Frame, flag, kind};
use super::hpack::{self, Decoder, Fields};
use super::{PATIENCE, within};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A running script and what it returns. Dropping it stops the script where it waits.
#[must_use = "the script stops when its peer is dropped"]
pub(crate) struct Peer<T> {
    addr: SocketAddr,
    outcome: oneshot::Receiver<Option<thread::Result<T>>>,
    stop: oneshot::Sender<()>,
}

impl<T: Send + 'static> Peer<T> {
    /// Accepts one connection and runs `script` on it.
    pub(crate) fn start<F>(script: F) -> Self
    where
        F: AsyncFnOnce(Conn) -> T + Send + 'static,
    {
        Self::start_many(async move |mut door: Door| script(door.accept().await).await)
    }

    /// [Welcomes](Door::welcome) one connection, runs `script` on it, and reads on until the client closes.
    pub(crate) fn serve<F>(parameters: &'static [(u16, u32)], script: F) -> Self
    where
        F: AsyncFnOnce(&mut Conn) -> T + Send + 'static,
    {
        Self::start_many(async move |mut door: Door| {
            let mut conn = door.welcome(parameters).await;
            let output = script(&mut conn).await;
            conn.expect_eof().await;
            output
        })
    }

    /// Runs `script` with a listener, for several connections.
    pub(crate) fn start_many<F>(script: F) -> Self
    where
        F: AsyncFnOnce(Door) -> T + Send + 'static,
    {
        let (told_addr, addr) = mpsc::channel();
        let (told_outcome, outcome) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let door = Door::open().await.expect("a listening socket");
                let addr = door.listener.local_addr().expect("an address");
                told_addr.send(addr).expect("the starter waits");
                tokio::select! {
                    output = script(door) => Some(output),
                    _ = stopped => None,
                }
            })
        };
        thread::Builder::new()
            .name("peer".into())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(run)).transpose();
                // Nobody listens when the test ended first.
                let _ = told_outcome.send(outcome);
            })
            .expect("a thread");
        Self {
            addr: addr.recv_timeout(PATIENCE).expect("the peer listens"),
            outcome,
            stop,
        }
    }

    /// Waits for the end of the script; a panic of the script goes on here.
    pub(crate) async fn finish(self) -> T {
        let Self { outcome, stop, .. } = self;
        let outcome = within("the end of the peer's script", outcome).await;
        drop(stop);
        match outcome.expect("the peer's thread tells its outcome") {
            Some(Ok(output)) => output,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("nobody stopped the script"),
        }
    }
}

impl<T> Peer<T> {
    /// Where to connect to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
}

impl Door {
    async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener })
    }

    /// Accepts the next connection.
    pub(crate) async fn accept(&mut self) -> Conn {
        let accepted = within("a connection", self.listener.accept()).await;
        let (io, _) = accepted.expect("accepting works");
        io.set_nodelay(true).expect("a TCP option");
        Conn {
            io,
            unread: Vec::new(),
            backlog: VecDeque::new(),
            answers: false,
            decoder: Decoder::default(),
            block: None,
            fields: VecDeque::new(),
        }
    }

    /// Accepts the next connection, and [shakes hands](Conn::handshake) on it.
    pub(crate) async fn welcome(&mut self, parameters: &[(u16, u32)]) -> Conn {
        let mut conn = self.accept().await;
        conn.handshake(parameters).await;
        conn
    }
}

/// A request as the peer saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) stream: u32,
    pub(crate) end_stream: bool,
    pub(crate) fields: Fields,
}

impl Request {
    /// The value of a field; pseudo-header fields have their colon.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.0 == name);
        field.map(|field| field.1.as_str())
    }

    /// The `:path`.
    pub(crate) fn path(&self) -> &str {
        self.get(":path").expect("a request has a path")
    }
}

/// One accepted connection.
///
/// The `expect_*`, `next_*` and [`wait`](Self::wait) helpers receive selectively: a frame that is not the one they wait for stays in
/// the backlog, in order, for a later helper. They panic after [`PATIENCE`] and at the end of the connection.
#[derive(Debug)]
pub(crate) struct Conn {
    io: TcpStream,
    /// Bytes of a frame that has not come to its end.
    unread: Vec<u8>,
    /// Frames that no helper has taken.
    backlog: VecDeque<Frame>,
    /// Whether SETTINGS and PING are answered as they are read.
    answers: bool,
    decoder: Decoder,
    /// The header block that is coming in: its stream and what there is of it.
    block: Option<(u32, Vec<u8>)>,
    /// Decoded header blocks by stream, until a helper takes them with their HEADERS frame.
    fields: VecDeque<(u32, Fields)>,
}

impl Conn {
    // ----- opening -----

    /// Reads the client's 24-byte preface.
    pub(crate) async fn preface(&mut self) {
        let mut preface = [0; PREFACE.len()];
        within("the preface", self.io.read_exact(&mut preface))
            .await
            .expect("a whole preface");
        assert_eq!(&preface, PREFACE);
    }

    /// Exchanges prefaces, SETTINGS and acknowledgments in both directions; from then on SETTINGS and PING are answered.
    pub(crate) async fn handshake(&mut self, parameters: &[(u16, u32)]) {
        self.answers = true;
        self.exchange(parameters).await;
    }

    /// Like [`handshake`](Self::handshake), but the client's SETTINGS are not acknowledged, nor is any SETTINGS or PING
    /// answered until [`answer`](Self::answer).
    pub(crate) async fn handshake_without_ack(&mut self, parameters: &[(u16, u32)]) {
        self.exchange(parameters).await;
    }

    async fn exchange(&mut self, parameters: &[(u16, u32)]) {
        self.preface().await;
        self.send(Frame::settings(parameters)).await;
        self.expect_settings().await;
        self.wait("SETTINGS ACK", |frame| {
            frame.kind == kind::SETTINGS && frame.has(flag::ACK)
        })
        .await;
    }

    /// Whether SETTINGS and PING read from now on are answered.
    pub(crate) fn answer(&mut self, answers: bool) {
        self.answers = answers;
    }

    // ----- writing -----

    /// Writes a frame.
    pub(crate) async fn send(&mut self, frame: Frame) {
        self.send_bytes(&frame.encode()).await;
    }

    /// Writes any bytes.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.try_send_bytes(bytes).await;
        sent.expect("the client takes the bytes");
    }

    /// Writes any bytes; for floods, which a client may answer by closing.
    pub(crate) async fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("room to write", self.io.write_all(bytes)).await
    }

    /// Writes bytes in pieces, each its own segment as far as the network stack keeps them apart.
    pub(crate) async fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size) {
            self.send_bytes(piece).await;
            tokio::task::yield_now().await;
        }
    }

    /// Sends response headers.
    pub(crate) async fn respond_headers(
        &mut self,
        stream: u32,
        status: u16,
        fields: &[(&str, &str)],
        end_stream: bool,
    ) {
        let block = hpack::response_block(status, fields);
        self.send(Frame::headers(stream, block, end_stream)).await;
    }

    /// Sends a whole response: headers, and DATA unless `body` is empty. It does not look at the client's windows.
    pub(crate) async fn respond(&mut self, stream: u32, status: u16, body: &[u8]) {
        self.respond_headers(stream, status, &[], body.is_empty())
            .await;
        if !body.is_empty() {
            self.send(Frame::data(stream, body, true)).await;
        }
    }

    /// Ends a stream with trailers.
    pub(crate) async fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = hpack::field_block(fields);
        self.send(Frame::headers(stream, block, true)).await;
    }

    // ----- reading -----

    /// The next frame, from the backlog or the wire; `None` at the end of the connection, be it orderly or a reset.
    pub(crate) async fn read(&mut self) -> Option<Frame> {
        match self.backlog.pop_front() {
            Some(frame) => Some(frame),
            None => self.receive().await,
        }
    }

    /// The first frame that `is_it` accepts.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        mut is_it: impl FnMut(&Frame) -> bool,
    ) -> Frame {
        if let Some(at) = self.backlog.iter().position(&mut is_it) {
            return self.backlog.remove(at).expect("the position is valid");
        }
        let search = async {
            loop {
                match self.receive().await {
                    Some(frame) if is_it(&frame) => return frame,
                    Some(frame) => self.backlog.push_back(frame),
                    None => panic!("{what}: connection ended; unused: {:?}", self.backlog),
                }
            }
        };
        within(what, search).await
    }

    /// The next request: its HEADERS to the end of the header block.
    pub(crate) async fn next_request(&mut self) -> Request {
        let headers = self.wait("a request", |frame| frame.kind == kind::HEADERS);
        let headers = headers.await;
        Request {
            stream: headers.stream,
            end_stream: headers.ends_stream(),
            fields: self.take_fields(&headers).await,
        }
    }

    /// Answers the next request with 200 and the whole `body`.
    pub(crate) async fn reply(&mut self, body: &[u8]) -> Request {
        let request = self.next_request().await;
        self.respond(request.stream, 200, body).await;
        request
    }

    /// Answers the next request with 200 and no more than the headers.
    pub(crate) async fn begin(&mut self) -> Request {
        let request = self.next_request().await;
        self.respond_headers(request.stream, 200, &[], false).await;
        request
    }

    /// The rest of a request: its DATA, for which the windows are given back, and its trailers if there are any.
    pub(crate) async fn body(&mut self, stream: u32) -> (Vec<u8>, Option<Fields>) {
        let mut body = Vec::new();
        loop {
            let frame = self.wait("DATA or trailers", |frame| {
                frame.stream == stream && matches!(frame.kind, kind::DATA | kind::HEADERS)
            });
            let frame = frame.await;
            if frame.kind == kind::HEADERS {
                return (body, Some(self.take_fields(&frame).await));
            }
            assert!(!frame.has(flag::PADDED), "padding is not expected");
            body.extend(&frame.payload);
            if let Ok(size @ 1..) = u32::try_from(frame.payload.len()) {
                self.send(Frame::window_update(0, size)).await;
                if !frame.ends_stream() {
                    self.send(Frame::window_update(stream, size)).await;
                }
            }
            if frame.ends_stream() {
                return (body, None);
            }
        }
    }

    /// The client's next SETTINGS that is not an acknowledgment.
    pub(crate) async fn expect_settings(&mut self) -> Frame {
        self.wait("SETTINGS", |frame| {
            frame.kind == kind::SETTINGS && !frame.has(flag::ACK)
        })
        .await
    }

    /// The code of the RST_STREAM of a stream.
    pub(crate) async fn expect_rst(&mut self, stream: u32) -> u32 {
        let frame = self.wait("RST_STREAM", |frame| {
            frame.kind == kind::RST_STREAM && frame.stream == stream
        });
        frame.await.number(0)
    }

    /// Last-stream-id and code of the client's GOAWAY.
    pub(crate) async fn expect_go_away(&mut self) -> (u32, u32) {
        let frame = self.wait("GOAWAY", |frame| frame.kind == kind::GOAWAY);
        let frame = frame.await;
        (frame.number(0), frame.number(4))
    }

    /// Reads until the connection ends, and returns all frames that no helper took.
    pub(crate) async fn expect_eof(&mut self) -> Vec<Frame> {
        let search = async {
            while let Some(frame) = self.receive().await {
                self.backlog.push_back(frame);
            }
        };
        within("the end of the connection", search).await;
        self.backlog.drain(..).collect()
    }

    /// All frames that the client wrote up to now and no helper took: it makes sure by two PINGs one after the other, the
    /// first of which the client may answer before what it has in its queues. Proves that something was *not* sent.
    pub(crate) async fn barrier(&mut self) -> Vec<Frame> {
        self.ping().await;
        self.ping().await;
        self.backlog.drain(..).collect()
    }

    /// Makes sure that the client has read what was sent.
    pub(crate) async fn ping(&mut self) {
        let opaque = *b"read it?";
        self.send(Frame::ping(opaque, false)).await;
        self.wait("PING ACK", |frame| {
            frame.kind == kind::PING && frame.has(flag::ACK) && frame.payload == opaque
        })
        .await;
    }

    // ----- ending -----

    /// Ends the peer's side, in an orderly way; reading goes on.
    pub(crate) async fn shutdown(&mut self) {
        let done = within("the write side's end", self.io.shutdown()).await;
        done.expect("a connected socket");
    }

    /// Closes the socket with a TCP reset.
    pub(crate) fn abort(self) {
        self.io.set_zero_linger().expect("a TCP option");
    }

    // ----- details -----

    /// The next frame from the wire.
    async fn receive(&mut self) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = Frame::decode(&mut self.unread) {
                break frame;
            }
            match within("bytes of a frame", self.io.read_buf(&mut self.unread)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        };
        self.follow_block(&frame);
        if self.answers && !frame.has(flag::ACK) {
            let answer = match frame.kind {
                kind::SETTINGS => Some(Frame::settings_ack()),
                kind::PING => frame.payload[..]
                    .try_into()
                    .ok()
                    .map(|it| Frame::ping(it, true)),
                _ => None,
            };
            if let Some(answer) = answer {
                // The client may have closed meanwhile; then the next read tells.
                let _ = self.try_send_bytes(&answer.encode()).await;
            }
        }
        Some(frame)
    }

    /// Decodes header blocks in the order in which they arrive, as the compression state demands.
    fn follow_block(&mut self, frame: &Frame) {
        match frame.kind {
            kind::HEADERS => {
                assert!(
                    !frame.has(flag::PADDED | flag::PRIORITY),
                    "padding and priority are not expected"
                );
                self.block = Some((frame.stream, frame.payload.clone()));
            }
            kind::CONTINUATION => {
                let (stream, block) = self.block.as_mut().expect("an open header block");
                assert_eq!(*stream, frame.stream);
                block.extend(&frame.payload);
            }
            _ => return,
        }
        if frame.has(flag::END_HEADERS)
            && let Some((stream, block)) = self.block.take()
        {
            let fields = self.decoder.decode(&block);
            self.fields.push_back((stream, fields));
        }
    }

    /// The fields that belong to a HEADERS frame, once its CONTINUATIONs are in.
    async fn take_fields(&mut self, headers: &Frame) -> Fields {
        let stream = headers.stream;
        if !headers.has(flag::END_HEADERS) {
            self.wait("the end of the header block", |frame| {
                frame.kind == kind::CONTINUATION
                    && frame.stream == stream
                    && frame.has(flag::END_HEADERS)
            })
            .await;
            self.backlog
                .retain(|frame| (frame.kind, frame.stream) != (kind::CONTINUATION, stream));
        }
        let mut found = self.fields.iter();
        let at = found.position(|&(of, _)| of == stream);
        let at = at.expect("HEADERS were decoded as they arrived");
        self.fields.remove(at).expect("the position is valid").1
    }
}
