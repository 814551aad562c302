//! An RPC client whose request ids are assigned by the map of its pending requests.
//!
//! Each call inserts itself, and sends the id that it gets. One thread reads the replies, in whatever order
//! the server sends them, and completes each by the id that it bears: no table leads from ids to callers.
//! Do so where one connection serves many callers, and the protocol has room for an id of 64 bits that
//! the client chooses. Where it has not, a `KeyedPendingMap` takes numbers of 16 or 32.
//!
//! A caller that gives up drops its future, and that is all. The reply that still comes bears a stale id: it
//! comes back to the reader, and reaches nobody else. A connection that is lost fails whoever waits.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use completion_core::{CompletionError, InsertError, PendingMap, Policy};
use futures_lite::future;

/// A request or a reply: one line, the id first.
fn parse(line: &str) -> Option<(u64, &str)> {
    let (id, body) = line.split_once(' ')?;
    Some((id.parse().ok()?, body))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum CallError {
    Overloaded,
    Disconnected,
}

struct Client {
    requests: PendingMap<String, CallError>,
    socket: Mutex<TcpStream>,
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        Self {
            requests: PendingMap::new(16, Policy::revoke_now()),
            socket: Mutex::new(socket),
        }
    }

    fn socket(&self) -> MutexGuard<'_, TcpStream> {
        self.socket.lock().expect("nothing panics under it")
    }

    async fn call(&self, body: &str) -> Result<String, CallError> {
        // First inserted, then sent: the reply may be faster than the return of the call that sends.
        let (id, pending) = self.requests.insert().map_err(|error| match error {
            InsertError::Closed => CallError::Disconnected,
            _ => CallError::Overloaded,
        })?;
        writeln!(self.socket(), "{} {body}", id.to_bits()).map_err(|_| CallError::Disconnected)?;
        pending.await.map_err(|error| match error {
            CompletionError::Failed(error) => error,
            CompletionError::Cancelled | CompletionError::Abandoned => CallError::Disconnected,
        })
    }

    /// Hands each reply to its caller, until the connection ends; then fails whoever still waits.
    fn read_replies(&self, socket: TcpStream) {
        let mut lines = BufReader::new(socket).lines();
        while let Some(Ok(line)) = lines.next() {
            let Some((id, body)) = parse(&line) else {
                break;
            };
            println!("reply {body}");
            if let Err(late) = self.requests.complete_raw(id, Ok(body.to_string())) {
                println!("  is late: {late}");
            }
        }
        self.requests.fail_all(|| CallError::Disconnected);
    }
}

/// Collects three requests at a time and answers them in capitals, the last one first.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let (socket, _) = listener.accept()?;
    let mut replies = socket.try_clone()?;
    let mut batch = Vec::new();
    for request in BufReader::new(socket).lines() {
        batch.push(request?);
        if batch.len() == 3 {
            for request in batch.drain(..).rev() {
                writeln!(replies, "{}", request.to_uppercase())?;
            }
        }
    }
    Ok(())
}

fn use_client(client: &Client) {
    let (one, (two, three)) = future::block_on(future::zip(
        client.call("one"),
        future::zip(client.call("two"), client.call("three")),
    ));
    assert_eq!(one.as_deref(), Ok("ONE"));
    assert_eq!(two.as_deref(), Ok("TWO"));
    assert_eq!(three.as_deref(), Ok("THREE"));

    // Sent and given up. Its reply comes after those to the two that follow.
    let given_up = future::block_on(future::poll_once(client.call("four")));
    assert_eq!(given_up, None);
    let (five, six) = future::block_on(future::zip(client.call("five"), client.call("six")));
    assert_eq!(five.as_deref(), Ok("FIVE"));
    assert_eq!(six.as_deref(), Ok("SIX"));

    // The server waits for two more requests, and sees the end of the connection instead.
    let hang_up = async { client.socket().shutdown(Shutdown::Write) };
    let (seven, hung_up) = future::block_on(future::zip(client.call("seven"), hang_up));
    hung_up.expect("the connection is still open");
    assert_eq!(seven, Err(CallError::Disconnected));
    let eight = future::block_on(client.call("eight"));
    assert_eq!(eight, Err(CallError::Disconnected));
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let client = Client::new(socket.try_clone()?);

    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener));
        scope.spawn(|| client.read_replies(socket));
        use_client(&client);
        server.join().expect("the server does not panic")
    })?;

    let stats = client.requests.stats();
    println!("{stats:?}");
    assert_eq!((client.requests.len(), stats.stale), (0, 1));
    Ok(())
}
