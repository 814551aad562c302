//! take-and-return ‖ the tail of complete ‖ a third party that rents and completes again: the tail
//! touches nothing of the next round. Three threads, two rounds on one slot. (dotnet/coreclr#22711.)

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Pool, Witness};

use crate::check;

/// The consumer of the first round is woken or polls of its own accord; the third party takes the slot
/// as soon as it is home.
#[test]
fn tail_of_complete_and_next_round() {
    check(None, || {
        let first = Arc::new(Witness::new(Kind::A));
        let second = Arc::new(Witness::new(Kind::B));
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        let payload = first.payload(1);
        assert!(first.poll(&mut completion).is_pending());

        let producer = thread::spawn(move || completer.complete(payload).unwrap());
        let third = {
            let (pool, witness) = (pool.clone(), second.clone());
            thread::spawn(move || {
                // One try: if the slot is not home yet, this execution is not the one of interest.
                let Ok((completer, mut completion)) = pool.try_rent() else {
                    return;
                };
                assert!(witness.poll(&mut completion).is_pending());
                completer.complete(witness.payload(2)).unwrap();
                assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
                assert_eq!(witness.wakes(), 1);
            })
        };
        // Polls with another waker do not wait for a wake: the outcome may be taken while the producer
        // is still in its tail.
        let outcome = completion.try_take();
        match outcome {
            Some(outcome) => assert_eq!(outcome.unwrap().number(), 1),
            None => assert_eq!(first.block_on(completion).unwrap().number(), 1),
        }
        producer.join().unwrap();
        third.join().unwrap();
        first.assert_nothing_left();
        second.assert_nothing_left();
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// The same outside a pool, where the third party begins in place.
#[test]
fn tail_of_complete_and_next_round_in_place() {
    check(None, || {
        let witness = Arc::new(Witness::new(Kind::A));
        let source: &'static loom_tests::CompletionSource<_, ()> =
            Box::leak(Box::new(loom_tests::CompletionSource::new()));
        let (completer, mut completion) = source.begin().unwrap();
        let payload = witness.payload(1);
        assert!(witness.poll(&mut completion).is_pending());

        let producer = thread::spawn(move || completer.complete(payload).unwrap());
        let third = {
            let witness = witness.clone();
            thread::spawn(move || {
                let Ok((completer, mut completion)) = source.begin() else {
                    return;
                };
                completer.complete(witness.payload(2)).unwrap();
                assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
            })
        };
        assert_eq!(witness.block_on(completion).unwrap().number(), 1);
        producer.join().unwrap();
        third.join().unwrap();
        witness.assert_nothing_left();
        // SAFETY: leaked above, and all handles are gone.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(source).cast_mut()) });
    });
}
