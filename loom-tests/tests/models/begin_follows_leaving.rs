//! The last to leave ‖ begin, in place: between leaving and releasing nobody is present, and nobody may
//! begin either. Three threads, two rounds.

use loom::thread;
use loom_tests::{Completer, CompletionSource, Kind, Payload, Witness};

use crate::check;

type Source = CompletionSource<Payload, ()>;

/// `leave` ends a round of which the completion is dropped, after `polls` with changing wakers.
fn begin_while(
    polls: usize,
    leave: impl Fn(Completer<'static, Payload, ()>, Payload, &'static Source)
    + Copy
    + Send
    + Sync
    + 'static,
) {
    check(None, move || {
        let witnesses = [Witness::new(Kind::A), Witness::new(Kind::B)];
        let source: &'static Source = Box::leak(Box::new(CompletionSource::new()));
        let (completer, mut completion) = source.begin().unwrap();
        for turn in 0..polls {
            assert!(witnesses[turn % 2].poll(&mut completion).is_pending());
        }
        let [first, second] = [1, 2].map(|number| witnesses[0].payload(number));
        let leaver = thread::spawn(move || leave(completer, first, source));
        let next = thread::spawn(move || {
            let Ok((completer, mut completion)) = source.begin() else {
                return;
            };
            assert!(source.begin().is_err(), "lent twice");
            assert!(completion.try_take().is_none(), "begun and ended");
            completer.complete(second).unwrap();
            assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
        });
        drop(completion);
        leaver.join().unwrap();
        next.join().unwrap();
        for witness in &witnesses {
            witness.assert_nothing_left();
        }
        assert!(source.begin().is_ok());
        // SAFETY: leaked above, and all handles are gone.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(source).cast_mut()) });
    });
}

#[test]
fn begin_while_a_completer_leaves() {
    begin_while(0, |completer, payload, _| drop(completer.complete(payload)));
}

#[test]
fn begin_while_a_publisher_leaves() {
    begin_while(3, |completer, payload, _| drop(completer.complete(payload)));
}

#[test]
fn begin_while_a_sharer_leaves() {
    begin_while(0, |completer, _, _| drop(completer.into_token()));
}

#[test]
fn begin_while_a_claimer_leaves() {
    begin_while(0, |completer, payload, source| {
        let token = completer.into_token().unwrap();
        drop(source.complete(token, payload));
    });
}
