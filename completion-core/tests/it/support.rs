//! What the tests share: wakers and payloads that count and can be made hostile, and the widths of
//! this build.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// How the state word of this build is divided, seen from outside. RUSTSEC-2022-0041: 64-bit atomics where
/// there are none. The narrow build has a word of 32 bits, as such targets have.
pub(crate) mod widths {
    const NARROW: bool = cfg!(completion_narrow);
    const WORD_64: bool = cfg!(target_has_atomic = "64");

    const VERSION_BITS: u32 = match (NARROW, WORD_64) {
        (true, _) => 2,
        (false, true) => 48,
        (false, false) => 21,
    };
    const GENERATION_BITS: u32 = if !NARROW && WORD_64 { 7 } else { 2 };

    /// How many rounds of one source may have a token: every version but the one that says *retired*.
    pub(crate) const TOKEN_ROUNDS: u64 = (1 << VERSION_BITS) - 1;

    /// More registrations in one round than the waker's generation can tell apart.
    pub(crate) const PAST_GENERATIONS: usize = (1 << GENERATION_BITS) + 50;

    /// `wanted` token rounds, or as many as `sources` of them can give.
    pub(crate) fn token_rounds(wanted: u64, sources: u64) -> u64 {
        wanted.min(sources.saturating_mul(TOKEN_ROUNDS))
    }

    /// Whether a source wears out within a test.
    pub(crate) const WEARS_OUT: bool = TOKEN_ROUNDS < 1_000;
}

/// `normal`, or `miri` where the interpreter runs the test.
pub(crate) const fn scaled(normal: usize, miri: usize) -> usize {
    if cfg!(miri) { miri } else { normal }
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Foreign code, run once.
pub(crate) type Hook = Box<dyn FnOnce() + Send>;

/// A place for foreign code; the code runs with the place unlocked and empty, so it may arm it again.
#[derive(Default)]
pub(crate) struct Trap(Mutex<Option<Hook>>);

impl Trap {
    pub(crate) fn arm(&self, hook: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Makes the place harmless; whether foreign code was still there, not having run.
    pub(crate) fn disarm(&self) -> bool {
        let hook = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        hook.is_some()
    }

    pub(crate) fn spring(&self) {
        let hook = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hook) = hook {
            hook();
        }
    }
}

/// What [`unwind`] throws.
struct Thrown;

/// Panics without a message on standard error.
pub(crate) fn unwind() {
    resume_unwind(Box::new(Thrown));
}

/// Runs `step`; `None` if it panicked by [`unwind`]. Any other panic goes on.
pub(crate) fn caught<R>(step: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(done) => Some(done),
        Err(panic) if panic.is::<Thrown>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Makes wakers of one task, counts what becomes of them, and runs foreign code inside them.
#[derive(Clone, Default)]
pub(crate) struct Probe(Arc<Hooks>);

#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) on_clone: Trap,
    pub(crate) on_wake: Trap,
    pub(crate) on_drop: Trap,
    clones: AtomicUsize,
    wakes: AtomicUsize,
    live: AtomicIsize,
}

impl std::ops::Deref for Probe {
    type Target = Hooks;

    fn deref(&self) -> &Hooks {
        &self.0
    }
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn waker(&self) -> Waker {
        self.0.live.fetch_add(1, Ordering::SeqCst);
        let data = Arc::into_raw(Arc::clone(&self.0)).cast();
        // SAFETY: the table keeps the contract of a waker: `data` owns one count of an `Arc<Hooks>`,
        // `clone` adds one, `wake` and `drop` give one up, and `Hooks` is `Send` and `Sync`.
        unsafe { Waker::new(data, &TABLE) }
    }
}

impl Hooks {
    pub(crate) fn clones(&self) -> usize {
        self.clones.load(Ordering::SeqCst)
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Wakers that exist now; below zero after a double drop.
    pub(crate) fn live(&self) -> isize {
        self.live.load(Ordering::SeqCst)
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: from `Arc::into_raw`; borrowed only, as the count stays with the waker.
        let hooks = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Hooks>()) });
        hooks.clones.fetch_add(1, Ordering::SeqCst);
        hooks.on_clone.spring();
        hooks.live.fetch_add(1, Ordering::SeqCst);
        let copy = ManuallyDrop::new(Arc::clone(&hooks));
        RawWaker::new(Arc::as_ptr(&copy).cast(), &TABLE)
    },
    |data| {
        // SAFETY: from `Arc::into_raw`; the waker is used up.
        let hooks = unsafe { Arc::from_raw(data.cast::<Hooks>()) };
        hooks.live.fetch_sub(1, Ordering::SeqCst);
        hooks.wakes.fetch_add(1, Ordering::SeqCst);
        hooks.on_wake.spring();
    },
    |data| {
        // SAFETY: from `Arc::into_raw`; borrowed only, as the count stays with the waker.
        let hooks = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Hooks>()) });
        hooks.wakes.fetch_add(1, Ordering::SeqCst);
        hooks.on_wake.spring();
    },
    |data| {
        // SAFETY: from `Arc::into_raw`; the waker is used up.
        let hooks = unsafe { Arc::from_raw(data.cast::<Hooks>()) };
        hooks.live.fetch_sub(1, Ordering::SeqCst);
        hooks.on_drop.spring();
    },
);

/// Counts payloads, and runs foreign code when one is dropped.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Accounts>);

#[derive(Default)]
pub(crate) struct Accounts {
    pub(crate) on_drop: Trap,
    live: AtomicIsize,
}

impl std::ops::Deref for Ledger {
    type Target = Accounts;

    fn deref(&self) -> &Accounts {
        &self.0
    }
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn payload(&self, tag: u64) -> Payload {
        self.0.live.fetch_add(1, Ordering::SeqCst);
        Payload {
            tag: Box::new(tag),
            ledger: self.clone(),
        }
    }
}

impl Accounts {
    /// Payloads that exist now; below zero after a double drop.
    pub(crate) fn live(&self) -> isize {
        self.live.load(Ordering::SeqCst)
    }
}

/// Something to deliver that owns memory, so a double drop or a torn move shows.
pub(crate) struct Payload {
    tag: Box<u64>,
    ledger: Ledger,
}

impl Payload {
    pub(crate) fn tag(&self) -> u64 {
        *self.tag
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.tag.fmt(f)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.ledger.0.live.fetch_sub(1, Ordering::SeqCst);
        self.ledger.on_drop.spring();
    }
}
