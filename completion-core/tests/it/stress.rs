//! Many rounds on many threads: whatever races, no reply reaches another caller, and all comes home.
//!
//! redis-rs#698, OpenLogi#1286, scylla-rust-driver#304: replies that went to the wrong caller.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use completion_core::{
    BeginError, Completer, Completion, CompletionError, CompletionSource, DeadlineError, NoToken,
    Pool, Rejected, Rejection, RentError, Round, Token,
};
use futures_lite::future::block_on;

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

/// What goes over the wire: the round by token, or its completer.
enum Request {
    Shared(Token, u64),
    Unique(Completer<'static, Payload, Payload>, u64),
}

type Server = Sender<Request>;

// More threads than this machine is likely to have cores for.
const CALLERS: u64 = 5;
const SERVERS: u64 = 3;
const CAPACITY: u16 = 16;

/// The tag of what a pool is closed with, and of a timeout; nonces are below.
const CAUSE: u64 = u64::MAX;
const TIMEOUT: u64 = u64::MAX - 1;

/// What all threads of one pool share.
struct Exchange {
    pool: Pool<Payload, Payload>,
    ledger: Ledger,
    begun: AtomicU64,
    /// Rounds after which whoever notices closes the pool.
    wanted: u64,
    stale: AtomicU64,
}

impl Exchange {
    /// Checks and counts a refusal.
    fn refused(&self, rejected: Rejected<Payload>, nonce: u64) {
        self.refused_for(rejected.reason());
        assert_eq!(
            rejected.into_payload().tag(),
            nonce,
            "another payload came back"
        );
    }

