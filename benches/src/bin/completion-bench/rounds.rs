//! The rounds, each written once and run by every contestant.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::contestant::{Contestant, Payload};

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// Completed before the first poll.
    Ready,
    /// Polled, completed, polled.
    Pending,
    /// Polled, the receiver dropped, completed in vain.
    ReceiverDropped,
    /// Polled, the sender dropped, polled.
    SenderDropped,
    /// Polled with one waker, polled with another, completed, polled.
    Repolled,
    /// Pending rounds, so many at a time: all opened and polled, all completed, all polled.
    Outstanding,
    /// Pending rounds on two threads at once, which share the pool if there is one.
    TwoThreads,
    /// Two threads that take turns in completing what the other waits for; the time is that of both ways.
    PingPong,
}

/// How many rounds are under way at a time in [`Round::Outstanding`].
pub(crate) const OUTSTANDING: usize = 64;

/// How many exchanges one call of [`Round::PingPong`] makes: each has two rounds, all opened beforehand.
const EXCHANGES: usize = 100;

impl Round {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ready,
        Self::Pending,
        Self::ReceiverDropped,
        Self::SenderDropped,
        Self::Repolled,
        Self::Outstanding,
        Self::TwoThreads,
        Self::PingPong,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending => "pending",
            Self::ReceiverDropped => "receiver dropped",
            Self::SenderDropped => "sender dropped",
            Self::Repolled => "re-polled",
            Self::Outstanding => "64 outstanding",
            Self::TwoThreads => "two threads",
            Self::PingPong => "ping-pong",
        }
    }

    /// Those that one thread does alone, so that instructions and allocations are theirs.
    pub(crate) fn of_one_thread() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|round| !round.takes_two())
    }

    /// Whether two threads are at work.
    pub(crate) fn takes_two(self) -> bool {
        matches!(self, Self::TwoThreads | Self::PingPong)
    }
}

/// A contestant with the memory of its rounds, whichever it is.
pub(crate) trait Runner {
    fn name(&self) -> &'static str;
    fn payload(&self) -> &'static str;
    /// Does about so many rounds of a kind; how many were timed, and how long they took.
    fn run(&mut self, round: Round, rounds: usize) -> (usize, Duration);
}

struct Lane<P: Payload, C: Contestant<P>> {
    contestant: C,
    places: Vec<C::Place>,
}

/// A contestant, ready to run.
pub(crate) fn runner<P: Payload, C: Contestant<P> + 'static>() -> Box<dyn Runner> {
    let contestant = C::new();
    let places = (0..2 * EXCHANGES).map(|_| contestant.place()).collect();
    Box::new(Lane::<P, C> { contestant, places })
}

impl<P: Payload, C: Contestant<P>> Runner for Lane<P, C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn payload(&self) -> &'static str {
        P::NAME
    }

    fn run(&mut self, round: Round, rounds: usize) -> (usize, Duration) {
        let contestant = &self.contestant;
        let places = self.places.as_mut_slice();
        let single = match round {
            Round::Ready => ready::<P, C>,
            Round::Pending => pending::<P, C>,
            Round::ReceiverDropped => receiver_dropped::<P, C>,
            Round::SenderDropped => sender_dropped::<P, C>,
            Round::Repolled => repolled::<P, C>,
            Round::Outstanding => {
                let batches = rounds.div_ceil(OUTSTANDING);
                let started = Instant::now();
                outstanding::<P, C>(contestant, &mut places[..OUTSTANDING], batches);
                return (batches * OUTSTANDING, started.elapsed());
            }
            Round::TwoThreads => return (rounds, two_threads::<P, C>(contestant, places, rounds)),
            Round::PingPong => {
                let calls = rounds.div_ceil(EXCHANGES);
                let times = (0..calls).map(|_| ping_pong::<P, C>(contestant, places));
                // The fastest: in the others, one of the two threads was not running all the time.
                return (EXCHANGES, times.min().unwrap_or_default());
            }
        };
        let started = Instant::now();
        single(contestant, &mut places[0], rounds);
        (rounds, started.elapsed())
    }
}

