//! Foreign code that panics, or re-enters every operation, from each of the four places where it runs.
//!
//! A grid: where the source lives × who may produce, or watches × what the waker's registration is like ×
//! what is called × which callback of it bites × what the callback does. Whatever happens, every payload
//! and waker is dropped exactly once, nobody is stuck, no wake is lost, and the source serves the next
//! round. tokio#5429, tokio#5471, tokio#5578, ngx-rust#294: re-entry; tokio#3689: a panic in a clone.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use completion_core::{
    Completer, Completion, CompletionSource, Pool, RentError, StaticPool, Token,
};

use crate::support::{Ledger, Payload, Probe, Trap, caught, poll, unwind, widths};

/// Two owners of sources in place; the other one is a `Pool`.
struct InPlace {
    source: CompletionSource<Payload, Payload>,
    pool: StaticPool<Payload, Payload, 1>,
}

/// Sources that are lent for ever are kept reachable, for leak checkers.
static LENT_FOR_EVER: Mutex<Vec<&'static InPlace>> = Mutex::new(Vec::new());

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
    Static,
    Pooled,
    Overflow,
}

/// Who may produce, and whether the completer watches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Unique,
    Watched,
    Shared,
    Held,
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
    Share,
    Hold,
    Watch,
    Repoll,
    Close,
    Drop,
    ClosePool,
    /// Both handles leave, and the source goes to who waits for one.
    #[cfg(feature = "std")]
    BringHome,
    CompleteThenDrop,
    FailThenDrop,
    ClosePoolThenTake,
    EndInCloneThenDropClone,
}

/// The callback that bites.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Callback {
    Clone,
    Wake,
    WakerDrop,
    WatcherWake,
    WatcherDrop,
    /// The waker of one who waits for a source.
    RenterWake,
    PayloadDrop,
    /// What a pool is closed with.
    Cause,
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
    Hold,
    Watch,
    Poll,
    TryTake,
    Close,
    DropCompletion,
    DropBoth,
    NextRound,
    RentAsync,
    ClosePool,
    DropPool,
    Everything,
}

const ACTS: [Act; 18] = [
    Act::Panic,
    Act::Complete,
    Act::Fail,
    Act::Cancel,
    Act::Abandon,
    Act::Share,
    Act::Hold,
    Act::Watch,
    Act::Poll,
    Act::TryTake,
    Act::Close,
    Act::DropCompletion,
    Act::DropBoth,
    Act::NextRound,
    Act::RentAsync,
    Act::ClosePool,
    Act::DropPool,
    Act::Everything,
];

struct Stage {
    place: Place,
    in_place: Option<&'static InPlace>,
    pool: Seat<Pool<Payload, Payload>>,
    completer: Seat<Completer<'static, Payload, Payload>>,
    token: Mutex<Option<Token>>,
    completion: Seat<Completion<'static, Payload, Payload>>,
    ledger: Ledger,
    /// Whose waker the last poll left behind. One that panicked may have left its own instead.
    last: Seat<Probe>,
    /// Whose waker the last watch left behind.
    watching: Seat<Probe>,
    /// What bites when the cause of a pool's closing is made.
    on_cause: Trap,
}