    fn refused_for(&self, reason: Rejection) {
        if reason == Rejection::Stale {
            self.stale.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn close(&self) {
        let ledger = self.ledger.clone();
        self.pool.close_with(move || ledger.payload(CAUSE));
    }

    /// Replies, now or later, twice or by a failure; keeps old tokens and tries them again.
    fn serve(&self, requests: &Mutex<Receiver<Request>>, seed: u64) {
        let _guard = ClosesOnPanic(self);
        let mut dice = Dice(seed);
        let mut late = VecDeque::new();
        loop {
            let request = requests.lock().unwrap().recv();
            let Ok(request) = request else { break };
            match request {
                Request::Unique(completer, nonce) => self.reply(completer, nonce, &mut dice),
                Request::Shared(token, nonce) => {
                    if dice.roll(8) == 0 {
                        thread::yield_now();
                    }
                    self.reply_by(token, nonce, &mut dice);
                    late.push_back((token, nonce));
                    if late.len() > 8 {
                        let (token, nonce) = late.pop_front().unwrap();
                        self.reply_by(token, nonce, &mut dice);
                    }
                }
            }
        }
        // After everybody has gone home.
        for (token, nonce) in late {
            self.reply_by(token, nonce, &mut dice);
        }
    }

    fn reply(
        &self,
        mut completer: Completer<'static, Payload, Payload>,
        nonce: u64,
        dice: &mut Dice,
    ) {
        if dice.roll(3) == 0 {
            let waker = Probe::new().waker();
            let mut context = Context::from_waker(&waker);
            let _ = completer.poll_closed(&mut context);
        }
        match dice.roll(5) {
            0 => drop(completer),
            1 => drop(completer.cancel()),
            2 => drop(completer.fail(self.ledger.payload(nonce))),
            _ => {
                if let Err(rejected) = completer.complete(self.ledger.payload(nonce)) {
                    assert_eq!(rejected.reason(), Rejection::Closed);
                    self.refused(rejected, nonce);
                }
            }
        }
    }

    fn reply_by(&self, token: Token, nonce: u64, dice: &mut Dice) {
        let payload = self.ledger.payload(nonce);
        let outcome = match dice.roll(8) {
            0 => {
                if let Err(rejected) = self.pool.cancel(token) {
                    self.refused_for(rejected.reason());
                }
                return;
            }
            1 => self.pool.fail(token, payload),
            2 => {
                let outcome = self.pool.complete_raw(token.to_bits(), Ok(payload));
                if let Err(rejected) = outcome {
                    self.refused_for(rejected.reason());
                    let tag = rejected.into_payload().map(|payload| payload.tag());
                    assert_eq!(tag.ok(), Some(nonce), "another payload came back");
                }
                return;
            }
            _ => self.pool.complete(token, payload),
        };
        if let Err(rejected) = outcome {
            self.refused(rejected, nonce);
        }
    }

    fn rent(&self, dice: &mut Dice) -> Result<Round<'static, Payload, Payload>, RentError> {
        match dice.roll(4) {
            0 => block_on(self.pool.rent_async()),
            1 => {
                // Somebody who waits for a moment, and gives up.
                let got = poll(&mut self.pool.rent_async(), &Probe::new().waker());
                if let Poll::Ready(Ok(_)) = got {
                    self.begun.fetch_add(1, Ordering::Relaxed);
                }
                self.pool.try_rent()
            }
            2 if !self.pool.is_closed() => Ok(self.pool.rent()),
            _ => self.pool.try_rent(),
        }
    }

    /// Rounds with every way to begin and to stop waiting, until the pool is closed or worn out; each
    /// outcome must carry the caller's own nonce.
    fn call(&self, server: &Server, caller: u64, seed: u64) {
        let _guard = ClosesOnPanic(self);
        let mut dice = Dice(seed);
        loop {
            let (completer, completion) = match self.rent(&mut dice) {
                Ok(round) => round,
                Err(RentError::Exhausted) => continue,
                Err(_) => break,
            };
            let round = self.begun.fetch_add(1, Ordering::Relaxed);
            if round >= self.wanted {
                self.close();
            }
            let nonce = caller << 48 | round;
            let named = match dice.roll(4) {
                0 => Err(completer),
                1 => completer.into_held_token().map_err(NoToken::into_completer),
                _ => completer.into_token().map_err(NoToken::into_completer),
            };
            let (token, request) = match named {
                Ok(token) => (Some(token), Request::Shared(token, nonce)),
                Err(completer) => (None, Request::Unique(completer, nonce)),
            };
            server.send(request).unwrap();
            self.wait(completion, token, nonce, &mut dice);
        }
        // Whoever finds the pool worn out ends it for all.
        self.close();
    }

    fn wait(
        &self,
        mut completion: Completion<'static, Payload, Payload>,
        token: Option<Token>,
        nonce: u64,
        dice: &mut Dice,
    ) {
        let outcome = match dice.roll(10) {
            // Dropped at once, after a poll, or after two with different wakers.
            0 => return,
            1 => return drop(poll(&mut completion, &Probe::new().waker())),
            2 => {
                if poll(&mut completion, &Probe::new().waker()).is_pending() {
                    let _ = poll(&mut completion, &Probe::new().waker());
                }
                return;
            }
            // A timeout by token, which races the reply.
            3 if token.is_some() => {
                match self.pool.fail(token.unwrap(), self.ledger.payload(TIMEOUT)) {
                    Ok(()) => {
                        let outcome = completion.try_take().expect("it ended here");
                        let failure = outcome.unwrap_err().into_failure().unwrap();
                        return assert_eq!(failure.tag(), TIMEOUT);
                    }
                    Err(rejected) => self.refused(rejected, TIMEOUT),
                }
                completion.wait()
            }
            // A timer, which may be over at once.
            4 | 5 => match block_on(completion.with_deadline(Polls(dice.roll(3)))) {
                Ok(payload) => Ok(payload),
                Err(DeadlineError::Ended(error)) => Err(error),
                Err(DeadlineError::Elapsed) => return,
            },
            6 => match completion.wait_timeout(Duration::from_micros(dice.roll(50))) {
                Some(outcome) => outcome,
                None => return,
            },
            7 => {
                let closed = completion.close();
                let outcome = completion.try_take().expect("it is closed");
                assert!(!closed || matches!(outcome, Err(CompletionError::Cancelled)));
                outcome
            }
            8 => completion.wait(),
            _ => block_on(completion),
        };
        match outcome {
            Ok(payload) => assert_eq!(payload.tag(), nonce, "the reply of another caller"),
            Err(CompletionError::Failed(payload)) => assert!(
                payload.tag() == nonce || payload.tag() == CAUSE && self.pool.is_closed(),
                "the failure of another caller"
            ),
            Err(CompletionError::Cancelled) => {}
            Err(CompletionError::Abandoned) => assert!(token.is_none()),
        }
    }
}

/// So that a thread that fails leaves no other one waiting.
struct ClosesOnPanic<'a>(&'a Exchange);

impl Drop for ClosesOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

/// A timer that is over when it was polled so often.
struct Polls(u64);

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(left) = self.0.checked_sub(1) else {
            return Poll::Ready(());
        };
        self.0 = left;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How many rounds: what the environment asks for, or enough for a test among others.
fn rounds_wanted() -> u64 {
    match std::env::var("COMPLETION_STRESS_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("a number of rounds"),
        Err(_) => scaled(if widths::WEARS_OUT { 6_000 } else { 100_000 }, 150) as u64,
    }
}

/// Rents are returns, nothing is orphaned, and no reply reaches another caller.
#[test]
fn no_reply_reaches_another_caller() {
    let (mut begun, mut turn) = (0, 0);
    // A narrow build wears a pool out, so there it takes many pools.
    while begun < rounds_wanted() {
        turn += 1;
        let exchange = Exchange {
            pool: Pool::with_capacity(CAPACITY),
            ledger: Ledger::new(),
            begun: AtomicU64::new(0),
            wanted: rounds_wanted() - begun,
            stale: AtomicU64::new(0),
        };
        thread::scope(|scope| {
            let exchange = &exchange;
            let (sender, receiver) = channel();
            let requests = Arc::new(Mutex::new(receiver));
            for server in 0..SERVERS {
                let requests = Arc::clone(&requests);
                scope.spawn(move || exchange.serve(&requests, turn << 8 | server << 1 | 1));
            }
            for caller in 0..CALLERS {
                let sender = sender.clone();
                scope.spawn(move || exchange.call(&sender, caller, turn << 16 | caller << 1 | 1));
            }
        });
        let stats = exchange.pool.stats();
        let rounds = exchange.begun.load(Ordering::Relaxed);
        exchange.pool.assert_quiescent();
        assert_eq!((stats.held, stats.returned), (0, stats.rented));
        assert_eq!(stats.rented + stats.overflowed, rounds);
        assert_eq!(stats.stale, exchange.stale.load(Ordering::Relaxed));
        assert_eq!(exchange.ledger.live(), 0);
        begun += rounds;
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

/// RUSTSEC-2026-0005, faern/oneshot#73, #74, #87: a receiver that was polled and dropped, while its sender
/// took the waker, or had just published.
#[test]
fn a_polled_waiter_leaves_while_its_producer_completes() {
    let ledger = Ledger::new();
    let pool = Pool::<Payload, Payload>::with_capacity(64);
    let probe = Probe::new();
    let rounds = scaled(30_000, 50);
    thread::scope(|scope| {
        let (send, completers) = std::sync::mpsc::sync_channel::<Completer<'_, _, _>>(1);
        let ledger = &ledger;
        scope.spawn(move || {
            for (n, completer) in completers.into_iter().enumerate() {
                match n % 3 {
                    0 => drop(completer),
                    1 => drop(completer.fail(ledger.payload(1))),
                    _ => drop(completer.complete(ledger.payload(2))),
                }
            }
        });
        let waker = probe.waker();
        for turn in 0..rounds {
            let (completer, mut completion) = pool.rent();
            assert!(poll(&mut completion, &waker).is_pending());
            if turn % 2 == 0 {
                assert!(poll(&mut completion, &Probe::new().waker()).is_pending());
            }
            send.send(completer).unwrap();
            drop(completion);
        }
    });
    pool.assert_quiescent();
    assert_eq!((ledger.live(), probe.live()), (0, 0));
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
