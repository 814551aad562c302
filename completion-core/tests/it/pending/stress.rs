//! Many callers, replies out of order, given up, late and twice: nobody has another's reply.
//!
//! redis-rs#698, AprilNEA/OpenLogi#1286, scylladb/scylla-rust-driver#304: replies that went to the wrong
//! caller. More threads than cores, and a map that is often full.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use completion_core::{InsertError, KeyedPendingMap, Policy};
use futures_lite::future::block_on;

use super::{Assigned, Keyed, Reply, Requests};
use crate::support::{Ledger, Payload, Probe, poll, scaled, widths};

const CALLERS: u64 = 6;
const SERVERS: u64 = 2;
const CAPACITY: u16 = 8;

/// A small generator; which numbers it gives does not matter, only that they vary.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }
}

/// Answers whatever comes, some time later and in any order; `again` asks for a second answer.
fn serve<I: Copy>(
    requests: &Mutex<Receiver<(I, u64)>>,
    seed: u64,
    again: bool,
    reply: impl Fn(I, u64),
) {
    let mut dice = Dice(seed);
    let mut bag = Vec::new();
    loop {
        // Waits for a request only if nobody waits for it.
        let request = if bag.is_empty() {
            requests.lock().unwrap().recv().ok()
        } else {
            let requests = requests.try_lock();
            requests.ok().and_then(|requests| requests.try_recv().ok())
        };
        let all = request.is_none() || bag.len() == 3;
        bag.extend(request);
        if bag.is_empty() {
            break;
        }
        if all || dice.roll(2) == 0 {
            let (id, nonce) = bag.swap_remove(dice.roll(bag.len()));
            reply(id, nonce);
            if again && dice.roll(4) == 0 {
                reply(id, nonce);
            }
        }
    }
}

/// Sends a request, and awaits its reply, or gives up in one of several ways.
fn call<I>((id, mut pending): (I, Reply), nonce: u64, server: &Sender<(I, u64)>, dice: &mut Dice) {
    assert!(server.send((id, nonce)).is_ok());
    let outcome = match dice.roll(6) {
        0 => return,
        1 => {
            pending.close();
            pending.try_take().unwrap()
        }
        2 => {
            let waker = Probe::new().waker();
            for _ in 0..dice.roll(3) {
                thread::yield_now();
                if let std::task::Poll::Ready(outcome) = poll(&mut pending, &waker) {
                    return assert_eq!(outcome.unwrap().tag(), nonce);
                }
            }
            return;
        }
        3 => block_on(&mut pending),
        _ => pending.wait(),
    };
    if let Ok(reply) = outcome {
        assert_eq!(reply.tag(), nonce, "somebody else's reply");
    }
}

fn replies_reach_their_callers<I: Copy + Send>(
    sources: u64,
    again: bool,
    insert: impl Fn(u64, &mut Dice) -> Result<(I, Reply), InsertError> + Sync,
    reply: impl Fn(I, u64) + Sync,
) {
    let each = widths::token_rounds(scaled(4_000, 30) as u64 * CALLERS, sources) / CALLERS;
    let (server, requests) = channel();
    let requests = Mutex::new(requests);
    thread::scope(|scope| {
        for number in 0..SERVERS {
            let (requests, reply) = (&requests, &reply);
            scope.spawn(move || serve(requests, number + 1, again, reply));
        }
        for caller in 0..CALLERS {
            let (server, insert) = (server.clone(), &insert);
            scope.spawn(move || {
                let mut dice = Dice(caller + 100);
                for round in 0..each {
                    let nonce = caller << 32 | round;
                    match insert(nonce, &mut dice) {
                        Ok(request) => call(request, nonce, &server, &mut dice),
                        Err(InsertError::Retired) if widths::WEARS_OUT => break,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        drop(server);
    });
}

/// Hands a reply over; if nobody takes it, it is the one that was sent.
fn tell(rejected: Result<(), completion_core::Rejected<Payload>>, nonce: u64) {
    if let Err(rejected) = rejected {
        assert_eq!(rejected.into_payload().tag(), nonce);
    }
}

fn by_assigned_ids(policy: Policy) {
    let ledger = Ledger::new();
    let map = Assigned::make(CAPACITY, policy);
    replies_reach_their_callers(
        CAPACITY.into(),
        true,
        |_, _| block_on(map.insert_async()),
        |id, nonce| tell(map.complete(id, ledger.payload(nonce)), nonce),
    );
    assert_eq!((map.len(), map.held(), ledger.live()), (0, 0, 0));
}

#[test]
fn nobody_has_anothers_reply_by_assigned_ids_that_are_revoked() {
    by_assigned_ids(Policy::revoke_now());
}

#[test]
fn nobody_has_anothers_reply_by_assigned_ids_that_are_held() {
    by_assigned_ids(Policy::hold_until_completed());
}

/// Twelve numbers for all: each comes again at once, and is safe because it is held.
#[test]
fn nobody_has_anothers_reply_by_few_ids_that_are_held() {
    let ledger = Ledger::new();
    let map =
        KeyedPendingMap::<u16, Payload, Payload>::new(CAPACITY, Policy::hold_until_completed());
    replies_reach_their_callers(
        CAPACITY.into(),
        false,
        |_, dice| {
            loop {
                let id = u16::try_from(dice.roll(12)).unwrap();
                match map.insert(id) {
                    Ok(pending) => return Ok((id, pending)),
                    Err(InsertError::Duplicate | InsertError::Full) => thread::yield_now(),
                    Err(error) => return Err(error),
                }
            }
        },
        |id, nonce| tell(map.complete(id, ledger.payload(nonce)), nonce),
    );
    assert_eq!((map.len(), map.held(), ledger.live()), (0, 0, 0));
}

/// Numbers that never come again need not be held.
#[test]
fn nobody_has_anothers_reply_by_a_counter_that_is_revoked() {
    let ledger = Ledger::new();
    let map = KeyedPendingMap::<u64, Payload, Payload>::new(CAPACITY, Policy::revoke_now());
    replies_reach_their_callers(
        CAPACITY.into(),
        true,
        |nonce, _| block_on(map.insert_async(nonce)).map(|pending| (nonce, pending)),
        |id, nonce| tell(map.complete(id, ledger.payload(nonce)), nonce),
    );
    assert_eq!((map.len(), map.held(), ledger.live()), (0, 0, 0));
}

/// Dropping ‖ answering ‖ releasing one held id, over and over: it is freed once, and counted right.
#[test]
fn who_frees_a_held_id_is_one() {
    fn check<M: Requests>() {
        let ledger = Ledger::new();
        let requests = M::make(4, Policy::hold_until_completed());
        let rounds = widths::token_rounds(scaled(3_000, 20) as u64, 4);
        for _ in 0..rounds {
            let (id, pending) = requests.insert().unwrap();
            let barrier = std::sync::Barrier::new(3);
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    drop(pending);
                });
                scope.spawn(|| {
                    barrier.wait();
                    drop(requests.complete(id, ledger.payload(1)));
                });
                barrier.wait();
                requests.release(id);
            });
            requests.release(id);
            assert_eq!((requests.len(), requests.held(), ledger.live()), (0, 0, 0));
        }
    }
    check::<Assigned>();
    check::<Keyed>();
}
