//! Many rounds on many threads: whatever races, no reply reaches another caller, and all comes home.
//!
//! redis-rs#698, OpenLogi#1286, scylla-rust-driver#304: replies that went to the wrong caller.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use completion_core::{
    BeginError, Completer, CompletionError, CompletionSource, Pool, Rejection, Token,
};

use crate::support::{Ledger, Payload, Probe, poll, scaled, widths};

/// A small generator; which numbers it gives does not matter, only that they vary.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % sides
    }
}

/// What goes over the wire: the round by token, or its completer where the pool was exhausted.
enum Request {
    Shared(Token, u64),
    Unique(Completer<'static, Payload, Payload>, u64),
}

const CALLERS: u64 = 2;
const CAPACITY: u16 = 16;

/// Replies, now or later, twice or by a failure; keeps old tokens and tries them again.
fn serve(
    pool: &Pool<Payload, Payload>,
    requests: &Mutex<Receiver<Request>>,
    ledger: &Ledger,
    seed: u64,
) {
    let mut dice = Dice(seed);
    let mut late = VecDeque::new();
    loop {
        let request = requests.lock().unwrap().recv();
        let Ok(request) = request else { break };
        match request {
            Request::Unique(completer, nonce) => match dice.roll(4) {
                0 => drop(completer),
                1 => drop(completer.fail(ledger.payload(nonce))),
                _ => drop(completer.complete(ledger.payload(nonce))),
            },
            Request::Shared(token, nonce) => {
                if dice.roll(8) == 0 {
                    thread::yield_now();
                }
                reply(pool, token, nonce, ledger, &mut dice);
                late.push_back((token, nonce));
                if late.len() > 8 {
                    let (token, nonce) = late.pop_front().unwrap();
                    reply(pool, token, nonce, ledger, &mut dice);
                }
            }
        }
    }
}

fn reply(
    pool: &Pool<Payload, Payload>,
    token: Token,
    nonce: u64,
    ledger: &Ledger,
    dice: &mut Dice,
) {
    let rejected = match dice.roll(8) {
        0 => pool.cancel(token).err().map(|rejected| rejected.reason()),
        1 => pool
            .fail(token, ledger.payload(nonce))
            .err()
            .map(|rejected| {
                let reason = rejected.reason();
                assert_eq!(rejected.into_payload().tag(), nonce);
                reason
            }),
        _ => pool
            .complete(token, ledger.payload(nonce))
            .err()
            .map(|rejected| {
                let reason = rejected.reason();
                assert_eq!(rejected.into_payload().tag(), nonce);
                reason
            }),
    };
    if let Some(reason) = rejected {
        assert!(matches!(
            reason,
            Rejection::Lost | Rejection::Stale | Rejection::Closed
        ));
    }
}

/// Rounds with every way to stop waiting; each outcome must carry the caller's own nonce.
fn call(
    pool: &Pool<Payload, Payload>,
    server: &Sender<Request>,
    ledger: &Ledger,
    caller: u64,
    rounds: u64,
) {
    let mut dice = Dice(caller + 1);
    for round in 0..rounds {
        let nonce = caller << 32 | round;
        let (completer, mut completion) = pool.rent();
        let shared = if dice.roll(4) == 0 {
            Err(completer)
        } else {
            completer
                .into_token()
                .map_err(|refused| refused.into_completer())
        };
        let (token, request) = match shared {
            Ok(token) => (Some(token), Request::Shared(token, nonce)),
            Err(completer) => (None, Request::Unique(completer, nonce)),
        };
        server.send(request).unwrap();

        let outcome = match dice.roll(8) {
            // Dropped at once, after a poll, or after two with different wakers.
            0 => continue,
            1 => {
                let _ = poll(&mut completion, &Probe::new().waker());
                continue;
            }
            2 => {
                if poll(&mut completion, &Probe::new().waker()).is_pending() {
                    let _ = poll(&mut completion, &Probe::new().waker());
                }
                continue;
            }
            // A timeout that races the reply.
            3 if token.is_some() => {
                let timeout = pool.fail(token.unwrap(), ledger.payload(u64::MAX));
                let timed_out = timeout.is_ok();
                drop(timeout);
                let outcome = completion.try_take();
                if timed_out {
                    let failure = outcome.unwrap().err().unwrap().into_failure();
                    assert_eq!(failure.unwrap().tag(), u64::MAX);
                    continue;
                }
                // Lost against a reply, which may still be on its way.
                match outcome {
                    Some(outcome) => outcome,
                    None => completion.wait(),
                }
            }
            4 => completion.wait(),
            _ => futures_lite::future::block_on(completion),
        };
        match outcome {
            Ok(payload) | Err(CompletionError::Failed(payload)) => {
                assert_eq!(payload.tag(), nonce, "the reply of another caller");
            }
            Err(CompletionError::Cancelled) => assert!(token.is_some()),
            Err(CompletionError::Abandoned) => assert!(token.is_none()),
        }
    }
}

#[test]
fn no_reply_reaches_another_caller() {
    let ledger = Ledger::new();
    let wanted = scaled(60_000, 150) as u64;
    // A narrow build wears a pool out, into overflow and beyond; so there it takes many pools.
    let per_pool = 2 * widths::token_rounds(wanted, CAPACITY.into());
    for generation in 0..wanted.div_ceil(per_pool / 2) {
        let pool = Pool::<Payload, Payload>::with_capacity(CAPACITY);
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            let requests = Arc::new(Mutex::new(receiver));
            for server in 0..2 {
                let (pool, ledger, requests) = (pool.clone(), ledger.clone(), requests.clone());
                let seed = 1 + 2 * generation + server;
                scope.spawn(move || serve(&pool, &requests, &ledger, seed));
            }
            for caller in 0..CALLERS {
                let (pool, ledger, sender) = (pool.clone(), ledger.clone(), sender.clone());
                scope.spawn(move || call(&pool, &sender, &ledger, caller, per_pool / CALLERS));
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.returned), (0, stats.rented));
        assert_eq!(stats.rented + stats.overflowed, per_pool);
        assert_eq!(ledger.live(), 0);
    }
}

