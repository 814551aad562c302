//! Running the binary, and servers that misbehave on purpose.

pub(crate) mod tls;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

/// One run of the binary.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(args: &[&str]) -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_completion-load"))
            .args(args)
            .output()
            .expect("the binary runs");
        Self::from(output)
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
/// `:status: 200` of HPACK's static table.
const STATUS_200: [u8; 1] = [0x88];

/// Starts a server of that manner; its URL.
pub(crate) fn server(manner: Manner) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || serve(socket, manner));
        }
    });
    format!("http://{address}/")
}

fn serve(mut socket: TcpStream, manner: Manner) -> io::Result<()> {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface)?;
    match manner {
        Manner::Silent => {
            return io::copy(&mut socket, &mut io::sink()).map(drop);
        }
        Manner::Http1 => {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
            return finish(socket);
        }
        _ => frame(&mut socket, SETTINGS, 0, 0, &[])?,
    }
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        io::copy(&mut (&mut socket).take(length.into()), &mut io::sink())?;
        let (kind, flags) = (head[3], head[4]);
        if kind == SETTINGS && flags & ACK == 0 && !matches!(manner, Manner::NeverAcknowledge) {
            frame(&mut socket, SETTINGS, ACK, 0, &[])?;
        }
        if kind != HEADERS {
            continue;
        }
        match manner {
            Manner::Silent | Manner::Http1 => unreachable!("served above"),
            Manner::Close => return Ok(()),
            Manner::Reset(code) => frame(&mut socket, RST_STREAM, 0, stream, &code.to_be_bytes())?,
            Manner::GoAway(last, code) => {
                let mut payload = last.to_be_bytes().to_vec();
                payload.extend(code.to_be_bytes());
                frame(&mut socket, GOAWAY, 0, 0, &payload)?;
                return finish(socket);
            }
            Manner::CutBody => {
                frame(&mut socket, HEADERS, END_HEADERS, stream, &STATUS_200)?;
                frame(&mut socket, DATA, 0, stream, b"half a bo")?;
                return finish(socket);
            }
            Manner::NeverAcknowledge => {
                frame(
                    &mut socket,
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &STATUS_200,
                )?;
            }
        }
    }
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