/// Two wakers that wake nothing and count no references: an executor's share of a round is the same for all contestants,
/// and is left out.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);
static FIRST: Waker = waker(1);
static SECOND: Waker = waker(2);

const fn waker(task: usize) -> Waker {
    // SAFETY: no function of the table touches the data, which only tells the two wakers apart.
    unsafe { Waker::new(ptr::without_provenance(task), &VTABLE) }
}

fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

fn ignore(_data: *const ()) {}

/// The wakers of two tasks, of which the compiler knows nothing.
fn wakers() -> [&'static Waker; 2] {
    black_box([&FIRST, &SECOND])
}

#[inline(always)]
fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[inline(always)]
fn expect_pending<F: Future + Unpin>(future: &mut F, waker: &Waker) {
    assert!(poll(future, waker).is_pending(), "nobody has completed it");
}

/// Takes the outcome, and sees to it that the compiler believes it is used.
#[inline(always)]
fn expect_payload<P, E, F>(mut future: F, waker: &Waker)
where
    F: Future<Output = Result<P, E>> + Unpin,
{
    match poll(&mut future, waker) {
        Poll::Ready(Ok(payload)) => drop(black_box(payload)),
        _ => panic!("it was completed"),
    }
}

#[inline(always)]
fn send<P: Payload, C: Contestant<P>>(sender: C::Sender<'_>, n: usize) {
    C::send(sender, P::make(black_box(n as u64)));
}

#[inline(never)]
fn ready<P: Payload, C: Contestant<P>>(contestant: &C, place: &mut C::Place, rounds: usize) {
    let [waker, _] = wakers();
    for n in 0..rounds {
        let (sender, receiver) = contestant.open(place);
        send::<P, C>(sender, n);
        expect_payload(receiver, waker);
        contestant.close(place);
    }
}

#[inline(never)]
fn pending<P: Payload, C: Contestant<P>>(contestant: &C, place: &mut C::Place, rounds: usize) {
    let [waker, _] = wakers();
    for n in 0..rounds {
        let (sender, mut receiver) = contestant.open(place);
        expect_pending(&mut receiver, waker);
        send::<P, C>(sender, n);
        expect_payload(receiver, waker);
        contestant.close(place);
    }
}

#[inline(never)]
fn receiver_dropped<P: Payload, C: Contestant<P>>(
    contestant: &C,
    place: &mut C::Place,
    rounds: usize,
) {
    let [waker, _] = wakers();
    for n in 0..rounds {
        let (sender, mut receiver) = contestant.open(place);
        expect_pending(&mut receiver, waker);
        drop(receiver);
        send::<P, C>(sender, n);
        contestant.close(place);
    }
}

#[inline(never)]
fn sender_dropped<P: Payload, C: Contestant<P>>(
    contestant: &C,
    place: &mut C::Place,
    rounds: usize,
) {
    let [waker, _] = wakers();
    for _ in 0..rounds {
        let (sender, mut receiver) = contestant.open(place);
        expect_pending(&mut receiver, waker);
        drop(sender);
        match poll(&mut receiver, waker) {
            Poll::Ready(Err(failure)) => drop(black_box(failure)),
            _ => panic!("the sender is gone"),
        }
        drop(receiver);
        contestant.close(place);
    }
}

#[inline(never)]
fn repolled<P: Payload, C: Contestant<P>>(contestant: &C, place: &mut C::Place, rounds: usize) {
    let [first, second] = wakers();
    for n in 0..rounds {
        let (sender, mut receiver) = contestant.open(place);
        expect_pending(&mut receiver, first);
        expect_pending(&mut receiver, second);
        send::<P, C>(sender, n);
        expect_payload(receiver, second);
        contestant.close(place);
    }
}

