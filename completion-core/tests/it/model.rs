//! Any sequence of operations, held against a plain reference model after every step.
//!
//! The model knows no bits, versions or presences: only who is there, how a round ended, and how many
//! sources are left. A fuzz target runs the same steps. Not one of them may panic.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::task::{Context, Poll};

use completion_core::{
    BeginError, Completer, Completion, CompletionError, CompletionSource, Pool, Rejection, Rent,
    RentError, StaticPool, Status, Token,
};

use crate::support::{Ledger, Payload, Probe, poll, widths};

/// What lends the sources.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Source,
    Static,
    Pool(u16),
}

/// What is done, to which round, and how.
pub(crate) type Step = [u8; 3];

/// The tag of what a pool is closed with; others count from 1.
const CAUSE: u64 = 0;

/// Runs the steps on a new source or pool, and takes it apart in the end.
pub(crate) fn run(place: Place, steps: &[Step]) {
    let owner = match place {
        Place::Source => Owner::Source(CompletionSource::new()),
        Place::Static => Owner::Static(StaticPool::new()),
        Place::Pool(capacity) => Owner::Pool(Pool::with_capacity(capacity)),
    };
    let mut world = World::new(&owner, place);
    for step in steps {
        world.step(*step);
        world.check();
    }
    world.wind_up();
}

enum Owner {
    Source(CompletionSource<Payload, Payload>),
    Static(StaticPool<Payload, Payload, { Self::SOURCES }>),
    Pool(Pool<Payload, Payload>),
}

/// What a token can do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Complete,
    Fail,
    Cancel,
    CompleteRaw,
    FailRaw,
}

const ACTS: [Act; 5] = [
    Act::Complete,
    Act::Fail,
    Act::Cancel,
    Act::CompleteRaw,
    Act::FailRaw,
];

impl Owner {
    const SOURCES: usize = 3;

    fn try_rent(&self) -> Result<completion_core::Round<'_, Payload, Payload>, RentError> {
        match self {
            Self::Source(source) => source.begin().map_err(|reason| match reason {
                BeginError::Retired => RentError::Retired,
                _ => RentError::Exhausted,
            }),
            Self::Static(pool) => pool.try_rent(),
            Self::Pool(pool) => pool.try_rent(),
        }
    }

    /// The reason of a refusal, with what came back.
    fn act(&self, act: Act, token: Token, payload: Payload) -> Result<(), (Rejection, u64)> {
        macro_rules! on {
            ($owner:expr) => {
                match act {
                    Act::Complete => returned($owner.complete(token, payload)),
                    Act::Fail => returned($owner.fail(token, payload)),
                    Act::Cancel => {
                        let tag = payload.tag();
                        $owner.cancel(token).map_err(|back| (back.reason(), tag))
                    }
                    Act::CompleteRaw => {
                        $owner
                            .complete_raw(token.to_bits(), Ok(payload))
                            .map_err(|back| {
                                (back.reason(), back.into_payload().expect("a value").tag())
                            })
                    }
                    Act::FailRaw => {
                        $owner
                            .complete_raw(token.to_bits(), Err(payload))
                            .map_err(|back| {
                                (
                                    back.reason(),
                                    back.into_payload().expect_err("an error").tag(),
                                )
                            })
                    }
                }
            };
        }
        match self {
            Self::Source(source) => on!(source),
            Self::Static(pool) => on!(pool),
            Self::Pool(pool) => on!(pool),
        }
    }

    fn status(&self, token: Token) -> Status {
        match self {
            Self::Source(source) => source.status(token),
            Self::Static(pool) => pool.status(token),
            Self::Pool(pool) => pool.status(token),
        }
    }
}

fn returned(
    outcome: Result<(), completion_core::Rejected<Payload>>,
) -> Result<(), (Rejection, u64)> {
    outcome.map_err(|back| (back.reason(), back.into_payload().tag()))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Value(u64),
    Error(u64),
    Cancelled,
    Abandoned,
    Closed,
}

impl End {
    fn check(self, outcome: Result<Payload, CompletionError<Payload>>) {
        let seen = match outcome {
            Ok(payload) => Self::Value(payload.tag()),
            Err(CompletionError::Failed(payload)) => Self::Error(payload.tag()),
            Err(CompletionError::Cancelled) => Self::Cancelled,
            Err(CompletionError::Abandoned) => Self::Abandoned,
        };
        let expected = match self {
            Self::Closed => Self::Error(CAUSE),
            end => end,
        };
        assert_eq!(seen, expected);
    }
}

