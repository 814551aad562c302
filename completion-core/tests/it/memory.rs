//! What is allocated, and what is freed when. The allocator of this binary counts for it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::ready;
use std::ops::Range;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Poll, Waker};

use completion_core::oneshot::{self, Receiver, Sender};
use completion_core::{Completer, Completion, CompletionSource, Pool, StaticPool};

use crate::support::{Probe, poll, widths};

/// The system's allocator, which counts each thread's calls, and the blocks of one range of sizes.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

/// So many that each shard of a pool has two.
const SOURCES: usize = 16;

/// What so many sources of [`Large`] take, which are aligned to cache lines; nothing else in this binary
/// has that size and alignment.
const WATCHED: Range<usize> = SOURCES * size_of::<Large>()..SOURCES * (size_of::<Large>() + 256);
static WATCHED_LIVE: AtomicIsize = AtomicIsize::new(0);

type Large = [u8; 44_444];

impl Counting {
    fn count(layout: Layout, step: isize) {
        let counter = if step > 0 { &CALLS } else { &FREED };
        // A thread that is ending may have no counter any more, and nobody to read it.
        let _ = counter.try_with(|counter| counter.set(counter.get() + 1));
        if layout.align() == 64 && WATCHED.contains(&layout.size()) {
            WATCHED_LIVE.fetch_add(step, Ordering::SeqCst);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout, 1);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count(layout, -1);
        // SAFETY: as above, and `block` came from it.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How many calls of the allocator `step` made, and what it returned.
pub(crate) fn allocations<R>(step: impl FnOnce() -> R) -> (usize, R) {
    let before = CALLS.get();
    let done = step();
    (CALLS.get() - before, done)
}

/// How many blocks more this thread has after `step` than before.
pub(crate) fn kept(step: impl FnOnce()) -> usize {
    let freed = FREED.get();
    let (allocated, ()) = allocations(step);
    allocated.saturating_sub(FREED.get() - freed)
}

type Round<'a> = (Completer<'a, u64, ()>, Completion<'a, u64, ()>);

/// Ways through a round; how many rounds it took.
fn rounds<'a>(begin: impl Fn() -> Round<'a>) -> usize {
    let probe = Probe::new();
    let waker = probe.waker();
    for polled in [false, true] {
        let begin = || {
            let (completer, mut completion) = begin();
            if polled {
                assert!(poll(&mut completion, &waker).is_pending());
            }
            (completer, completion)
        };
        let (completer, mut completion) = begin();
        completer.complete(1).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(1)));
        let (completer, completion) = begin();
        completer.fail(()).unwrap();
        drop(completion);
        let (completer, completion) = begin();
        drop(completer);
        drop(completion);
        let (completer, completion) = begin();
        drop(completion);
        completer.complete(1).unwrap_err();

        // With somebody who watches, to each end.
        let mut context = Context::from_waker(&waker);
        let (mut completer, completion) = begin();
        assert!(completer.poll_closed(&mut context).is_pending());
        drop(completion);
        assert!(completer.poll_closed(&mut context).is_ready());
        drop(completer);
        let (mut completer, mut completion) = begin();
        assert!(completer.poll_closed(&mut context).is_pending());
        assert!(completer.poll_closed(&mut context).is_pending());
        completer.complete(1).unwrap();
        assert!(!completion.close());
        assert_eq!(poll(&mut completion, &waker), Poll::Ready(Ok(1)));
        // And with a deadline.
        let (_completer, completion) = begin();
        assert!(poll(&mut completion.with_deadline(ready(())), &waker).is_ready());
    }
    14
}

#[test]
fn a_round_allocates_nothing_and_an_overflow_once() {
    let source = CompletionSource::new();
    let pool = Pool::with_capacity(8);
    let fixed = StaticPool::<_, _, 8>::new();
    let none = Pool::with_capacity(0);
    // The first use of a thread draws its number, and the probe allocates one block.
    let probes = 1;
    rounds(|| pool.rent());
    let (calls, _) = allocations(|| rounds(|| source.begin().unwrap()));
    assert_eq!(calls, probes, "in place");
    let (calls, _) = allocations(|| rounds(|| fixed.try_rent().unwrap()));
    assert_eq!(calls, probes, "in a static pool");
    let (calls, _) = allocations(|| rounds(|| pool.rent()));
    assert_eq!(calls, probes, "pooled");
    let (calls, overflowed) = allocations(|| rounds(|| none.rent()));
    assert_eq!(calls, probes + overflowed, "overflowed");

    let (by_token, ()) = allocations(|| {
        let (completer, mut completion) = pool.rent();
        let token = completer.into_token().unwrap();
        pool.complete(token, 1).unwrap();
        pool.complete(token, 2).unwrap_err();
        assert_eq!(completion.try_take(), Some(Ok(1)));
        pool.complete(token, 3).unwrap_err();
        pool.complete_raw(token.to_bits(), Ok(4)).unwrap_err();
        let _ = pool.stats();
        // Held, and answered late.
        for late in [false, true] {
            let (completer, completion) = fixed.try_rent().unwrap();
            let token = completer.into_held_token().unwrap();
            let mut completion = Some(completion);
            if late {
                completion = None;
            }
            let _ = fixed.complete_raw(token.to_bits(), Ok(5));
            assert!(fixed.complete(token, 6).is_err());
            drop(completion);
        }
        assert_eq!(fixed.in_use(), 0);
    });
    assert_eq!(by_token, 0);
}

