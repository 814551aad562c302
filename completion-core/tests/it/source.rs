//! `CompletionSource`, `Completer` and `Completion`: what each function promises, on one thread.

use std::mem;
use std::task::Poll;

use completion_core::{BeginError, CompletionError, CompletionSource, Rejection};

use crate::support::{Ledger, Payload, Probe, poll, widths};

type Source = CompletionSource<Payload, Payload>;

#[test]
fn each_ending_reaches_the_consumer_before_and_after_the_first_poll() {
    for polled in [false, true] {
        let source = CompletionSource::<u32, &str>::new();
        let probe = Probe::new();
        let waker = probe.waker();
        type Act = fn(completion_core::Completer<'_, u32, &'static str>);
        let endings: [(Act, Result<u32, CompletionError<&str>>); 4] = [
            (|c| c.complete(7).unwrap(), Ok(7)),
            (
                |c| c.fail("no").unwrap(),
                Err(CompletionError::Failed("no")),
            ),
            (|c| c.cancel().unwrap(), Err(CompletionError::Cancelled)),
            (|c| drop(c), Err(CompletionError::Abandoned)),
        ];
        for (round, (act, expected)) in endings.into_iter().enumerate() {
            let (completer, mut completion) = source.begin().unwrap();
            if polled {
                assert_eq!(poll(&mut completion, &waker), Poll::Pending);
            }
            assert!(!completer.is_closed());
            act(completer);
            assert_eq!(probe.wakes(), if polled { round + 1 } else { 0 });
            assert!(!completion.is_terminated());
            assert_eq!(poll(&mut completion, &waker), Poll::Ready(expected));
            assert!(completion.is_terminated());
            assert_eq!(completion.try_take(), None);
        }
        drop(waker);
        assert_eq!(probe.live(), 0);
    }
}

#[test]
fn a_source_serves_any_number_of_unique_rounds() {
    // Also past the versions of a narrow build: only rounds whose token went out consume them.
    let source = CompletionSource::<u64, ()>::new();
    for round in 0..1_000 {
        let (completer, mut completion) = source.begin().unwrap();
        completer.complete(round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
}

#[test]
fn begin_is_refused_while_either_handle_is_about() {
    let source = CompletionSource::<u8, ()>::new();
    let lent = || source.begin().unwrap_err() == BeginError::Lent;

    let (completer, completion) = source.begin().unwrap();
    assert!(lent());
    drop(completion);
    assert!(lent(), "the completer still holds the payload");
    drop(completer);
    let (completer, completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert!(lent(), "the outcome was not taken");
    drop(completion);
    assert!(source.begin().is_ok());
}

#[test]
fn taking_the_outcome_makes_the_source_ready_at_once() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(1)));
    let next = source.begin();
    assert!(next.is_ok(), "the spent handle no longer lends the source");
    drop(completion);
    assert_eq!(source.begin().unwrap_err(), BeginError::Lent);
}

#[test]
fn a_spent_completion_does_not_touch_the_next_round() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut spent) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert_eq!(spent.try_take(), Some(Ok(1)));
    let (completer, mut completion) = source.begin().unwrap();
    drop(spent);
    assert!(!completer.is_closed());
    completer.complete(2).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(2)));
}

#[test]
fn a_dropped_completion_closes_and_gives_every_payload_back() {
    for polled in [false, true] {
        let ledger = Ledger::new();
        let source = Source::new();
        let probe = Probe::new();
        let waker = probe.waker();
        let closed = || {
            let (completer, mut completion) = source.begin().unwrap();
            if polled {
                assert!(poll(&mut completion, &waker).is_pending());
            }
            drop(completion);
            assert!(completer.is_closed());
            completer
        };
        let rejected = closed().complete(ledger.payload(1)).unwrap_err();
        assert_eq!(rejected.reason(), Rejection::Closed);
        assert_eq!(rejected.into_payload().tag(), 1);
        let rejected = closed().fail(ledger.payload(2)).unwrap_err();
        assert_eq!(rejected.reason(), Rejection::Closed);
        assert_eq!(rejected.into_payload().tag(), 2);
        assert_eq!(closed().cancel().unwrap_err().reason(), Rejection::Closed);
        drop(closed());
        // tokio#1648: the waker goes with the completion, not with the completer.
        assert_eq!(probe.live(), 1);
        assert_eq!(probe.wakes(), 0);
        assert_eq!(ledger.live(), 0);
        assert!(source.begin().is_ok());
    }
}

/// RUSTSEC-2025-0024: a leak was mended by a second drop.
#[test]
fn an_outcome_that_nobody_took_is_dropped_with_the_completion() {
    let ledger = Ledger::new();
    let source = Source::new();
    let (completer, completion) = source.begin().unwrap();
    completer.complete(ledger.payload(1)).unwrap();
    assert_eq!(ledger.live(), 1);
    drop(completion);
    assert_eq!(ledger.live(), 0);
    let (completer, completion) = source.begin().unwrap();
    completer.fail(ledger.payload(1)).unwrap();
    drop(completion);
    assert_eq!(ledger.live(), 0);
}