/// One round: its handles, and what the model knows of it.
struct Round<'a> {
    completer: Option<Completer<'a, Payload, Payload>>,
    completion: Option<Completion<'a, Payload, Payload>>,
    token: Option<Token>,
    pooled: bool,
    held: bool,
    home: bool,
    end: Option<End>,
    waiter: Option<Probe>,
    watcher: Option<Probe>,
}

/// The waker is gone, having been woken so often.
fn gone(probe: Option<Probe>, woken: bool) {
    if let Some(probe) = probe {
        assert_eq!((probe.wakes(), probe.live()), (usize::from(woken), 0));
    }
}

impl Round<'_> {
    /// By a producer.
    fn produced(&mut self, end: End) {
        assert_eq!(self.end.replace(end), None);
        gone(self.waiter.take(), true);
    }

    /// By the consumer.
    fn given_up(&mut self) {
        if self.end.is_none() {
            self.end = Some(End::Cancelled);
            gone(self.waiter.take(), false);
            gone(self.watcher.take(), true);
        }
    }

    fn is_over(&self) -> bool {
        self.completer.is_none() && self.completion.is_none() && !self.held
    }

    fn is_worn_out(&self) -> bool {
        const VERSION: u64 = (1 << 48) - 1;
        self.token
            .is_some_and(|it| it.to_bits() & VERSION == widths::TOKEN_ROUNDS - 1)
    }

    fn status(&self) -> Status {
        match self.end {
            _ if self.home => Status::Stale,
            None => Status::Pending,
            Some(End::Value(_)) => Status::Succeeded,
            Some(End::Error(_)) => Status::Failed,
            Some(_) => Status::Cancelled,
        }
    }
}

/// A source on its way to one who waits.
#[derive(Clone, Copy)]
struct Lease {
    worn_out: bool,
    /// The pool was closed meanwhile.
    closed: bool,
}

/// One who waits for a source.
struct Renter<'a> {
    rent: Rent<'a, Payload, Payload>,
    number: usize,
    probe: Option<Probe>,
    lease: Option<Lease>,
}

struct World<'a> {
    owner: &'a Owner,
    ledger: Ledger,
    tags: u64,
    rounds: Vec<Round<'a>>,
    renters: Vec<Renter<'a>>,
    /// Numbers of those who wait, in their order.
    queue: VecDeque<usize>,
    tokens: HashSet<Token>,
    capacity: usize,
    worn_out: usize,
    rented: u64,
    overflowed: u64,
    stale: u64,
    closed: bool,
}

impl<'a> World<'a> {
    fn new(owner: &'a Owner, place: Place) -> Self {
        Self {
            owner,
            ledger: Ledger::new(),
            tags: CAUSE,
            rounds: Vec::new(),
            renters: Vec::new(),
            queue: VecDeque::new(),
            tokens: HashSet::new(),
            capacity: match place {
                Place::Source => 1,
                Place::Static => Owner::SOURCES,
                Place::Pool(capacity) => capacity.into(),
            },
            worn_out: 0,
            rented: 0,
            overflowed: 0,
            stale: 0,
            closed: false,
        }
    }

    fn step(&mut self, [act, which, how]: Step) {
        let which = usize::from(which);
        match act % 20 {
            0..3 => self.rent(how.is_multiple_of(4)),
            3 => self.wait(which, how),
            4 => self.leave(which),
            5 if act > 200 => self.close_pool(),
            _ if self.rounds.is_empty() => {}
            act => {
                let n = which % self.rounds.len();
                match act {
                    5..8 => self.produce(n, how),
                    8..11 => self.act(n, how),
                    11..13 => self.share(n, how),
                    13..15 => self.poll(n, how),
                    15 => self.watch(n, how),
                    16 => self.take(n),
                    17 => self.close(n),
                    _ => self.drop_completion(n),
                }
            }
        }
    }

    fn payload(&mut self) -> (u64, Payload) {
        self.tags += 1;
        (self.tags, self.ledger.payload(self.tags))
    }

    fn out(&self) -> usize {
        let rounds = self.rounds.iter().filter(|it| it.pooled && !it.home);
        let leases = self.renters.iter().filter(|it| it.lease.is_some());
        rounds.count() + leases.count()
    }

