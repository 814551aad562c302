//! Requests over a wire that carries only numbers, each racing a deadline.
//!
//! The caller rents a round, turns its completer into a token, and sends the token's number as the
//! request id. The reply comes back with the id; so does the deadline. Whichever is first ends the
//! round, the other is refused, and an id of a round that is over harms nobody.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use completion_core::{CompletionError, Pool, Rejection, Status, Token};
use futures_lite::future;

/// A frame of the wire: request id and body.
type Frame = (u64, String);
type Replies = Pool<String, &'static str>;

/// The far side. It answers in capitals, except to `slow`, which it answers only after everything else.
fn server(requests: Receiver<Frame>, replies: Sender<Frame>) {
    let mut postponed = Vec::new();
    for (id, body) in requests {
        let reply = (id, body.to_uppercase());
        if body == "slow" {
            postponed.push(reply);
        } else if replies.send(reply).is_err() {
            return;
        }
    }
    for reply in postponed {
        if replies.send(reply).is_err() {
            return;
        }
    }
}

/// The near side of the wire: it knows ids, and no caller.
fn reader(pool: &Replies, replies: Receiver<Frame>) {
    for (id, body) in replies {
        match pool.complete(Token::from_bits(id), body) {
            Ok(()) => {}
            Err(rejected) => {
                let reason = rejected.reason();
                println!("late reply {:?}: {reason}", rejected.into_payload());
            }
        }
    }
}

/// One request; the body comes back in capitals, or the deadline passes.
async fn request(
    pool: &Replies,
    wire: &Sender<Frame>,
    body: &str,
    deadline: impl FnOnce(&Replies, Token),
) -> Result<String, CompletionError<&'static str>> {
    let (completer, completion) = pool.rent();
    // A pool that is exhausted still serves, but has no token to send: here that is an error.
    let token = completer
        .into_token()
        .map_err(|_exhausted| CompletionError::Failed("too many requests"))?;
    wire.send((token.to_bits(), body.to_string()))
        .map_err(|_closed| CompletionError::Failed("the wire is closed"))?;
    deadline(pool, token);
    completion.await
}

fn main() {
    let pool = Replies::with_capacity(8);
    let (wire, requests) = channel();
    let (replies_in, replies_out) = channel();

    let far = thread::spawn(move || server(requests, replies_in));
    let near = thread::spawn({
        let pool = pool.clone();
        move || reader(&pool, replies_out)
    });

    let no_deadline = |_: &Replies, _: Token| {};
    let (one, two) = future::block_on(future::zip(
        request(&pool, &wire, "one", no_deadline),
        request(&pool, &wire, "two", no_deadline),
    ));
    println!("{one:?} {two:?}");
    assert_eq!((one.as_deref(), two.as_deref()), (Ok("ONE"), Ok("TWO")));

    // A deadline that passes first, as a timer's callback would tell.
    let passes = |pool: &Replies, token: Token| {
        let pool = pool.clone();
        thread::spawn(move || {
            let timed_out = pool.fail(token, "deadline passed");
            assert!(timed_out.is_ok(), "the server postpones this reply");
        });
    };
    let slow = future::block_on(request(&pool, &wire, "slow", passes));
    println!("{slow:?}");
    assert_eq!(slow, Err(CompletionError::Failed("deadline passed")));

    // A deadline that passes too late gets its error back.
    let (completer, completion) = pool.rent();
    let token = completer.into_token().expect("the pool is all but empty");
    wire.send((token.to_bits(), "three".to_string()))
        .expect("the server listens");
    assert_eq!(future::block_on(completion).as_deref(), Ok("THREE"));
    let too_late = pool.fail(token, "deadline passed").unwrap_err();
    assert_eq!(too_late.reason(), Rejection::Stale);
    assert_eq!(pool.status(token), Status::Stale);

    // Hang up; the postponed reply now arrives, for a round long over.
    drop(wire);
    far.join().expect("the server does not panic");
    near.join().expect("the reader does not panic");
    let stats = pool.stats();
    println!("{stats:?}");
    assert_eq!((stats.in_use, stats.stale), (0, 2));
}
