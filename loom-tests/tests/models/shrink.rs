//! shrink ‖ what is still under way on the pool: it is refused, or everything happened before the copying.

use loom::thread;
use loom_tests::{Pool, ShrinkError};

use crate::check;

/// A round of another thread comes home.
#[test]
fn shrink_and_return() {
    check(None, || {
        let mut pool = Pool::<u32, ()>::with_capacity(2);
        let (completer, completion) = pool.try_rent().unwrap();
        let token = completer.into_token().unwrap();
        let returner = thread::spawn(move || drop(completion));
        match pool.shrink(1) {
            Ok(()) => {
                let (completer, _completion) = pool.try_rent().unwrap();
                assert_ne!(
                    completer.into_token().unwrap(),
                    token,
                    "a version came twice"
                );
            }
            Err(reason) => assert_eq!(reason, ShrinkError::InUse),
        }
        returner.join().unwrap();
    });
}

/// Another handle, which did rounds, goes.
#[test]
fn shrink_and_handle() {
    check(None, || {
        let mut pool = Pool::<u32, ()>::with_capacity(2);
        let other = pool.clone();
        let user = thread::spawn(move || {
            drop(other.try_rent());
            assert!(other.cancel(loom_tests::Token::from_bits(0)).is_err());
        });
        match pool.shrink(1) {
            Ok(()) => assert_eq!((pool.stats().rented, pool.stats().stale), (1, 1)),
            Err(reason) => assert_eq!(reason, ShrinkError::Shared),
        }
        user.join().unwrap();
    });
}
