//! A pool as a client uses it: callers rent, wait and give up; workers answer, by completer or by
//! token, at times twice; perhaps somebody closes. Every request has a nonce, which its reply must bear.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use crate::{Completer, Completion, CompletionError, Pool, RentError, Token};

const CALLERS: u32 = 3;
const WORKERS: usize = 2;
const REQUESTS: u32 = 6;
/// What the closing fails rounds with.
const CAUSE: u32 = u32::MAX;

type Payload = Arc<u32>;
type Replies = Pool<Payload, Payload>;
type Reply = Result<Payload, CompletionError<Payload>>;

enum Way {
    Completer(Completer<'static, Payload, Payload>),
    Token(Token),
}

struct Request {
    nonce: Payload,
    way: Way,
}

fn is_one_in(n: u32) -> bool {
    thread_rng().gen_range(0..n) == 0
}

fn poll(completion: &mut Completion<'static, Payload, Payload>) -> Poll<Reply> {
    // A waker of its own each time, so that generations are used up.
    let waker = Waker::from(Arc::new(Silent));
    Pin::new(completion).poll(&mut Context::from_waker(&waker))
}

/// Asserts that it is the reply to the request of this number.
fn check(reply: Reply, number: u32) {
    match reply {
        Ok(reply) => assert_eq!(*reply, number, "the reply to another request"),
        Err(CompletionError::Failed(error)) => assert!([number, CAUSE].contains(&*error)),
        Err(CompletionError::Cancelled | CompletionError::Abandoned) => {}
    }
}

struct Silent;

impl std::task::Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

/// Makes its requests and waits for most of the replies.
fn call(pool: &Replies, workers: &[Sender<Request>], caller: u32) {
    for request in 0..REQUESTS {
        let (completer, mut completion) = match block_on(pool.rent_async()) {
            Ok(round) => round,
            Err(reason) => return assert_eq!(reason, RentError::Closed),
        };
        let number = caller * REQUESTS + request;
        let way = match thread_rng().gen_range(0..3) {
            0 => Way::Token(completer.into_token().unwrap()),
            1 => Way::Token(completer.into_held_token().unwrap()),
            _ => Way::Completer(completer),
        };
        let nonce = Arc::new(number);
        let worker = &workers[thread_rng().gen_range(0..workers.len())];
        worker.send(Request { nonce, way }).unwrap();
        for _ in 0..thread_rng().gen_range(0..5) {
            if let Poll::Ready(reply) = poll(&mut completion) {
                check(reply, number);
                break;
            }
        }
        if completion.is_terminated() || is_one_in(4) {
            continue;
        }
        if is_one_in(4) {
            completion.close();
        }
        check(block_on(completion), number);
    }
}

/// Answers whatever comes.
fn work(pool: &Replies, requests: &Receiver<Request>) {
    let mut old = None;
    while let Ok(Request { nonce, way }) = requests.recv() {
        match way {
            Way::Completer(mut completer) => {
                if is_one_in(2) {
                    let _ = completer.poll_closed(&mut Context::from_waker(Waker::noop()));
                }
                match thread_rng().gen_range(0..4) {
                    0 => drop(completer.complete(nonce)),
                    1 => drop(completer.fail(nonce)),
                    2 => completer.cancel().unwrap_or(()),
                    _ => drop(completer),
                }
            }
            Way::Token(token) => {
                let _answered = pool.complete(token, nonce.clone());
                assert!(
                    pool.fail(token, nonce).is_err(),
                    "two answers to one request"
                );
                // It may name no round of today.
                if let Some(old) = old.replace(token) {
                    assert!(
                        pool.cancel(old).is_err(),
                        "a token of long ago has an effect"
                    );
                }
            }
        }
    }
}

/// All of it once.
fn connection(capacity: u16, closes: bool) {
    let pool = Arc::new(Replies::with_capacity(capacity));
    let cause = Arc::new(CAUSE);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| channel()).unzip();
    let workers = receivers.into_iter().map(|requests| {
        let pool = pool.clone();
        thread::spawn(move || work(&pool, &requests))
    });
    let mut threads: Vec<_> = workers.collect();
    for caller in 0..CALLERS {
        let (pool, senders) = (pool.clone(), senders.clone());
        threads.push(thread::spawn(move || call(&pool, &senders, caller)));
    }
    drop(senders);
    if closes {
        let (pool, cause) = (pool.clone(), cause.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..thread_rng().gen_range(0..20) {
                thread::yield_now();
            }
            assert!(pool.close(cause));
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    pool.assert_quiescent();
    let stats = pool.stats();
    assert_eq!(stats.rented, stats.returned);
    if !closes {
        assert_eq!(stats.rented, u64::from(CALLERS * REQUESTS));
    }
    drop(pool);
    assert_eq!(Arc::strong_count(&cause), 1, "the cause is not freed");
}

const SCHEDULES: usize = 400;

#[test]
fn random() {
    shuttle::check_random(|| connection(2, false), SCHEDULES);
}

#[test]
fn random_with_waiting() {
    shuttle::check_random(|| connection(1, false), SCHEDULES);
}

#[test]
fn random_with_closing() {
    shuttle::check_random(|| connection(2, true), SCHEDULES);
}

#[test]
fn few_changes() {
    shuttle::check_pct(|| connection(2, false), SCHEDULES, 3);
}

#[test]
fn few_changes_with_closing() {
    shuttle::check_pct(|| connection(1, true), SCHEDULES, 3);
}
