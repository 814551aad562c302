//! Running the binary, and servers that misbehave on purpose.

pub(crate) mod tls;

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How long a run may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run of the binary.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(args: &[&str]) -> Self {
        Self::meanwhile(args, |_| {})
    }

    /// Runs the binary, and does something with its process number meanwhile.
    pub(crate) fn meanwhile(args: &[&str], act: impl FnOnce(u32)) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_completion-load"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let id = child.id();
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || tell.send(child.wait_with_output()));
        // Unless it ends by itself.
        let stop = Stop(id);
        act(id);
        match ended.recv_timeout(PATIENCE) {
            Ok(output) => {
                mem::forget(stop);
                Self::from(output.expect("its output can be read"))
            }
            Err(_) => panic!("{args:?} hangs"),
        }
    }

    /// The object on stdout, which is all there is on stdout, with the invariant of each run checked.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", self.stdout, self.stderr));
        assert_eq!(self.stdout.lines().count(), 1, "exactly one line");
        match value.get("runs") {
            Some(runs) => runs.as_array().expect("a list").iter().for_each(check),
            None => check(&value),
        }
        value
    }
}

/// Ends a process when it is dropped.
struct Stop(u32);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.to_string()).status();
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// Each request ended in exactly one way, and nothing is left in the pool.
fn check(run: &Value) {
    let failed = run["failed"].as_object().expect("an object");
    let failed: u64 = failed.values().map(count).sum();
    let ended = count(&run["succeeded"]) + count(&run["cancelled"]) + failed;
    assert_eq!(count(&run["requests"]), ended, "{run}");
    if let Some(pool) = run["pool"].as_object() {
        assert_eq!(count(&pool["in_use"]), 0, "{run}");
        assert_eq!(pool["rented"], pool["returned"], "{run}");
    }
}

pub(crate) fn count(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

/// What the misbehaving server does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Accepts and says nothing.
    Silent,
    /// Accepts, and does not even read.
    Deaf,
    /// Speaks HTTP/1.
    Http1,
    /// Sends SETTINGS, and closes at the first request.
    Close,
    /// Answers each request with RST_STREAM.
    Reset(u32),
    /// Answers the first request with GOAWAY (last stream, code), and closes.
    GoAway(u32, u32),
    /// Answers with a head and a part of the body, and closes.
    CutBody,
    /// Answers with a head and a part of the body, and resets the stream.
    ResetBody(u32),
    /// Answers with a head and a part of the body, and no more.
    StallBody,
    /// Answers GET with 200, POST with 304 and everything else with 404.
    ByMethod,
    /// Says GOAWAY with each tenth request of a connection, and answers it.
    Retire,
    /// Answers each request, but never acknowledges SETTINGS.
    NeverAcknowledge,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
// Of HPACK's static table.
const METHOD_GET: u8 = 0x82;
const METHOD_POST: u8 = 0x83;
const STATUS_200: [u8; 1] = [0x88];
const STATUS_304: [u8; 1] = [0x8b];
const STATUS_404: [u8; 1] = [0x8d];

/// Starts a server of that manner; its URL.
pub(crate) fn server(manner: Manner) -> String {
    telling_server(manner).0
}

/// Starts a server of that manner; its URL, and what tells of each connection and each request.
pub(crate) fn telling_server(manner: Manner) -> (String, Receiver<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || serve(socket, manner, &tell));
        }
    });
    (format!("http://{address}/"), told)
}

fn serve(mut socket: TcpStream, manner: Manner, tell: &Sender<()>) -> io::Result<()> {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface)?;
    // Not every test listens.
    let _ = tell.send(());
    match manner {
        Manner::Silent => {
            return io::copy(&mut socket, &mut io::sink()).map(drop);
        }
        Manner::Deaf => loop {
            thread::park();
        },
        Manner::Http1 => {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
            return finish(socket);
        }
        _ => frame(&mut socket, SETTINGS, 0, 0, &[])?,
    }
    let mut requests = 0;
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = Vec::new();
        (&mut socket)
            .take(length.into())
            .read_to_end(&mut payload)?;
        let (kind, flags) = (head[3], head[4]);
        if kind == SETTINGS && flags & ACK == 0 && !matches!(manner, Manner::NeverAcknowledge) {
            frame(&mut socket, SETTINGS, ACK, 0, &[])?;
        }
        if kind != HEADERS {
            continue;
        }
        let _ = tell.send(());
        requests += 1;
        let mut headers = |flags: u8, block: &[u8]| {
            frame(&mut socket, HEADERS, END_HEADERS | flags, stream, block)
        };
        match manner {
            Manner::Silent | Manner::Deaf | Manner::Http1 => unreachable!("served above"),
            Manner::Close => return Ok(()),
            Manner::Reset(code) => frame(&mut socket, RST_STREAM, 0, stream, &code.to_be_bytes())?,
            Manner::GoAway(last, code) => {
                go_away(&mut socket, last, code)?;
                return finish(socket);
            }
            Manner::CutBody | Manner::ResetBody(_) | Manner::StallBody => {
                headers(0, &STATUS_200)?;
                frame(&mut socket, DATA, 0, stream, b"half a bo")?;
                match manner {
                    Manner::CutBody => return finish(socket),
                    Manner::ResetBody(code) => {
                        frame(&mut socket, RST_STREAM, 0, stream, &code.to_be_bytes())?;
                    }
                    _ => {}
                }
            }
            Manner::ByMethod => {
                let status = match payload.first() {
                    Some(&METHOD_GET) => STATUS_200,
                    Some(&METHOD_POST) => STATUS_304,
                    _ => STATUS_404,
                };
                headers(END_STREAM, &status)?;
            }
            Manner::Retire => {
                if requests == 10 {
                    go_away(&mut socket, stream, 0)?;
                }
                frame(
                    &mut socket,
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &STATUS_200,
                )?;
            }
            Manner::NeverAcknowledge => headers(END_STREAM, &STATUS_200)?,
        }
    }
}

fn go_away(socket: &mut TcpStream, last: u32, code: u32) -> io::Result<()> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(socket, GOAWAY, 0, 0, &payload)
}

/// Ends the own side and reads the peer's to its end: closing on unread bytes would reset the connection, and the peer might
/// never see the last frames.
fn finish(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown(std::net::Shutdown::Write)?;
    io::copy(&mut socket, &mut io::sink()).map(drop)
}

fn frame(
    socket: &mut TcpStream,
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .map_err(io::Error::other)?
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    socket.write_all(&bytes)
}