impl Stage {
    fn new(place: Place) -> Arc<Self> {
        let in_place = matches!(place, Place::Source | Place::Static).then(|| {
            let in_place: &'static InPlace = Box::leak(Box::new(InPlace {
                source: CompletionSource::new(),
                pool: StaticPool::new(),
            }));
            let mut kept = LENT_FOR_EVER.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(in_place);
            in_place
        });
        let pool = match place {
            Place::Pooled => Some(Pool::with_capacity(1)),
            Place::Overflow => Some(Pool::with_capacity(0)),
            Place::Source | Place::Static => None,
        };
        let stage = Self {
            place,
            in_place,
            pool: Seat::new(pool),
            completer: Seat::new(None),
            token: Mutex::new(None),
            completion: Seat::new(None),
            ledger: Ledger::new(),
            last: Seat::new(None),
            watching: Seat::new(None),
            on_cause: Trap::default(),
        };
        let (completer, completion) = stage.begin().expect("nothing is lent yet");
        stage.completer.put(completer);
        stage.completion.put(completion);
        Arc::new(stage)
    }

    /// A round, unless the source is lent, or the pool gone.
    fn begin(&self) -> Option<completion_core::Round<'static, Payload, Payload>> {
        match (self.place, self.in_place) {
            (Place::Source, Some(it)) => it.source.begin().ok(),
            (Place::Static, Some(it)) => it.pool.try_rent().ok(),
            _ => self.with_pool(Pool::rent),
        }
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

    fn share(&self, held: bool) {
        if let Some(completer) = self.completer.take() {
            let named = match held {
                false => completer.into_token(),
                true => completer.into_held_token(),
            };
            match named {
                Ok(token) => {
                    *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
                }
                Err(refused) => self.completer.put(refused.into_completer()),
            }
        }
    }

    /// By completer, or by token and number in turn.
    fn complete(&self) {
        let payload = self.ledger.payload(1);
        if let Some(completer) = self.completer.take() {
            drop(completer.complete(payload));
        } else if let Some(token) = self.token() {
            match (self.place, self.in_place) {
                (Place::Source, Some(it)) => drop(it.source.complete(token, payload)),
                (Place::Static, Some(it)) => {
                    drop(it.pool.complete_raw(token.to_bits(), Ok(payload)))
                }
                _ => drop(self.with_pool(|pool| pool.complete(token, payload))),
            }
        }
    }

    fn fail(&self) {
        let payload = self.ledger.payload(2);
        if let Some(completer) = self.completer.take() {
            drop(completer.fail(payload));
        } else if let Some(token) = self.token() {
            match (self.place, self.in_place) {
                (Place::Source, Some(it)) => drop(it.source.fail(token, payload)),
                (Place::Static, Some(it)) => drop(it.pool.fail(token, payload)),
                _ => drop(self.with_pool(|pool| pool.complete_raw(token.to_bits(), Err(payload)))),
            }
        }
    }

    fn cancel(&self) {
        if let Some(completer) = self.completer.take() {
            let _ = completer.cancel();
        } else if let Some(token) = self.token() {
            match (self.place, self.in_place) {
                (Place::Source, Some(it)) => drop(it.source.cancel(token)),
                (Place::Static, Some(it)) => drop(it.pool.cancel(token)),
                _ => drop(self.with_pool(|pool| pool.cancel(token))),
            }
        }
    }

    fn watch(&self, probe: &Probe) {
        let Some(completer) = self.completer.take() else {
            return;
        };
        let waker = probe.waker();
        let mut borrowed = Borrowed(&self.completer, Some(completer));
        let completer = borrowed.1.as_mut().unwrap();
        if completer
            .poll_closed(&mut Context::from_waker(&waker))
            .is_pending()
        {
            self.watching.take();
            self.watching.put(probe.clone());
        }
    }

    fn close(&self) {
        if let Some(completion) = self.completion.take() {
            let mut borrowed = Borrowed(&self.completion, Some(completion));
            borrowed.1.as_mut().unwrap().close();
        }
    }

    fn close_pool(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let ledger = self.ledger.clone();
        self.with_pool(|pool| {
            pool.close_with(move || {
                if let Some(stage) = weak.upgrade() {
                    stage.on_cause.spring();
                }
                ledger.payload(8)
            })
        });
    }

    fn poll(&self, probe: &Probe) {
        let Some(completion) = self.completion.take() else {
            return;
        };
        let waker = probe.waker();
        let mut borrowed = Borrowed(&self.completion, Some(completion));
        let completion = borrowed.1.as_mut().unwrap();
        match poll(completion, &waker) {
            Poll::Pending => {
                self.last.take();
                self.last.put(probe.clone());
            }
            Poll::Ready(outcome) => {
                self.last.take();
                let spent = borrowed.1.take();
                assert!(spent.is_some_and(|spent| spent.is_terminated()));
                drop(outcome);
            }
        }
    }

    fn try_take(&self) {
        if let Some(completion) = self.completion.take() {
            let mut borrowed = Borrowed(&self.completion, Some(completion));
            let outcome = borrowed.1.as_mut().unwrap().try_take();
            if outcome.is_some() {
                borrowed.1 = None;
            }
        }
    }

    /// A whole round beside or after this one.
    fn next_round(&self) {
        if self.with_pool(Pool::is_closed) == Some(true) {
            let refused = self.with_pool(Pool::try_rent).unwrap();
            assert_eq!(refused.unwrap_err(), RentError::Closed);
            return;
        }
        let Some((completer, mut completion)) = self.begin() else {
            return;
        };
        let probe = Probe::new();
        assert!(poll(&mut completion, &probe.waker()).is_pending());
        completer.complete(self.ledger.payload(9)).unwrap();
        assert_eq!((probe.wakes(), probe.live()), (1, 0));
        assert_eq!(completion.try_take().unwrap().unwrap().tag(), 9);
    }

    /// Rents, or waits for a moment, and gives up.
    fn rent_async(&self) {
        self.with_pool(|pool| {
            #[cfg(feature = "std")]
            drop(poll(&mut pool.rent_async(), &Probe::new().waker()));
            #[cfg(not(feature = "std"))]
            drop(pool.try_rent());
        });
    }

    fn act(self: &Arc<Self>, act: Act) {
        match act {
            Act::Panic => unwind(),
            Act::Complete => self.complete(),
            Act::Fail => self.fail(),
            Act::Cancel => self.cancel(),
            Act::Abandon => drop(self.completer.take()),
            Act::Share => self.share(false),
            Act::Hold => self.share(true),
            Act::Watch => self.watch(&Probe::new()),
            Act::Poll => self.poll(&Probe::new()),
            Act::TryTake => self.try_take(),
            Act::Close => self.close(),
            Act::DropCompletion => drop(self.completion.take()),
            Act::DropBoth => {
                drop(self.completer.take());
                drop(self.completion.take());
            }
            Act::NextRound => self.next_round(),
            Act::RentAsync => self.rent_async(),
            Act::ClosePool => self.close_pool(),
            Act::DropPool => drop(self.pool.take()),
            Act::Everything => {
                self.watch(&Probe::new());
                self.poll(&Probe::new());
                self.complete();
                self.try_take();
                self.next_round();
                self.fail();
                self.cancel();
                self.close();
                drop(self.completion.take());
                self.next_round();
                self.rent_async();
                self.close_pool();
                self.next_round();
                drop(self.pool.take());
            }
        }
    }
}

