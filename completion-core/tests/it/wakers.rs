//! Wakers: which one is woken, how often one is cloned, and when one is dropped.

use completion_core::{Completer, Completion, CompletionError, CompletionSource};

use crate::support::{Probe, poll, scaled, widths};

type Source = CompletionSource<u32, ()>;

/// faern/oneshot#15, windows-rs#342: the first waker was kept, later ones ignored.
#[test]
fn only_the_last_waker_is_woken_and_the_first_is_dropped_at_once() {
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    let (first, second) = (Probe::new(), Probe::new());
    assert!(poll(&mut completion, &first.waker()).is_pending());
    assert_eq!(first.live(), 1);
    assert!(poll(&mut completion, &second.waker()).is_pending());
    assert_eq!((first.live(), second.live()), (0, 1));
    completer.complete(1).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(second.live(), 0);
    assert_eq!(completion.try_take(), Some(Ok(1)));
}

#[test]
fn a_million_polls_with_one_waker_clone_it_once() {
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    let probe = Probe::new();
    let waker = probe.waker();
    for _ in 0..scaled(1_000_000, 500) {
        assert!(poll(&mut completion, &waker).is_pending());
    }
    assert_eq!(probe.clones(), 1);
    // A clone of it is the same task.
    assert!(poll(&mut completion, &waker.clone()).is_pending());
    assert_eq!(probe.clones(), 2, "the clone of this test");
    completer.complete(1).unwrap();
    assert_eq!(probe.wakes(), 1);
    assert_eq!(completion.try_take(), Some(Ok(1)));
}

#[test]
fn a_ready_poll_clones_nothing() {
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    let probe = Probe::new();
    assert!(poll(&mut completion, &probe.waker()).is_ready());
    assert_eq!((probe.clones(), probe.live(), probe.wakes()), (0, 0, 0));
}

#[test]
fn the_waker_is_kept_past_a_try_take() {
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    let probe = Probe::new();
    assert!(poll(&mut completion, &probe.waker()).is_pending());
    assert_eq!(completion.try_take(), None);
    completer.complete(1).unwrap();
    assert_eq!(probe.wakes(), 1);
}