#[inline(never)]
fn outstanding<P: Payload, C: Contestant<P>>(
    contestant: &C,
    places: &mut [C::Place],
    batches: usize,
) {
    let [waker, _] = wakers();
    for _ in 0..batches {
        let mut senders = [const { None }; OUTSTANDING];
        let mut receivers = [const { None }; OUTSTANDING];
        for ((place, sender), receiver) in places.iter_mut().zip(&mut senders).zip(&mut receivers) {
            let opened = contestant.open(place);
            *sender = Some(opened.0);
            expect_pending(receiver.insert(opened.1), waker);
        }
        for (n, sender) in senders.into_iter().flatten().enumerate() {
            send::<P, C>(sender, n);
        }
        for receiver in receivers.into_iter().flatten() {
            expect_payload(receiver, waker);
        }
        for place in &mut *places {
            contestant.close(place);
        }
    }
}

/// Where two threads meet, both of them running: a thread that is woken comes late.
#[derive(Default)]
struct Gate(AtomicUsize);

impl Gate {
    fn pass(&self) {
        // ORDERING: Relaxed, twice; only the moment counts, and nothing is published.
        self.0.fetch_add(1, Ordering::Relaxed);
        while self.0.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
    }
}

/// The mean of both threads' times.
fn two_threads<P: Payload, C: Contestant<P>>(
    contestant: &C,
    places: &mut [C::Place],
    rounds: usize,
) -> Duration {
    // The first and the last, so that places do not share a cache line.
    let (here, there) = places.split_at_mut(places.len() - 1);
    let gate = Gate::default();
    let timed = |place| {
        gate.pass();
        let started = Instant::now();
        pending::<P, C>(contestant, place, rounds);
        started.elapsed()
    };
    let both = thread::scope(|scope| {
        let other = scope.spawn(|| timed(&mut there[0]));
        let own = timed(&mut here[0]);
        own + other.join().expect("a round does not panic")
    });
    both / 2
}

/// Waits by polling: what is measured is how soon the other core sees the completion, not how soon an executor does.
fn wait<P, E, F>(mut future: F)
where
    F: Future<Output = Result<P, E>> + Unpin,
{
    let [waker, _] = wakers();
    for turn in 1_usize.. {
        match poll(&mut future, waker) {
            Poll::Ready(outcome) => {
                assert!(outcome.is_ok(), "it was completed");
                return;
            }
            // The other thread may not be running at all.
            Poll::Pending if turn.is_multiple_of(1_000) => thread::yield_now(),
            Poll::Pending => {}
        }
    }
}

/// The time from the first completion to the last outcome; and what closing takes, for it could not be done meanwhile.
fn ping_pong<P: Payload, C: Contestant<P>>(contestant: &C, places: &mut [C::Place]) -> Duration {
    let (here, there) = places.split_at_mut(EXCHANGES);
    let (pings, pinged): (Vec<_>, Vec<_>) = here.iter_mut().map(|p| contestant.open(p)).unzip();
    let (pongs, ponged): (Vec<_>, Vec<_>) = there.iter_mut().map(|p| contestant.open(p)).unzip();
    let gate = Gate::default();
    let elapsed = thread::scope(|scope| {
        scope.spawn(|| {
            gate.pass();
            for (n, (ping, pong)) in pinged.into_iter().zip(pongs).enumerate() {
                wait(ping);
                send::<P, C>(pong, n);
            }
        });
        gate.pass();
        let started = Instant::now();
        for (n, (ping, pong)) in pings.into_iter().zip(ponged).enumerate() {
            send::<P, C>(ping, n);
            wait(pong);
        }
        started.elapsed()
    });
    let started = Instant::now();
    for place in places {
        contestant.close(place);
    }
    elapsed + started.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::field;

    #[test]
    fn every_contestant_runs_every_round_with_every_payload() {
        for runner in &mut field(false) {
            for round in Round::ALL {
                let (rounds, _) = runner.run(round, 3);
                assert!(rounds >= 3, "{} {round:?}", runner.name());
            }
        }
    }
}