    /// What a rent may have; a worn-out source on its way to somebody is not known to be so yet.
    fn free(&self) -> Result<(), RentError> {
        let on_its_way = |it: &&Renter<'_>| it.lease.is_some_and(|lease| lease.worn_out);
        let known = self.worn_out - self.renters.iter().filter(on_its_way).count();
        if self.closed {
            Err(RentError::Closed)
        } else if known == self.capacity && self.capacity > 0 {
            Err(RentError::Retired)
        } else if known + self.out() >= self.capacity {
            Err(RentError::Exhausted)
        } else {
            Ok(())
        }
    }

    fn begun(
        &mut self,
        (completer, completion): completion_core::Round<'a, Payload, Payload>,
        pooled: bool,
        end: Option<End>,
    ) {
        self.rounds.push(Round {
            completer: Some(completer),
            completion: Some(completion),
            token: None,
            pooled,
            held: false,
            home: false,
            end,
            waiter: None,
            watcher: None,
        });
        if pooled {
            self.rented += 1;
        } else {
            self.overflowed += 1;
        }
    }

    fn rent(&mut self, in_any_case: bool) {
        let free = self.free();
        match (self.owner, in_any_case) {
            (Owner::Pool(pool), true) => {
                let end = (free == Err(RentError::Closed)).then_some(End::Cancelled);
                self.begun(pool.rent(), free.is_ok(), end);
            }
            (owner, _) => match owner.try_rent() {
                Ok(round) => {
                    assert_eq!(free, Ok(()));
                    self.begun(round, true, None);
                }
                Err(reason) => assert_eq!(free, Err(reason)),
            },
        }
    }

    /// A renter is polled: one that there is, or a new one.
    fn wait(&mut self, which: usize, how: u8) {
        let Owner::Pool(pool) = self.owner else {
            return;
        };
        let n = match how % 2 {
            0 if !self.renters.is_empty() => which % self.renters.len(),
            _ => {
                let number = self.renters.last().map_or(0, |last| last.number + 1);
                self.renters.push(Renter {
                    rent: pool.rent_async(),
                    number,
                    probe: None,
                    lease: None,
                });
                self.renters.len() - 1
            }
        };
        let probe = Probe::new();
        let renter = &mut self.renters[n];
        let number = renter.number;
        let got = poll(&mut renter.rent, &probe.waker());
        if let Some(lease) = self.renters[n].lease.take() {
            if !lease.worn_out {
                let Poll::Ready(Ok(round)) = got else {
                    panic!("it was handed over: {got:?}");
                };
                self.renters.remove(n);
                return self.begun(round, true, lease.closed.then_some(End::Closed));
            }
            // Not what was waited for; if it was the last one, nobody waits for anything any more.
            if self.free() == Err(RentError::Retired) {
                self.send_away();
            }
        }
        let free = self.free();
        match got {
            Poll::Pending => {
                assert_eq!(free, Err(RentError::Exhausted));
                assert!(self.capacity > 0);
                assert_eq!(probe.live(), 1);
                gone(self.renters[n].probe.replace(probe), false);
                if !self.queue.contains(&number) {
                    self.queue.push_back(number);
                }
            }
            Poll::Ready(Ok(round)) => {
                assert_eq!(free, Ok(()));
                self.renters.remove(n);
                self.begun(round, true, None);
            }
            Poll::Ready(Err(reason)) => {
                assert_eq!(free, Err(reason));
                assert!(self.capacity == 0 || reason != RentError::Exhausted);
                assert!(!self.queue.contains(&number));
                self.renters.remove(n);
            }
        }
    }

    /// A renter gives up.
    fn leave(&mut self, which: usize) {
        if self.renters.is_empty() {
            return;
        }
        let Renter {
            rent,
            number,
            probe,
            lease,
        } = self.renters.remove(which % self.renters.len());
        self.queue.retain(|waits| *waits != number);
        drop(rent);
        gone(probe, false);
        if let Some(lease) = lease {
            self.comes_home(lease);
        }
    }

    fn send_away(&mut self) {
        for number in mem::take(&mut self.queue) {
            let renter = self.renters.iter_mut().find(|it| it.number == number);
            gone(renter.expect("it waits").probe.take(), true);
        }
    }

    /// To who waits longest, if anybody does.
    fn comes_home(&mut self, lease: Lease) {
        if let Some(number) = self.queue.pop_front() {
            let renter = self.renters.iter_mut().find(|it| it.number == number);
            let renter = renter.expect("it waits");
            gone(renter.probe.take(), true);
            renter.lease = Some(lease);
        }
    }

