//! Foreign code that panics, or re-enters every operation, from each of the four places where it runs.
//!
//! A grid: where the source lives × who may produce × what the waker's registration is like × what is
//! called × which callback of it bites × what the callback does. Whatever happens, every payload and
//! waker is dropped exactly once, nobody is stuck, no wake is lost, and the source serves the next
//! round. tokio#5429, tokio#5471, tokio#5578, ngx-rust#294: re-entry; tokio#3689: a panic in a clone.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use completion_core::{Completer, Completion, CompletionSource, Pool, Token};

use crate::support::{Ledger, Payload, Probe, caught, poll, unwind, widths};

type Source = CompletionSource<Payload, Payload>;

/// Sources that are lent for ever are kept reachable, for leak checkers.
static LENT_FOR_EVER: Mutex<Vec<&'static Source>> = Mutex::new(Vec::new());

/// Something that is taken out before it is used, so that no lock is held in foreign code.
struct Seat<T>(Mutex<Option<T>>);

impl<T> Seat<T> {
    fn new(item: Option<T>) -> Self {
        Self(Mutex::new(item))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, item: T) {
        let before = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(item);
        assert!(before.is_none(), "the seat was taken");
    }
}

/// Puts a borrowed item back, also when foreign code unwinds.
struct Borrowed<'a, T>(&'a Seat<T>, Option<T>);

impl<T> Drop for Borrowed<'_, T> {
    fn drop(&mut self) {
        if let Some(item) = self.1.take() {
            self.0.put(item);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Source,
    Pooled,
    Overflow,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Registered {
    No,
    Once,
    Saturated,
}

/// What is called; each runs some foreign code.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Complete,
    Fail,
    Cancel,
    Abandon,
    Repoll,
    Drop,
    CompleteThenDrop,
    FailThenDrop,
    EndInCloneThenDropClone,
}

/// The callback that bites.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Callback {
    Clone,
    Wake,
    WakerDrop,
    PayloadDrop,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Panic,
    Complete,
    Fail,
    Cancel,
    Abandon,
    Share,
    Poll,
    TryTake,
    DropCompletion,
    DropBoth,
    NextRound,
    DropPool,
    Everything,
}

const ACTS: [Act; 13] = [
    Act::Panic,
    Act::Complete,
    Act::Fail,
    Act::Cancel,
    Act::Abandon,
    Act::Share,
    Act::Poll,
    Act::TryTake,
    Act::DropCompletion,
    Act::DropBoth,
    Act::NextRound,
    Act::DropPool,
    Act::Everything,
];

struct Stage {
    source: Option<&'static Source>,
    pool: Seat<Pool<Payload, Payload>>,
    completer: Seat<Completer<'static, Payload, Payload>>,
    token: Mutex<Option<Token>>,
    completion: Seat<Completion<'static, Payload, Payload>>,
    ledger: Ledger,
    /// Whose waker the last poll left behind.
    last: Seat<Probe>,
}

impl Stage {
    fn new(place: Place) -> Arc<Self> {
        let (source, pool) = match place {
            Place::Source => {
                let source: &'static Source = Box::leak(Box::new(Source::new()));
                LENT_FOR_EVER
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(source);
                (Some(source), None)
            }
            Place::Pooled => (None, Some(Pool::with_capacity(1))),
            Place::Overflow => (None, Some(Pool::with_capacity(0))),
        };
        let (completer, completion) = match &pool {
            Some(pool) => pool.rent(),
            None => source.map(|source| source.begin().unwrap()).unwrap(),
        };
        Arc::new(Self {
            source,
            pool: Seat::new(pool),
            completer: Seat::new(Some(completer)),
            token: Mutex::new(None),
            completion: Seat::new(Some(completion)),
            ledger: Ledger::new(),
            last: Seat::new(None),
        })
    }