struct Case {
    place: Place,
    mode: Mode,
    registered: Registered,
    call: Call,
    callback: Callback,
    act: Act,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {:?}, registered {:?}: {:?}, whose {:?} does {:?}",
            self.place, self.mode, self.registered, self.call, self.callback, self.act
        )
    }
}

impl Case {
    /// Runs the case; whether the callback bit at all.
    fn run(&self) -> bool {
        let stage = Stage::new(self.place);
        // Somebody must be there to answer for what is held, and to be waited for.
        let answers = self.mode == Mode::Held || self.act == Act::Hold || self.call == Call::Hold;
        let awaited = self.callback == Callback::RenterWake && self.place == Place::Pooled;
        let keeper = match answers || awaited {
            true => stage.with_pool(Pool::clone),
            false => None,
        };
        let [watcher, renter] = [Probe::new(), Probe::new()];
        match self.mode {
            Mode::Unique => {}
            Mode::Watched => stage.watch(&watcher),
            Mode::Shared => stage.share(false),
            Mode::Held => stage.share(true),
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
        #[cfg(feature = "std")]
        let mut rent = keeper.as_ref().filter(|_| awaited).map(Pool::rent_async);
        #[cfg(feature = "std")]
        if let Some(rent) = &mut rent {
            assert!(poll(rent, &renter.waker()).is_pending());
        }

        let trap = {
            let (stage, act) = (Arc::clone(&stage), self.act);
            move || stage.act(act)
        };
        match self.callback {
            Callback::Clone => fresh.on_clone.arm(trap),
            Callback::Wake => registered.on_wake.arm(trap),
            Callback::WatcherWake => watcher.on_wake.arm(trap),
            Callback::WatcherDrop => watcher.on_drop.arm(trap),
            Callback::RenterWake => renter.on_wake.arm(trap),
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
            Callback::Cause => stage.on_cause.arm(trap),
        }

        let finished = caught(|| match self.call {
            Call::Complete => stage.complete(),
            Call::Fail => stage.fail(),
            Call::Cancel => stage.cancel(),
            Call::Abandon => drop(stage.completer.take()),
            Call::Share => stage.share(false),
            Call::Hold => stage.share(true),
            Call::Watch => stage.watch(&fresh),
            Call::Repoll | Call::EndInCloneThenDropClone => stage.poll(&fresh),
            Call::Close => stage.close(),
            Call::Drop => drop(stage.completion.take()),
            Call::ClosePool => stage.close_pool(),
            #[cfg(feature = "std")]
            Call::BringHome => {
                drop(stage.completion.take());
                stage.cancel();
            }
            Call::CompleteThenDrop => {
                stage.complete();
                drop(stage.completion.take());
            }
            Call::FailThenDrop => {
                stage.fail();
                drop(stage.completion.take());
            }
            Call::ClosePoolThenTake => {
                stage.close_pool();
                stage.try_take();
            }
        });

        let armed = [
            &registered.on_wake,
            &registered.on_drop,
            &watcher.on_wake,
            &watcher.on_drop,
            &renter.on_wake,
            &fresh.on_clone,
            &fresh.on_drop,
            &stage.ledger.on_drop,
            &stage.on_cause,
        ]
        .into_iter()
        .fold(false, |armed, trap| trap.disarm() | armed);
        assert_eq!(
            finished.is_none(),
            !armed && self.act == Act::Panic,
            "{self:?}"
        );
        self.wind_up(&stage, &fresh);
        #[cfg(feature = "std")]
        if let Some(mut rent) = rent {
            self.serve(&stage, &mut rent, &renter);
        }
        // Nobody answers for what a forgotten token holds but who has a handle.
        if let Some(pool) = &keeper {
            if let Some(token) = stage.token() {
                let _ = pool.cancel(token);
            }
            assert_eq!(pool.stats().in_use, 0, "{self:?}");
        }
        for probe in [&probes[0], &probes[1], &fresh, &watcher, &renter] {
            assert_eq!(probe.live(), 0, "wakers about: {self:?}");
        }
        assert_eq!(stage.ledger.live(), 0, "payloads about: {self:?}");
        !armed
    }

    /// Who waited for the source has it, or was told that there is none.
    #[cfg(feature = "std")]
    fn serve(
        &self,
        stage: &Arc<Stage>,
        rent: &mut completion_core::Rent<'_, Payload, Payload>,
        renter: &Probe,
    ) {
        assert_eq!(renter.wakes(), 1, "{self:?}");
        let Poll::Ready(got) = poll(rent, &renter.waker()) else {
            panic!("it waits on: {self:?}");
        };
        let (completer, mut completion) = match got {
            Ok(round) => round,
            Err(reason) => return assert_eq!(reason, RentError::Closed, "{self:?}"),
        };
        match completer.complete(stage.ledger.payload(6)) {
            Ok(()) => assert_eq!(completion.try_take().unwrap().unwrap().tag(), 6),
            Err(_) => drop(completion.try_take().expect("the pool was closed")),
        }
    }

    /// Ends whatever is left, then looks at the balance.
    fn wind_up(&self, stage: &Arc<Stage>, fresh: &Probe) {
        if let Some(completer) = stage.completer.take() {
            if let Some(probe) = stage.watching.take() {
                let woken = probe.wakes() + fresh.wakes() > 0;
                assert!(
                    woken || !completer.is_closed(),
                    "a watcher was not woken: {self:?}"
                );
            }
            stage.completer.put(completer);
        }
        if let Some(mut completion) = stage.completion.take() {
            let waiting = stage.last.take();
            let mut outcome = completion.try_take();
            if outcome.is_none() {
                // Still pending, so it can still be ended, and its waiter hears of it.
                let producers = stage.completer.take().map(|completer| {
                    let payload = stage.ledger.payload(5);
                    completer.complete(payload).expect("the completion is here");
                });
                if producers.is_none() && stage.has_owner() {
                    stage.complete();
                }
                outcome = completion.try_take();
            }
            match (&outcome, waiting) {
                // Who closes knows; others are told.
                (Some(_), Some(probe)) => assert!(
                    probe.wakes() + fresh.wakes() > 0
                        || self.call == Call::Close
                        || self.act == Act::Close,
                    "a wake was lost: {self:?}"
                ),
                (Some(_), None) => {}
                (None, _) => assert!(!stage.has_owner(), "stuck: {self:?}"),
            }
        }
        drop(stage.completer.take());
        // For what may be held.
        stage.cancel();
        stage.next_round();
        if let Some(in_place) = stage.in_place {
            assert!(in_place.source.begin().is_ok(), "it stays lent: {self:?}");
            assert!(in_place.pool.try_rent().is_ok(), "it stays lent: {self:?}");
        }
        if let Some(pool) = stage.pool.take() {
            let stats = pool.stats();
            let waited_for = usize::from(self.callback == Callback::RenterWake);
            assert!(stats.in_use <= waited_for, "{self:?}");
        }
    }
}

impl Stage {
    /// Whether a token can still be used; the pool may be gone, and then only the waiter ends.
    fn has_owner(&self) -> bool {
        self.in_place.is_some() || self.with_pool(|_| ()).is_some()
    }
}

fn grid(callback: Callback, calls: &[Call]) {
    for call in calls.iter().copied() {
        let mut bit = 0;
        for place in [Place::Source, Place::Static, Place::Pooled, Place::Overflow] {
            for mode in [Mode::Unique, Mode::Watched, Mode::Shared, Mode::Held] {
                for registered in [Registered::No, Registered::Once, Registered::Saturated] {
                    if cfg!(miri) && registered == Registered::Saturated && place != Place::Pooled {
                        continue;
                    }
                    for act in ACTS {
                        let case = Case {
                            place,
                            mode,
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
        assert!(
            bit >= ACTS.len(),
            "{call:?} hardly ran its {callback:?}: {bit}"
        );
    }
}

#[test]
fn a_hostile_clone() {
    grid(Callback::Clone, &[Call::Repoll, Call::Watch]);
}

#[test]
fn a_hostile_wake() {
    let ends = [
        Call::Complete,
        Call::Fail,
        Call::Cancel,
        Call::Abandon,
        Call::ClosePool,
    ];
    grid(Callback::Wake, &ends);
}

#[test]
fn a_hostile_waker_drop() {
    grid(
        Callback::WakerDrop,
        &[
            Call::Repoll,
            Call::Close,
            Call::Drop,
            Call::EndInCloneThenDropClone,
        ],
    );
}

#[test]
fn a_hostile_wake_of_who_watches() {
    grid(
        Callback::WatcherWake,
        &[Call::Close, Call::Drop, Call::ClosePool],
    );
}

#[test]
fn a_hostile_drop_of_a_waker_that_watched() {
    grid(
        Callback::WatcherDrop,
        &[
            Call::Complete,
            Call::Fail,
            Call::Cancel,
            Call::Abandon,
            Call::Share,
            Call::Hold,
            Call::Watch,
        ],
    );
}

#[cfg(feature = "std")]
#[test]
fn a_hostile_wake_of_who_waits_for_a_source() {
    grid(Callback::RenterWake, &[Call::BringHome, Call::ClosePool]);
}

#[test]
fn a_hostile_payload_drop() {
    grid(
        Callback::PayloadDrop,
        &[
            Call::CompleteThenDrop,
            Call::FailThenDrop,
            Call::ClosePoolThenTake,
        ],
    );
}

#[test]
fn a_hostile_cause() {
    grid(Callback::Cause, &[Call::ClosePoolThenTake]);
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

/// dotnet/coreclr#22711: the tail of a complete ran into the round that had begun meanwhile on its source.
#[test]
fn the_tail_of_an_ending_leaves_the_next_round_alone() {
    type End = fn(Completer<'static, Payload, Payload>, &Ledger) -> bool;
    let ends: [End; 4] = [
        |completer, ledger| completer.complete(ledger.payload(1)).is_ok(),
        |completer, ledger| completer.fail(ledger.payload(1)).is_ok(),
        |completer, _| completer.cancel().is_ok(),
        |completer, _| {
            drop(completer);
            true
        },
    ];
    for (end, registrations) in ends.into_iter().flat_map(|end| [(end, 1), (end, 600)]) {
        let ledger = Ledger::new();
        let pool = Pool::<Payload, Payload>::with_capacity(1);
        let (completer, completion) = pool.rent();
        let first = Probe::new();
        let completion = Seat::new(Some(completion));
        for _ in 0..registrations {
            let mut awaited = completion.take().unwrap();
            assert!(poll(&mut awaited, &Probe::new().waker()).is_pending());
            assert!(poll(&mut awaited, &first.waker()).is_pending());
            completion.put(awaited);
        }
        let (next, second) = (Arc::new(Seat::new(None)), Probe::new());
        let (seat, twin, probe) = (Arc::clone(&next), pool.clone(), second.clone());
        first.on_wake.arm(move || {
            drop(completion.take().unwrap().try_take());
            // Where the waker is taken out under `TAKING`, the source is home by now as well.
            let (completer, mut awaited) = twin.try_rent().unwrap();
            assert!(poll(&mut awaited, &probe.waker()).is_pending());
            seat.put((completer, awaited));
        });
        assert!(end(completer, &ledger));
        let (completer, mut awaited) = next.take().expect("begun inside the wake");
        assert_eq!((second.wakes(), second.live()), (0, 1));
        completer.complete(ledger.payload(2)).unwrap();
        assert_eq!((second.wakes(), second.live()), (1, 0));
        assert_eq!(awaited.try_take().unwrap().unwrap().tag(), 2);
        assert_eq!((first.live(), ledger.live()), (0, 0));
        pool.assert_quiescent();
    }
}