#[test]
fn begin_mut_begins_and_needs_no_reset() {
    let mut source = CompletionSource::<u64, ()>::default();
    for round in 0..10 {
        let (completer, mut completion) = source.begin_mut().unwrap();
        completer.complete(round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
}

#[test]
fn forgotten_handles_leave_the_source_lent_until_a_reset() {
    let ledger = Ledger::new();
    let probe = Probe::new();
    let waker = probe.waker();
    let mut source = Source::new();

    type Forget = fn(&Source, &Ledger, &std::task::Waker);
    let ways: [Forget; 7] = [
        |source, _, _| mem::forget(source.begin().unwrap()),
        |source, _, _| {
            let (completer, completion) = source.begin().unwrap();
            mem::forget(completer);
            drop(completion);
        },
        |source, _, _| {
            let (completer, completion) = source.begin().unwrap();
            mem::forget(completion);
            drop(completer);
        },
        |source, ledger, _| {
            let (completer, completion) = source.begin().unwrap();
            completer.complete(ledger.payload(1)).unwrap();
            mem::forget(completion);
        },
        |source, ledger, _| {
            let (completer, completion) = source.begin().unwrap();
            completer.fail(ledger.payload(1)).unwrap();
            mem::forget(completion);
        },
        |source, _, waker| {
            let (completer, mut completion) = source.begin().unwrap();
            assert!(poll(&mut completion, waker).is_pending());
            mem::forget((completer, completion));
        },
        |source, _, waker| {
            let (completer, mut completion) = source.begin().unwrap();
            assert!(poll(&mut completion, waker).is_pending());
            mem::forget(completion);
            drop(completer);
        },
    ];
    for (way, forget) in ways.into_iter().enumerate() {
        forget(&source, &ledger, &waker);
        assert_eq!(source.begin().unwrap_err(), BeginError::Lent, "way {way}");
        if way % 2 == 0 {
            source.reset();
        } else {
            drop(source.begin_mut().unwrap());
        }
        assert_eq!(ledger.live(), 0, "way {way}");
        assert_eq!(probe.live(), 1, "way {way}");
        assert!(source.begin().is_ok(), "way {way}");
    }

    // Or until the source is dropped.
    for forget in ways {
        let source = Source::new();
        forget(&source, &ledger, &waker);
        drop(source);
        assert_eq!(ledger.live(), 0);
        assert_eq!(probe.live(), 1);
    }
}

#[test]
fn reset_of_an_idle_source_does_nothing() {
    let mut source = CompletionSource::<u8, ()>::new();
    let fresh = format!("{source:?}");
    source.reset();
    assert_eq!(format!("{source:?}"), fresh);
    drop(source.begin().unwrap());
    source.reset();
    assert!(source.begin().is_ok());
}

#[test]
fn reset_makes_tokens_of_the_forgotten_round_stale() {
    let mut source = CompletionSource::<u8, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    let token = completer.into_token().unwrap();
    mem::forget(completion);
    source.reset();
    assert_eq!(
        source.complete(token, 1).unwrap_err().reason(),
        Rejection::Stale
    );
    let (completer, mut completion) = source.begin().unwrap();
    let next = completer.into_token().unwrap();
    assert_ne!(token, next);
    assert_eq!(
        source.complete(token, 1).unwrap_err().reason(),
        Rejection::Stale
    );
    source.complete(next, 2).unwrap();
    assert_eq!(completion.try_take(), Some(Ok(2)));
}

#[test]
fn a_worn_out_source_retires_and_never_repeats_a_version() {
    // ManualResetValueTaskSourceCore's 16-bit version wraps; ours retires the source instead. Where
    // versions are wide, the first of them.
    let mut source = CompletionSource::<u64, ()>::new();
    let mut seen = Vec::new();
    for round in 0..widths::token_rounds(100, 1) {
        let (completer, mut completion) = source.begin().unwrap();
        let token = completer.into_token().unwrap();
        for old in &seen {
            assert_ne!(token, *old);
            assert_eq!(
                source.complete(*old, 99).unwrap_err().reason(),
                Rejection::Stale
            );
        }
        seen.push(token);
        source.complete(token, round).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(round)));
    }
    if widths::WEARS_OUT {
        assert_eq!(source.begin().unwrap_err(), BeginError::Retired);
        assert_eq!(source.begin_mut().unwrap_err(), BeginError::Retired);
        source.reset();
        assert_eq!(source.begin().unwrap_err(), BeginError::Retired);
    } else {
        assert!(source.begin().is_ok());
    }
    for old in seen {
        assert_eq!(source.cancel(old).unwrap_err().reason(), Rejection::Stale);
    }
    source.renew();
    assert!(source.begin().is_ok());
}