    fn token(&self) -> Option<Token> {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `with` on a pool handle of its own: re-entrant code may drop the one in the seat.
    fn with_pool<R>(&self, with: impl FnOnce(&Pool<Payload, Payload>) -> R) -> Option<R> {
        let pool = self.pool.take()?;
        let twin = pool.clone();
        self.pool.put(pool);
        Some(with(&twin))
    }

    fn share(&self) {
        if let Some(completer) = self.completer.take() {
            match completer.into_token() {
                Ok(token) => {
                    *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                }
                Err(refused) => self.completer.put(refused.into_completer()),
            }
        }
    }

    fn complete(&self) {
        let payload = self.ledger.payload(1);
        if let Some(completer) = self.completer.take() {
            drop(completer.complete(payload));
        } else if let Some(token) = self.token() {
            match self.source {
                Some(source) => drop(source.complete(token, payload)),
                None => drop(self.with_pool(|pool| pool.complete(token, payload))),
            }
        }
    }

    fn fail(&self) {
        let payload = self.ledger.payload(2);
        if let Some(completer) = self.completer.take() {
            drop(completer.fail(payload));
        } else if let Some(token) = self.token() {
            match self.source {
                Some(source) => drop(source.fail(token, payload)),
                None => drop(self.with_pool(|pool| pool.fail(token, payload))),
            }
        }
    }

    fn cancel(&self) {
        if let Some(completer) = self.completer.take() {
            let _ = completer.cancel();
        } else if let Some(token) = self.token() {
            match self.source {
                Some(source) => drop(source.cancel(token)),
                None => drop(self.with_pool(|pool| pool.cancel(token))),
            }
        }
    }

    fn poll(&self, probe: &Probe) {
        let Some(completion) = self.completion.take() else {
            return;
        };
        self.last.take();
        let waker = probe.waker();
        let mut borrowed = Borrowed(&self.completion, Some(completion));
        let completion = borrowed.1.as_mut().unwrap();
        match poll(completion, &waker) {
            Poll::Pending => {
                self.last.put(probe.clone());
            }
            Poll::Ready(outcome) => {
                let spent = borrowed.1.take();
                assert!(spent.is_some_and(|spent| spent.is_terminated()));
                drop(outcome);
            }
        }
    }

    fn try_take(&self) {
        if let Some(mut completion) = self.completion.take() {
            match completion.try_take() {
                Some(outcome) => drop(outcome),
                None => self.completion.put(completion),
            }
        }
    }

    /// A whole round beside or after this one.
    fn next_round(&self) {
        let serve = |(completer, mut completion): (
            Completer<'_, Payload, Payload>,
            Completion<'_, Payload, Payload>,
        )| {
            let probe = Probe::new();
            assert!(poll(&mut completion, &probe.waker()).is_pending());
            completer.complete(self.ledger.payload(9)).unwrap();
            assert_eq!((probe.wakes(), probe.live()), (1, 0));
            assert_eq!(completion.try_take().unwrap().unwrap().tag(), 9);
        };
        match self.source {
            Some(source) => {
                if let Ok(round) = source.begin() {
                    serve(round);
                }
            }
            None => {
                self.with_pool(|pool| serve(pool.rent()));
            }
        }
    }

    fn act(&self, act: Act) {
        match act {
            Act::Panic => unwind(),
            Act::Complete => self.complete(),
            Act::Fail => self.fail(),
            Act::Cancel => self.cancel(),
            Act::Abandon => drop(self.completer.take()),
            Act::Share => self.share(),
            Act::Poll => self.poll(&Probe::new()),
            Act::TryTake => self.try_take(),
            Act::DropCompletion => drop(self.completion.take()),
            Act::DropBoth => {
                drop(self.completer.take());
                drop(self.completion.take());
            }
            Act::NextRound => self.next_round(),
            Act::DropPool => drop(self.pool.take()),
            Act::Everything => {
                self.poll(&Probe::new());
                self.complete();
                self.try_take();
                self.next_round();
                self.fail();
                self.cancel();
                drop(self.completion.take());
                self.next_round();
                drop(self.pool.take());
            }
        }
    }
}

struct Case {
    place: Place,
    shared: bool,
    registered: Registered,
    call: Call,
    callback: Callback,
    act: Act,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, shared {}, registered {:?}: {:?}, whose {:?} does {:?}",
            self.place, self.shared, self.registered, self.call, self.callback, self.act
        )
    }
}

impl Case {
    /// Runs the case; whether the callback bit at all.
    fn run(&self) -> bool {
        let stage = Stage::new(self.place);
        if self.shared {
            stage.share();
        }
        let registrations = match self.registered {
            Registered::No => 0,
            Registered::Once => 1,
            Registered::Saturated => widths::PAST_GENERATIONS,
        };
        let probes = [Probe::new(), Probe::new()];
        for turn in 0..registrations {
            stage.poll(&probes[turn % 2]);
        }
        let registered = &probes[registrations.saturating_sub(1) % 2];
        let fresh = Probe::new();

        let trap = {
            let (stage, act) = (Arc::clone(&stage), self.act);
            move || stage.act(act)
        };
        match self.callback {
            Callback::Clone => fresh.on_clone.arm(trap),
            Callback::Wake => registered.on_wake.arm(trap),
            Callback::WakerDrop if self.call == Call::EndInCloneThenDropClone => {
                // The waker of this poll is dropped unused, as the round ended while it was cloned.
                let (stage, probe) = (Arc::clone(&stage), fresh.clone());
                fresh.on_clone.arm(move || {
                    stage.complete();
                    probe.on_drop.arm(trap);
                });
            }
            Callback::WakerDrop => registered.on_drop.arm(trap),
            Callback::PayloadDrop => stage.ledger.on_drop.arm(trap),
        }

        let finished = caught(|| match self.call {
            Call::Complete => stage.complete(),
            Call::Fail => stage.fail(),
            Call::Cancel => stage.cancel(),
            Call::Abandon => drop(stage.completer.take()),
            Call::Repoll | Call::EndInCloneThenDropClone => stage.poll(&fresh),
            Call::Drop => drop(stage.completion.take()),
            Call::CompleteThenDrop => {
                stage.complete();
                drop(stage.completion.take());
            }
            Call::FailThenDrop => {
                stage.fail();
                drop(stage.completion.take());
            }
        });

        let armed = [
            &registered.on_wake,
            &registered.on_drop,
            &fresh.on_clone,
            &fresh.on_drop,
        ]
        .into_iter()
        .chain([&stage.ledger.on_drop])
        .fold(false, |armed, trap| trap.disarm() | armed);
        assert_eq!(
            finished.is_none(),
            !armed && self.act == Act::Panic,
            "{self:?}"
        );
        self.wind_up(&stage, [&probes[0], &probes[1], &fresh]);
        !armed
    }