/// Whoever waits for a source pays for that, and nobody else.
#[cfg(feature = "std")]
#[test]
fn only_who_waits_for_a_source_allocates_and_nothing_is_left_of_it() {
    let pool = Pool::<u64, ()>::with_capacity(1);
    let probe = Probe::new();
    let waker = probe.waker();
    drop(pool.rent());
    let (at_once, _) = allocations(|| assert!(poll(&mut pool.rent_async(), &waker).is_ready()));
    assert_eq!(at_once, 0);
    let wait = || {
        let lent = pool.rent();
        let mut rent = pool.rent_async();
        assert!(poll(&mut rent, &waker).is_pending());
        drop(lent);
        assert!(poll(&mut rent, &waker).is_ready());
    };
    // The first makes the list.
    wait();
    let (waiting, ()) = allocations(wait);
    assert_eq!(waiting, 1, "its place");
}

#[test]
fn a_boxed_channel_allocates_once_and_a_pooled_one_never() {
    let pool = Pool::with_capacity(1);
    let through = |channel: &dyn Fn() -> (Sender<u64>, Receiver<u64>)| {
        let (tx, mut rx) = channel();
        assert!(poll(&mut rx, Waker::noop()).is_pending());
        tx.send(1).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
        let (mut tx, rx) = channel();
        let mut context = Context::from_waker(Waker::noop());
        assert!(tx.poll_closed(&mut context).is_pending());
        drop(rx);
        tx.send(1).unwrap_err();
    };
    through(&|| pool.channel());
    assert_eq!(allocations(|| through(&|| pool.channel())).0, 0);
    assert_eq!(allocations(|| through(&oneshot::channel)).0, 2);
}

/// One test, as the watch is one for the binary: a pool is freed when its last handle is dropped and
/// its last source is home, whichever comes last; not before, and always.
#[test]
fn a_pool_is_freed_exactly_when_nobody_can_reach_it() {
    type LargePool = Pool<Large, ()>;
    let live = || WATCHED_LIVE.load(Ordering::SeqCst);
    let pool = || LargePool::with_capacity(SOURCES as u16);
    assert_eq!(live(), 0);

    let twin = {
        let pool = pool();
        assert_eq!(live(), 1);
        pool.clone()
    };
    assert_eq!(live(), 1);
    drop(twin);
    assert_eq!(live(), 0, "the last handle");

    for completer_last in [false, true] {
        let pool = pool();
        let (one, two) = (pool.rent(), pool.rent());
        drop(pool);
        drop(one);
        assert_eq!(live(), 1, "a round is out");
        let (completer, completion) = two;
        if completer_last {
            drop(completion);
            assert_eq!(live(), 1, "a completer is out");
            drop(completer);
        } else {
            drop(completer);
            assert_eq!(live(), 1, "a completion is out");
            drop(completion);
        }
        assert_eq!(live(), 0, "the last handle of the last round");
    }

    // Any number out of each shard when the last handle goes, in any order.
    for out in 1..=SOURCES {
        for from_the_end in [false, true] {
            let pool = pool();
            let mut rounds: Vec<_> = (0..out).map(|_| pool.try_rent().unwrap()).collect();
            drop(pool);
            while !rounds.is_empty() {
                assert_eq!(live(), 1, "{} of {out} rounds are out", rounds.len());
                let next = if from_the_end { rounds.len() - 1 } else { 0 };
                drop(rounds.swap_remove(next));
            }
            assert_eq!(live(), 0, "all of {out} rounds are home");
        }
    }

    let pool_of_shared_round = pool();
    let (completer, mut completion) = pool_of_shared_round.rent();
    let _token = completer.into_token().unwrap();
    drop(pool_of_shared_round);
    assert_eq!(live(), 1);
    assert!(poll(&mut completion, &Probe::new().waker()).is_pending());
    drop(completion);
    assert_eq!(live(), 0, "a token keeps nothing");

    // Retired sources never come home, and are not waited for. Where versions are wide, none is.
    for retired in 1..=SOURCES {
        let pool = pool();
        let kept: Vec<_> = (retired..SOURCES).map(|_| pool.rent()).collect();
        while let Ok((completer, completion)) = pool.try_rent() {
            let _ = completer.into_token();
            drop(completion);
            if !widths::WEARS_OUT {
                break;
            }
        }
        if widths::WEARS_OUT {
            assert_eq!(pool.stats().capacity, SOURCES - retired);
        }
        drop(pool);
        assert_eq!(live(), isize::from(!kept.is_empty()));
        drop(kept);
        assert_eq!(live(), 0, "{retired} retired");
    }
}
