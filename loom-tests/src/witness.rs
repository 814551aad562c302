//! Wakers and payloads that notice when they are torn, lost, leaked or used twice.
//!
//! Their counters are ordinary atomics, invisible to loom, so watching adds no synchronisation to what
//! is watched. Memory that the code under test may misuse is kept until the witness goes, so a misuse
//! is an assertion, not a crash.

use core::fmt;
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};

use loom::sync::Notify;

/// Two kinds of waker with a table each: the words of one never fit those of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first kind.
    A,
    /// The second kind.
    B,
}

/// Watches one waker and one lot of payloads.
pub struct Witness {
    watched: Arc<Watched>,
}

struct Watched {
    kind: Kind,
    /// Wakers about.
    wakers: AtomicIsize,
    wakes: AtomicUsize,
    payloads: AtomicIsize,
    notify: Notify,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness")
            .field("kind", &self.watched.kind)
            .finish_non_exhaustive()
    }
}

/// A payload that is counted while it is about.
pub struct Payload {
    number: u32,
    watched: Arc<Watched>,
}

impl Payload {
    /// What it was made with.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Payload").field(&self.number).finish()
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        let left = self.watched.payloads.fetch_sub(1, SeqCst);
        assert!(left > 0, "a payload was dropped twice");
    }
}

impl Witness {
    /// A witness with no waker and no payload about.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            watched: Arc::new(Watched {
                kind,
                wakers: AtomicIsize::new(0),
                wakes: AtomicUsize::new(0),
                payloads: AtomicIsize::new(0),
                notify: Notify::new(),
            }),
        }
    }

    /// A payload; the witness wants it dropped exactly once.
    #[must_use]
    pub fn payload(&self, number: u32) -> Payload {
        self.watched.payloads.fetch_add(1, SeqCst);
        Payload {
            number,
            watched: self.watched.clone(),
        }
    }

    /// A waker of this witness.
    #[must_use]
    pub fn waker(&self) -> Waker {
        // SAFETY: the table treats the pointer as the `Watched` it is, which lives longer than any
        // waker in every correct execution, and to the end of the model in every other.
        unsafe { Waker::from_raw(raw(&self.watched)) }
    }

    /// Polls once with this witness's waker.
    pub fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        let waker = self.waker();
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    /// Polls until ready, sleeping in between until this very waker is woken: a lost wake is a
    /// deadlock, which loom reports.
    pub fn block_on<F: Future + Unpin>(&self, mut future: F) -> F::Output {
        loop {
            match self.poll(&mut future) {
                Poll::Ready(output) => return output,
                Poll::Pending => self.watched.notify.wait(),
            }
        }
    }

    /// How often this witness's waker was woken.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.watched.wakes.load(SeqCst)
    }

    /// For when every waker should be gone.
    ///
    /// # Panics
    ///
    /// If one is left.
    pub fn assert_no_wakers(&self) {
        assert_eq!(self.watched.wakers.load(SeqCst), 0, "wakers left");
    }

    /// For when every waker and payload should be gone.
    ///
    /// # Panics
    ///
    /// If one is left.
    pub fn assert_nothing_left(&self) {
        self.assert_no_wakers();
        assert_eq!(self.watched.payloads.load(SeqCst), 0, "payloads left");
    }
}

fn raw(watched: &Arc<Watched>) -> RawWaker {
    watched.wakers.fetch_add(1, SeqCst);
    let table = match watched.kind {
        Kind::A => &TABLE_A,
        Kind::B => &TABLE_B,
    };
    RawWaker::new(Arc::as_ptr(watched).cast(), table)
}

/// The watched one behind a waker of `kind`.
///
/// # Safety
/// `data` is what [`raw`] put there, or that of a waker of the other kind: both are `Watched`.
unsafe fn watched<'a>(data: *const (), kind: Kind) -> &'a Watched {
    assert!(
        !data.is_null(),
        "a waker was made of words that were never filled"
    );
    // SAFETY: a `Watched` that its witness, and so the model, keeps alive.
    let watched = unsafe { &*data.cast::<Watched>() };
    assert_eq!(watched.kind, kind, "a torn waker: the words of two");
    assert!(
        watched.wakers.load(SeqCst) > 0,
        "a waker was used after it was gone"
    );
    watched
}

macro_rules! table {
    ($kind:expr) => {
        RawWakerVTable::new(
            |data| {
                // SAFETY: called by `Waker` with its own data.
                let watched = unsafe { watched(data, $kind) };
                watched.wakers.fetch_add(1, SeqCst);
                RawWaker::new(data, if $kind == Kind::A { &TABLE_A } else { &TABLE_B })
            },
            |data| {
                // SAFETY: called by `Waker` with its own data.
                let watched = unsafe { watched(data, $kind) };
                watched.wakes.fetch_add(1, SeqCst);
                watched.wakers.fetch_sub(1, SeqCst);
                watched.notify.notify();
            },
            |data| {
                // SAFETY: called by `Waker` with its own data.
                let watched = unsafe { watched(data, $kind) };
                watched.wakes.fetch_add(1, SeqCst);
                watched.notify.notify();
            },
            |data| {
                // SAFETY: called by `Waker` with its own data.
                let watched = unsafe { watched(data, $kind) };
                watched.wakers.fetch_sub(1, SeqCst);
            },
        )
    };
}

static TABLE_A: RawWakerVTable = table!(Kind::A);
static TABLE_B: RawWakerVTable = table!(Kind::B);