    /// Sees whether a round is over.
    fn left(&mut self, n: usize) {
        let round = &mut self.rounds[n];
        if round.is_over() && !mem::replace(&mut round.home, true) && round.pooled {
            let worn_out = round.is_worn_out();
            self.worn_out += usize::from(worn_out);
            self.comes_home(Lease {
                worn_out,
                closed: false,
            });
        }
    }

    fn produce(&mut self, n: usize, how: u8) {
        let (tag, payload) = self.payload();
        let round = &mut self.rounds[n];
        let Some(completer) = round.completer.take() else {
            return;
        };
        let (end, outcome) = match how % 4 {
            0 => (End::Value(tag), returned(completer.complete(payload))),
            1 => (End::Error(tag), returned(completer.fail(payload))),
            2 => {
                let outcome = completer.cancel();
                (End::Cancelled, outcome.map_err(|back| (back.reason(), tag)))
            }
            _ => {
                drop(completer);
                let closed = round.end.is_some();
                let outcome = if closed {
                    Err((Rejection::Closed, tag))
                } else {
                    Ok(())
                };
                (End::Abandoned, outcome)
            }
        };
        gone(round.watcher.take(), false);
        match outcome {
            Ok(()) => round.produced(end),
            Err(refused) => {
                assert!(round.end.is_some());
                assert_eq!(refused, (Rejection::Closed, tag));
            }
        }
        self.left(n);
    }

    /// By a token that there is, or one much like it.
    fn act(&mut self, n: usize, how: u8) {
        let Some(token) = self.rounds[n].token else {
            return;
        };
        let token = match how / 5 {
            0..40 => token,
            bit => Token::from_bits(token.to_bits() ^ (1 << (u32::from(bit) * 7 % 64))),
        };
        let act = ACTS[usize::from(how % 5)];
        let (tag, payload) = self.payload();
        let outcome = self.owner.act(act, token, payload);
        let named = self.rounds.iter().position(|it| it.token == Some(token));
        let expected = match named.map(|n| &mut self.rounds[n]) {
            Some(round) if !round.home => {
                let end = round.end;
                match (end, &round.completion) {
                    (None, Some(_)) => {
                        round.held = false;
                        round.produced(match act {
                            Act::Complete | Act::CompleteRaw => End::Value(tag),
                            Act::Fail | Act::FailRaw => End::Error(tag),
                            Act::Cancel => End::Cancelled,
                        });
                        Ok(())
                    }
                    _ if mem::take(&mut round.held) => Err(Rejection::Closed),
                    _ => Err(Rejection::Lost),
                }
            }
            _ => {
                self.stale += 1;
                Err(Rejection::Stale)
            }
        };
        assert_eq!(outcome, expected.map_err(|reason| (reason, tag)));
        if let Some(n) = named {
            self.left(n);
        }
    }

    fn share(&mut self, n: usize, how: u8) {
        let round = &mut self.rounds[n];
        let Some(completer) = round.completer.take() else {
            return;
        };
        let held = how.is_multiple_of(2);
        let token = match held {
            true => completer.into_held_token(),
            false => completer.into_token(),
        };
        match token {
            Ok(token) => {
                assert!(round.pooled);
                gone(round.watcher.take(), false);
                round.held = held && round.end.is_none();
                round.token = Some(token);
                assert!(self.tokens.insert(token), "{token:?} came twice");
            }
            Err(refused) => {
                assert!(!round.pooled);
                round.completer = Some(refused.into_completer());
            }
        }
        self.left(n);
    }

    fn poll(&mut self, n: usize, how: u8) {
        let round = &mut self.rounds[n];
        let Some(completion) = &mut round.completion else {
            return;
        };
        let probe = match &round.waiter {
            Some(waiter) if how.is_multiple_of(2) => waiter.clone(),
            _ => Probe::new(),
        };
        let clones = probe.clones();
        match poll(completion, &probe.waker()) {
            Poll::Pending => {
                assert_eq!(round.end, None);
                let known = how.is_multiple_of(2) && round.waiter.is_some();
                assert_eq!(probe.clones(), clones + usize::from(!known));
                let before = round.waiter.replace(probe);
                gone(before.filter(|_| !known), false);
            }
            Poll::Ready(outcome) => {
                round.end.expect("it has ended").check(outcome);
                assert_eq!(probe.clones(), clones);
                round.completion = None;
            }
        }
        self.left(n);
    }

