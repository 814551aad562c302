//! stats ‖ a round that comes home: what was ever out is counted, at whatever moment each source is looked at.

use loom::thread;
use loom_tests::Pool;

use crate::check;

#[test]
fn look_and_first_return() {
    check(None, || {
        let pool = Pool::<u32, ()>::with_capacity(1);
        let lent = pool.try_rent().unwrap();
        let returner = thread::spawn(move || drop(lent));
        assert_eq!(pool.stats().high_water, 1);
        returner.join().unwrap();
        assert_eq!(pool.stats().high_water, 1);
    });
}