#[test]
fn many_tokens_of_one_round_have_one_winner() {
    const HOLDERS: u64 = 3;
    let ledger = Ledger::new();
    let pool = Pool::<Payload, Payload>::with_capacity(4);
    let won = AtomicU64::new(0);
    let rounds = widths::token_rounds(scaled(500, 10) as u64, 4);
    for round in 0..rounds {
        let (completer, completion) = pool.rent();
        let token = completer.into_token().unwrap();
        let outcome = thread::scope(|scope| {
            for holder in 0..HOLDERS {
                let (pool, won, payload) = (&pool, &won, ledger.payload(holder));
                scope.spawn(move || {
                    let rejected = if holder == 0 {
                        pool.cancel(token).err().map(|rejected| rejected.reason())
                    } else {
                        pool.complete(token, payload).err().map(|rejected| {
                            let reason = rejected.reason();
                            assert_eq!(rejected.into_payload().tag(), holder);
                            reason
                        })
                    };
                    match rejected {
                        None => {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(reason) => assert_ne!(reason, Rejection::Closed),
                    }
                });
            }
            completion.wait()
        });
        match outcome {
            Ok(payload) => assert_ne!(payload.tag(), 0),
            Err(reason) => assert!(matches!(reason, CompletionError::Cancelled)),
        }
        assert_eq!(won.load(Ordering::Relaxed), round + 1);
    }
    assert_eq!(ledger.live(), 0);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn threads_that_begin_on_one_source_take_turns() {
    static SOURCE: CompletionSource<u64, ()> = CompletionSource::new();
    let rounds = scaled(2_000, 20) as u64;
    thread::scope(|scope| {
        for thread in 0..3 {
            scope.spawn(move || {
                for round in 0..rounds {
                    let nonce = thread << 32 | round;
                    let (completer, mut completion) = loop {
                        match SOURCE.begin() {
                            Ok(round) => break round,
                            Err(refused) => assert_eq!(refused, BeginError::Lent),
                        }
                        thread::yield_now();
                    };
                    if round % 2 == 0 {
                        let probe = Probe::new();
                        assert!(poll(&mut completion, &probe.waker()).is_pending());
                    }
                    completer.complete(nonce).unwrap();
                    assert_eq!(completion.try_take(), Some(Ok(nonce)));
                }
            });
        }
    });
    assert!(SOURCE.begin().is_ok());
}

#[test]
fn the_last_handle_frees_the_pool_from_any_thread() {
    let ledger = Ledger::new();
    for turn in 0..scaled(300, 10) {
        let pool = Pool::<Payload, Payload>::with_capacity(9);
        thread::scope(|scope| {
            for thread in 0..3 {
                let (completer, completion) = pool.rent();
                let twin = pool.clone();
                let payload = ledger.payload(thread);
                scope.spawn(move || drop(completer.complete(payload)));
                if (turn as u64 + thread).is_multiple_of(2) {
                    scope.spawn(move || drop((twin, completion)));
                } else {
                    scope.spawn(move || drop((completion, twin)));
                }
            }
            drop(pool);
        });
        assert_eq!(ledger.live(), 0);
    }
}

/// While the last to leave has yet to release, nobody is present, and nobody may begin either.
#[test]
fn nobody_begins_before_the_last_has_released() {
    let source = CompletionSource::<u64, ()>::new();
    let rounds = scaled(60_000, 200);
    thread::scope(|scope| {
        let (send, completers) = std::sync::mpsc::sync_channel::<Completer<'_, u64, ()>>(64);
        scope.spawn(move || {
            for completer in completers {
                let _ = completer.complete(1);
            }
        });
        let mut begun = 0;
        while begun < rounds {
            match source.begin() {
                Ok((completer, mut completion)) => {
                    begun += 1;
                    assert!(completion.try_take().is_none(), "begun and ended");
                    assert_eq!(source.begin().unwrap_err(), BeginError::Lent);
                    drop(completion);
                    send.send(completer).unwrap();
                }
                Err(error) => {
                    // At once again: what is looked for lasts a moment.
                    assert_eq!(error, BeginError::Lent);
                }
            }
        }
    });
    assert!(source.begin().is_ok());
}