    fn watch(&mut self, n: usize, how: u8) {
        let round = &mut self.rounds[n];
        let Some(completer) = &mut round.completer else {
            return;
        };
        let probe = match &round.watcher {
            Some(watcher) if how.is_multiple_of(2) => watcher.clone(),
            _ => Probe::new(),
        };
        let clones = probe.clones();
        let waker = probe.waker();
        let closed = completer.poll_closed(&mut Context::from_waker(&waker));
        drop(waker);
        assert_eq!(closed.is_ready(), round.end.is_some());
        if closed.is_pending() {
            let known = how.is_multiple_of(2) && round.watcher.is_some();
            assert_eq!(probe.clones(), clones + usize::from(!known));
            let before = round.watcher.replace(probe);
            gone(before.filter(|_| !known), false);
        }
    }

    fn take(&mut self, n: usize) {
        let round = &mut self.rounds[n];
        let Some(completion) = &mut round.completion else {
            return;
        };
        match completion.try_take() {
            Some(outcome) => {
                round.end.expect("it has ended").check(outcome);
                assert!(completion.is_terminated() && completion.try_take().is_none());
                round.completion = None;
            }
            None => assert_eq!(round.end, None),
        }
        self.left(n);
    }

    fn close(&mut self, n: usize) {
        let round = &mut self.rounds[n];
        if let Some(completion) = &mut round.completion {
            assert_eq!(completion.close(), round.end.is_none());
            round.given_up();
        }
    }

    fn drop_completion(&mut self, n: usize) {
        let round = &mut self.rounds[n];
        if round.completion.take().is_some() {
            round.given_up();
            self.left(n);
        }
    }

    fn close_pool(&mut self) {
        let Owner::Pool(pool) = self.owner else {
            return;
        };
        let ledger = self.ledger.clone();
        let first = pool.close_with(move || ledger.payload(CAUSE));
        assert_eq!(first, !mem::replace(&mut self.closed, true));
        if !first {
            return;
        }
        self.send_away();
        for lease in self.renters.iter_mut().filter_map(|it| it.lease.as_mut()) {
            lease.closed = true;
        }
        for n in 0..self.rounds.len() {
            let round = &mut self.rounds[n];
            if round.pooled && !round.home {
                if round.end.is_none() {
                    round.produced(End::Closed);
                    gone(round.watcher.take(), true);
                }
                round.held = false;
                self.left(n);
            }
        }
    }

    /// What can be seen from outside is what the model says.
    fn check(&self) {
        let mut payloads = 0;
        for round in &self.rounds {
            if let Some(completion) = &round.completion {
                assert_eq!(completion.is_ready(), round.end.is_some());
                let carries = matches!(round.end, Some(End::Value(_) | End::Error(_)));
                payloads += isize::from(carries);
            }
            if let Some(completer) = &round.completer {
                assert_eq!(completer.is_closed(), round.end.is_some());
            }
            if let Some(token) = round.token {
                assert_eq!(self.owner.status(token), round.status());
            }
            let renters = self.renters.iter().map(|it| &it.probe);
            for probe in renters.chain([&round.waiter, &round.watcher]).flatten() {
                assert_eq!((probe.wakes(), probe.live()), (0, 1));
            }
        }
        assert_eq!(self.ledger.live(), payloads);
        match self.owner {
            Owner::Source(_) => {}
            Owner::Static(pool) => assert_eq!(pool.in_use(), self.out()),
            Owner::Pool(pool) => {
                let stats = pool.stats();
                let held =
                    |it: &&Round<'_>| it.held && (it.completion.is_none() || it.end.is_some());
                assert_eq!(stats.in_use, self.out());
                assert_eq!(stats.held, self.rounds.iter().filter(held).count());
                let leases = self.renters.iter().filter(|it| it.lease.is_some());
                assert_eq!(stats.rented, self.rented + leases.count() as u64);
                assert_eq!(stats.overflowed, self.overflowed);
                assert_eq!(stats.stale, self.stale);
                assert_eq!(pool.is_closed(), self.closed);
                assert!(stats.high_water <= self.capacity);
            }
        }
    }

    fn wind_up(mut self) {
        while !self.renters.is_empty() {
            self.leave(0);
        }
        for n in 0..self.rounds.len() {
            self.drop_completion(n);
            self.produce(n, n as u8);
            if self.rounds[n].held {
                self.act(n, 0);
            }
            self.check();
        }
        assert_eq!((self.out(), self.ledger.live()), (0, 0));
        if let Owner::Pool(pool) = self.owner {
            pool.assert_quiescent();
        }
    }
}
