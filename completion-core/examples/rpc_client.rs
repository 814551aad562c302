//! An RPC client whose request ids are the tokens of its rounds.
//!
//! Each call rents a round and sends its token's number as the request's id. One thread reads the replies,
//! in whatever order the server sends them, and completes each by the id that it bears: no table leads
//! from ids to callers. Do so where one connection serves many callers, and the protocol has room for
//! an id of 64 bits that the client chooses.
//!
//! A caller that gives up drops its future. The reply that still comes bears a stale id: it comes back to
//! the reader, and reaches nobody else. The ids under way are remembered for one purpose: to fail them
//! when the connection is lost.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use completion_core::{CompletionError, Pool, Token};
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
    replies: Pool<String, CallError>,
    connection: Mutex<Connection>,
}

struct Connection {
    socket: TcpStream,
    /// The ids of requests whose callers wait; none any more once the connection is lost.
    under_way: Option<HashSet<u64>>,
}

impl Client {
    fn new(socket: TcpStream) -> Self {
        Self {
            replies: Pool::with_capacity(16),
            connection: Mutex::new(Connection {
                socket,
                under_way: Some(HashSet::new()),
            }),
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("nothing panics under it")
    }

    async fn call(&self, body: &str) -> Result<String, CompletionError<CallError>> {
        let (completer, completion) = self
            .replies
            .try_rent()
            .map_err(|_exhausted| CompletionError::Failed(CallError::Overloaded))?;
        let token = completer.into_token().expect("no overflow, so it has one");
        let _until_dropped = self.send(token.to_bits(), body)?;
        completion.await
    }

    fn send(&self, id: u64, body: &str) -> Result<UnderWay<'_>, CompletionError<CallError>> {
        let disconnected = CompletionError::Failed(CallError::Disconnected);
        let mut connection = self.connection();
        // First remembered, then sent: a connection that is lost in between fails this one too.
        let under_way = connection.under_way.as_mut().ok_or(disconnected)?;
        under_way.insert(id);
        let sent = writeln!(connection.socket, "{id} {body}");
        drop(connection);

        let under_way = UnderWay { client: self, id };
        sent.map(|()| under_way).map_err(|_| disconnected)
    }

    /// Hands each reply to its caller, until the connection ends; then fails whoever still waits.
    fn read_replies(&self, socket: TcpStream) {
        let mut lines = BufReader::new(socket).lines();
        while let Some(Ok(line)) = lines.next() {
            let Some((id, body)) = parse(&line) else {
                break;
            };
            println!("reply {body}");
            let told = self
                .replies
                .complete(Token::from_bits(id), body.to_string());
            if let Err(late) = told {
                println!("  is late: {late}");
            }
        }
        let under_way = self.connection().under_way.take();
        for id in under_way.into_iter().flatten() {
            // Refused only where the caller is leaving anyway.
            let _ = self
                .replies
                .fail(Token::from_bits(id), CallError::Disconnected);
        }
    }
}

/// Forgets the id when the call ends, however it ends.
struct UnderWay<'a> {
    client: &'a Client,
    id: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(under_way) = &mut self.client.connection().under_way {
            under_way.remove(&self.id);
        }
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
    let hang_up = async { client.connection().socket.shutdown(Shutdown::Write) };
    let (seven, hung_up) = future::block_on(future::zip(client.call("seven"), hang_up));
    hung_up.expect("the connection is still open");
    let disconnected = Err(CompletionError::Failed(CallError::Disconnected));
    assert_eq!(seven, disconnected);
    assert_eq!(future::block_on(client.call("eight")), disconnected);
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

    let stats = client.replies.stats();
    println!("{stats:?}");
    assert_eq!((stats.in_use, stats.stale), (0, 1));
    Ok(())
}
