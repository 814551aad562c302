//! release ‖ begin, with no edge between the two but the word's own: what one round did to the slot
//! happens before the next. Two threads, two rounds; once in place, once through a pool.
//! (tokio#7450, faern/oneshot#69, #72: orderings that tests passed, and a store that broke a release sequence.)

use loom::thread;
use loom_tests::{CompletionSource, Kind, Pool, Witness};

use crate::check;

#[test]
fn begin_in_place_follows_release() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let source: &'static CompletionSource<_, ()> = Box::leak(Box::new(CompletionSource::new()));
        let (completer, mut completion) = source.begin().unwrap();
        completer.complete(witness.payload(1)).unwrap();
        let payload = witness.payload(2);
        let next = thread::spawn(move || {
            if let Ok((completer, mut completion)) = source.begin() {
                completer.complete(payload).unwrap();
                assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
            }
        });
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 1);
        next.join().unwrap();
        witness.assert_nothing_left();
        // SAFETY: leaked above, and all handles are gone.
        drop(unsafe { Box::from_raw(core::ptr::from_ref(source).cast_mut()) });
    });
}

#[test]
fn rent_follows_return() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let (completer, mut completion) = pool.try_rent().unwrap();
        completer.complete(witness.payload(1)).unwrap();
        let next = {
            let (pool, payload) = (pool.clone(), witness.payload(2));
            thread::spawn(move || {
                if let Ok((completer, mut completion)) = pool.try_rent() {
                    completer.complete(payload).unwrap();
                    assert_eq!(completion.try_take().unwrap().unwrap().number(), 2);
                }
            })
        };
        assert_eq!(completion.try_take().unwrap().unwrap().number(), 1);
        next.join().unwrap();
        witness.assert_nothing_left();
    });
}

/// Two threads rent the only slot, or one after the other.
#[test]
fn two_renters_and_one_slot() {
    check(None, || {
        let witness = Witness::new(Kind::A);
        let pool = Pool::<_, ()>::with_capacity(1);
        let renters = [1, 2].map(|number| {
            let (pool, payload) = (pool.clone(), witness.payload(number));
            thread::spawn(move || {
                if let Ok((completer, mut completion)) = pool.try_rent() {
                    completer.complete(payload).unwrap();
                    assert_eq!(completion.try_take().unwrap().unwrap().number(), number);
                }
            })
        });
        for renter in renters {
            renter.join().unwrap();
        }
        assert_eq!(pool.stats().in_use, 0);
        witness.assert_nothing_left();
    });
}