#[test]
fn a_source_works_in_a_static_and_across_threads() {
    static SOURCE: CompletionSource<u32, ()> = CompletionSource::new();

    for round in 0..10 {
        let (completer, completion) = SOURCE.begin().unwrap();
        let producer = std::thread::spawn(move || completer.complete(round));
        assert_eq!(futures_lite::future::block_on(completion), Ok(round));
        producer.join().unwrap().unwrap();
    }
}

#[test]
fn a_completion_is_a_future_by_reference_and_by_value() {
    let source = CompletionSource::<u32, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    let first = futures_lite::future::block_on(futures_lite::future::poll_once(&mut completion));
    assert_eq!(first, None);
    completer.complete(3).unwrap();
    assert_eq!(futures_lite::future::block_on(completion), Ok(3));
}

#[cfg(feature = "std")]
#[test]
fn wait_blocks_a_thread_until_the_outcome_is_there() {
    let source = CompletionSource::<u32, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    completer.complete(1).unwrap();
    assert_eq!(completion.wait(), Ok(1));
    for round in 0..10 {
        let (completer, completion) = source.begin().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| completer.complete(round).unwrap());
            assert_eq!(completion.wait(), Ok(round));
        });
    }
    let (completer, completion) = source.begin().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(completer));
        assert_eq!(completion.wait(), Err(CompletionError::Abandoned));
    });
}

/// RUSTSEC-2018-0009, RUSTSEC-2022-0021: payloads of no size, of every niche, huge, or pinned.
#[test]
fn payloads_of_every_shape_come_through_unchanged() {
    #[derive(Debug, PartialEq)]
    struct Nothing;
    struct Unmovable(u8, std::marker::PhantomPinned);

    let source = CompletionSource::<Nothing, Nothing>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.fail(Nothing).unwrap();
    assert_eq!(
        completion.try_take(),
        Some(Err(CompletionError::Failed(Nothing)))
    );
    drop(completion);

    let text = String::from("borrowed");
    let source = CompletionSource::<&str, Box<[u8]>>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer.complete(&text).unwrap();
    assert_eq!(completion.try_take(), Some(Ok("borrowed")));
    let (completer, mut completion) = source.begin().unwrap();
    completer.fail(Box::from([1, 2, 3])).unwrap();
    assert_eq!(
        completion.try_take(),
        Some(Err(CompletionError::Failed(Box::from([1, 2, 3]))))
    );

    let source = CompletionSource::<[u64; 1024], bool>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer
        .complete(std::array::from_fn(|n| n as u64))
        .unwrap();
    let huge = completion.try_take().unwrap().unwrap();
    assert!(huge.iter().enumerate().all(|(n, value)| n as u64 == *value));

    let source = CompletionSource::<Unmovable, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    completer
        .complete(Unmovable(9, std::marker::PhantomPinned))
        .unwrap_or_else(|_| panic!("somebody waits"));
    assert!(matches!(completion.try_take(), Some(Ok(Unmovable(9, _)))));
}

#[test]
fn debug_shows_the_state_and_never_the_payload() {
    struct Secret;
    let source = CompletionSource::<Secret, Secret>::new();
    let (completer, completion) = source.begin().unwrap();
    assert!(format!("{source:?}").starts_with("CompletionSource"));
    assert!(format!("{completer:?}").contains("version: 0"));
    let rejected = {
        drop(completion);
        completer.complete(Secret).unwrap_err()
    };
    assert_eq!(format!("{rejected:?}"), "Rejected { reason: Closed, .. }");
    assert_eq!(rejected.to_string(), Rejection::Closed.to_string());
    assert_eq!(rejected.into_parts().0, Rejection::Closed);
    let _ = format!("{:?}", source.begin().unwrap().1);
}

#[test]
fn errors_say_what_happened_and_keep_their_cause() {
    use std::error::Error;

    let io = || std::io::Error::other("unplugged");
    let failed = CompletionError::Failed(io());
    assert_eq!(failed.source().unwrap().to_string(), "unplugged");
    assert!(
        CompletionError::<std::io::Error>::Cancelled
            .source()
            .is_none()
    );
    assert_eq!(failed.into_failure().unwrap().to_string(), "unplugged");
    assert_eq!(CompletionError::<u8>::Abandoned.into_failure(), None);
    let texts = [
        CompletionError::Failed(1).to_string(),
        CompletionError::<u8>::Cancelled.to_string(),
        CompletionError::<u8>::Abandoned.to_string(),
        BeginError::Lent.to_string(),
        BeginError::Retired.to_string(),
        Rejection::Closed.to_string(),
        Rejection::Lost.to_string(),
        Rejection::Stale.to_string(),
        #[cfg(feature = "alloc")]
        completion_core::RentError::Exhausted.to_string(),
        #[cfg(feature = "alloc")]
        completion_core::RentError::Closed.to_string(),
    ];
    for (n, text) in texts.iter().enumerate() {
        assert!(text.starts_with(char::is_lowercase), "{text}");
        assert!(!text.ends_with('.'), "{text}");
        assert!(!texts[..n].contains(text), "{text}");
    }
}