/// Ends one round whose waker was replaced more often than a generation counts, in each way.
fn past_the_generations(
    begin: impl Fn() -> (Completer<'static, u32, ()>, Completion<'static, u32, ()>),
    end: impl Fn(Completer<'static, u32, ()>) -> bool,
    woken: bool,
) {
    let probes = [Probe::new(), Probe::new()];
    let wakers = [probes[0].waker(), probes[1].waker()];
    let (completer, mut completion) = begin();
    let last = widths::PAST_GENERATIONS % 2;
    for turn in 0..=widths::PAST_GENERATIONS {
        assert!(poll(&mut completion, &wakers[turn % 2]).is_pending());
        assert_eq!(probes[turn % 2].live(), 2);
        assert_eq!(probes[1 - turn % 2].live(), 1);
    }
    if woken {
        assert!(end(completer));
        assert_eq!(probes[last].wakes(), 1);
    } else {
        drop(completion);
        assert!(!end(completer), "nobody waits");
        assert_eq!(probes[last].wakes(), 0);
    }
    assert_eq!(probes[1 - last].wakes(), 0);
    drop(wakers);
    assert_eq!((probes[0].live(), probes[1].live()), (0, 0));
}

/// A saturated generation takes a path of its own; a wrapping one would wake a torn waker.
#[cfg(feature = "alloc")]
#[test]
fn any_number_of_alternating_wakers_in_one_round() {
    use completion_core::Pool;

    for capacity in [0, 1] {
        let pool = Pool::<u32, ()>::with_capacity(capacity);
        for woken in [true, false] {
            past_the_generations(|| pool.rent(), |c| c.complete(1).is_ok(), woken);
            past_the_generations(|| pool.rent(), |c| c.fail(()).is_ok(), woken);
            past_the_generations(|| pool.rent(), |c| c.cancel().is_ok(), woken);
            let abandon = |completer: Completer<'static, u32, ()>| {
                let waits = !completer.is_closed();
                drop(completer);
                waits
            };
            past_the_generations(|| pool.rent(), abandon, woken);
        }
        assert_eq!(pool.stats().in_use, 0);
    }
    let pool = Pool::<u32, ()>::with_capacity(3);
    for woken in [true, false] {
        let token = |completer: Completer<'static, u32, ()>| completer.into_token().unwrap();
        past_the_generations(
            || pool.rent(),
            |c| pool.complete(token(c), 1).is_ok(),
            woken,
        );
        past_the_generations(|| pool.rent(), |c| pool.fail(token(c), ()).is_ok(), woken);
        past_the_generations(|| pool.rent(), |c| pool.cancel(token(c)).is_ok(), woken);
    }
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn the_generation_starts_anew_with_each_round() {
    static SOURCE: Source = Source::new();
    for _ in 0..3 {
        past_the_generations(|| SOURCE.begin().unwrap(), |c| c.complete(1).is_ok(), true);
    }
}

/// tokio#1648, #7884, #8095: a waker that outlives its use keeps a task alive.
#[test]
fn the_waker_is_gone_the_moment_the_round_ends() {
    let ends: [fn(Completer<'_, u32, ()>); 4] = [
        |completer| completer.complete(1).unwrap(),
        |completer| completer.fail(()).unwrap(),
        |completer| completer.cancel().unwrap(),
        |completer| drop(completer),
    ];
    let source = Source::new();
    for end in ends {
        let (completer, mut completion) = source.begin().unwrap();
        let probe = Probe::new();
        assert!(poll(&mut completion, &probe.waker()).is_pending());
        end(completer);
        assert_eq!(
            (probe.live(), probe.wakes()),
            (0, 1),
            "before the outcome is taken"
        );
    }
    let (completer, mut completion) = source.begin().unwrap();
    let probe = Probe::new();
    assert!(poll(&mut completion, &probe.waker()).is_pending());
    drop(completion);
    assert_eq!(
        (probe.live(), probe.wakes()),
        (0, 0),
        "before the completer leaves"
    );
    drop(completer);
}

/// irrustible/async-oneshot#9, embassy#4912: an ending that comes in the midst of a registration, as from an
/// interrupt, is neither missed nor waited for.
#[test]
fn an_ending_inside_the_registration_is_not_missed() {
    static SOURCE: Source = Source::new();
    for registered in [false, true] {
        for ends_in_clone in [true, false] {
            let (completer, mut completion) = SOURCE.begin().unwrap();
            let (old, new) = (Probe::new(), Probe::new());
            if registered {
                assert!(poll(&mut completion, &old.waker()).is_pending());
            }
            let end = move || completer.complete(5).unwrap();
            if ends_in_clone || !registered {
                new.on_clone.arm(end);
                let ready = poll(&mut completion, &new.waker());
                assert_eq!(ready, std::task::Poll::Ready(Ok(5)));
                assert_eq!(old.wakes(), usize::from(registered));
                assert_eq!(new.wakes(), 0);
            } else {
                // Where the old waker is dropped, the new one is in place already.
                old.on_drop.arm(end);
                assert!(poll(&mut completion, &new.waker()).is_pending());
                assert_eq!((old.wakes(), new.wakes()), (0, 1));
                assert_eq!(completion.try_take(), Some(Ok(5)));
            }
            assert_eq!((old.live(), new.live()), (0, 0));
        }
    }
}

#[test]
fn wakers_of_the_standard_library_work_too() {
    let source = Source::new();
    let (completer, mut completion) = source.begin().unwrap();
    let noop = std::task::Waker::noop();
    assert!(poll(&mut completion, noop).is_pending());
    assert!(poll(&mut completion, noop).is_pending());
    drop(completer);
    assert_eq!(
        poll(&mut completion, noop),
        std::task::Poll::Ready(Err(CompletionError::Abandoned))
    );
}