    /// Ends whatever is left, then looks at the balance.
    fn wind_up(&self, stage: &Stage, probes: [&Probe; 3]) {
        if let Some(mut completion) = stage.completion.take() {
            let waiting = stage.last.take();
            let mut outcome = completion.try_take();
            if outcome.is_none() {
                // Still pending, so it can still be ended, and its waiter hears of it.
                let producers = stage.completer.take().map(|completer| {
                    let payload = stage.ledger.payload(5);
                    completer.complete(payload).expect("the completion is here");
                });
                if producers.is_none() && stage.pool_or_source() {
                    stage.complete();
                }
                outcome = completion.try_take();
            }
            match (&outcome, waiting) {
                (Some(_), Some(probe)) => {
                    assert!(probe.wakes() > 0, "a wake was lost: {self:?}");
                }
                (Some(_), None) => {}
                (None, _) => assert!(!stage.pool_or_source(), "stuck: {self:?}"),
            }
        }
        drop(stage.completer.take());
        stage.next_round();
        if let Some(source) = stage.source {
            assert!(source.begin().is_ok(), "the source stays lent: {self:?}");
        }
        if let Some(pool) = stage.pool.take() {
            let stats = pool.stats();
            assert_eq!(
                (stats.in_use, stats.returned),
                (0, stats.rented),
                "{self:?}"
            );
        }
        for probe in probes {
            assert_eq!(probe.live(), 0, "wakers about: {self:?}");
        }
        assert_eq!(stage.ledger.live(), 0, "payloads about: {self:?}");
    }
}

impl Stage {
    /// Whether a token can still be used; the pool may be gone, and then only the waiter ends.
    fn pool_or_source(&self) -> bool {
        self.source.is_some() || self.with_pool(|_| ()).is_some()
    }
}

fn grid(callback: Callback, calls: &[Call]) {
    let mut bit = 0;
    for place in [Place::Source, Place::Pooled, Place::Overflow] {
        for shared in [false, true] {
            for registered in [Registered::No, Registered::Once, Registered::Saturated] {
                if cfg!(miri) && registered == Registered::Saturated && place != Place::Pooled {
                    continue;
                }
                for call in calls.iter().copied() {
                    for act in ACTS {
                        let case = Case {
                            place,
                            shared,
                            registered,
                            call,
                            callback,
                            act,
                        };
                        bit += usize::from(case.run());
                    }
                }
            }
        }
    }
    assert!(
        bit >= ACTS.len() * calls.len(),
        "the callback hardly ran: {bit}"
    );
}

#[test]
fn a_hostile_clone() {
    grid(Callback::Clone, &[Call::Repoll]);
}

#[test]
fn a_hostile_wake() {
    let calls = [Call::Complete, Call::Fail, Call::Cancel, Call::Abandon];
    grid(Callback::Wake, &calls);
}

#[test]
fn a_hostile_waker_drop() {
    grid(
        Callback::WakerDrop,
        &[Call::Repoll, Call::Drop, Call::EndInCloneThenDropClone],
    );
}

#[test]
fn a_hostile_payload_drop() {
    grid(
        Callback::PayloadDrop,
        &[Call::CompleteThenDrop, Call::FailThenDrop],
    );
}

/// The payload's drop runs after its source went home, so it may rent that very source.
#[test]
fn a_payload_that_is_dropped_finds_its_source_free() {
    let pool = Pool::<Payload, ()>::with_capacity(1);
    let ledger = Ledger::new();
    let (completer, completion) = pool.rent();
    completer.complete(ledger.payload(1)).unwrap();
    let twin = pool.clone();
    ledger.on_drop.arm(move || drop(twin.try_rent().unwrap()));
    drop(completion);
    assert!(!ledger.on_drop.disarm());
    assert_eq!(pool.stats().rented, 2);
}

/// An executor that runs the task inside `wake`, and takes the last owner of the pool with it.
#[test]
fn an_executor_that_polls_inside_wake_may_recycle_the_source() {
    let stage = Stage::new(Place::Pooled);
    let probe = Probe::new();
    stage.poll(&probe);
    let inner = Arc::clone(&stage);
    probe.on_wake.arm(move || {
        inner.try_take();
        assert!(inner.completion.take().is_none(), "the outcome was there");
        inner.next_round();
        drop(inner.pool.take());
    });
    stage.complete();
    assert!(!probe.on_wake.disarm());
    assert_eq!((probe.live(), stage.ledger.live()), (0, 0));
}
