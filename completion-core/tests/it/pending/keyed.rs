//! Ids that the caller chooses: duplicates, and numbers that come again.

use std::collections::{HashSet, VecDeque};

use completion_core::{
    CompletionError, InsertError, KeyedPendingMap, Pending, Policy, Rejection, RequestId,
};

use crate::memory::allocations;
use crate::support::{scaled, widths};

type Map<K = u16> = KeyedPendingMap<K, u64, u64>;
type Reply = Pending<u64, u64>;

#[test]
fn a_duplicate_is_an_error_and_changes_nothing() {
    for policy in [Policy::revoke_now(), Policy::hold_until_completed()] {
        let map = Map::new(4, policy);
        let mut pending = map.insert(7).unwrap();
        for _ in 0..2 * widths::token_rounds(50, 4) {
            assert_eq!(map.insert(7).unwrap_err(), InsertError::Duplicate);
            let waited = futures_lite::future::block_on(map.insert_async(7));
            assert_eq!(waited.unwrap_err(), InsertError::Duplicate);
        }
        assert_eq!((map.len(), map.held()), (1, 0));
        map.complete(7, 1).unwrap();
        assert_eq!(pending.try_take(), Some(Ok(1)));
    }
}

/// Each way a request can end, and what is then left to do before its number may come again.
#[test]
fn an_id_is_free_when_its_request_is_over() {
    type End = fn(&Map, Reply);
    let ends: [(&str, End); 6] = [
        ("taken", |map, mut pending| {
            map.complete(7, 1).unwrap();
            assert_eq!(pending.try_take(), Some(Ok(1)));
        }),
        ("failed", |map, mut pending| {
            map.fail(7, 1).unwrap();
            assert!(pending.try_take().is_some());
        }),
        ("cancelled", |map, pending| {
            map.cancel(7).unwrap();
            drop(pending);
        }),
        ("dropped", |map, pending| {
            drop(pending);
            assert_eq!(map.held(), usize::from(map.release(7)));
        }),
        ("closed", |map, mut pending| {
            assert!(pending.close());
            map.release(7);
        }),
        ("answered late", |map, pending| {
            drop(pending);
            assert!(map.complete(7, 1).is_err());
        }),
    ];
    for (name, end) in ends {
        for hold in [false, true] {
            let policy = if hold {
                Policy::hold_until_completed()
            } else {
                Policy::revoke_now()
            };
            let map = Map::new(8, policy);
            assert!(!map.contains(7));
            for _ in 0..3 {
                let pending = map.insert(7).unwrap();
                assert!(map.contains(7), "{name}");
                if name != "dropped" || !hold {
                    end(&map, pending);
                } else {
                    drop(pending);
                    assert!(map.contains(7), "held");
                    assert!(map.release(7));
                }
                assert!(!map.contains(7), "{name}");
            }
            assert_eq!((map.len(), map.held()), (0, 0));
        }
    }
}

/// An answered id is free before the reply is taken; the reply is not lost for it.
#[test]
fn an_id_is_free_on_completion() {
    let map = Map::new(4, Policy::revoke_now());
    let mut first = map.insert(7).unwrap();
    map.complete(7, 1).unwrap();
    let mut second = map.insert(7).unwrap();
    assert_eq!(map.len(), 2);
    map.complete(7, 2).unwrap();
    assert_eq!(first.try_take(), Some(Ok(1)));
    assert_eq!(second.try_take(), Some(Ok(2)));
}

/// AprilNEA/OpenLogi#1286: what the two policies make of a late reply to a number that came again.
#[test]
fn a_late_reply_to_a_number_that_comes_again() {
    let map = Map::new(4, Policy::hold_until_completed());
    drop(map.insert(7).unwrap());
    assert_eq!(map.insert(7).unwrap_err(), InsertError::Duplicate);
    let late = map.complete(7, 1).unwrap_err();
    assert_eq!((late.reason(), late.into_payload()), (Rejection::Closed, 1));
    let mut second = map.insert(7).unwrap();
    assert_eq!(second.try_take(), None);
    map.complete(7, 2).unwrap();
    assert_eq!(second.try_take(), Some(Ok(2)));

    let map = Map::new(4, Policy::revoke_now());
    drop(map.insert(7).unwrap());
    let late = map.complete(7, 1).unwrap_err();
    assert_eq!((late.reason(), late.into_payload()), (Rejection::Stale, 1));
}

/// Sources serve other ids than before, and ids other sources: whatever was left over harms nobody.
#[test]
fn sources_and_ids_change_partners() {
    let map = Map::new(2, Policy::revoke_now());
    let one = map.insert(1).unwrap();
    let two = map.insert(2).unwrap();
    drop(one);
    let mut three = map.insert(3).unwrap();
    drop(two);
    let mut one = map.insert(1).unwrap();
    assert!(map.contains(3) && map.contains(1) && !map.contains(2));
    assert_eq!(map.complete(2, 2).unwrap_err().into_payload(), 2);
    map.complete(1, 10).unwrap();
    map.complete(3, 30).unwrap();
    assert_eq!(one.try_take(), Some(Ok(10)));
    assert_eq!(three.try_take(), Some(Ok(30)));

    // A number that went on to another source, when its first one serves again.
    let map = Map::new(2, Policy::revoke_now());
    let mut first = map.insert(1).unwrap();
    map.complete(1, 1).unwrap();
    let mut second = map.insert(1).unwrap();
    assert_eq!(first.try_take(), Some(Ok(1)));
    let _other = map.insert(2).unwrap();
    assert!(map.contains(1));
    map.complete(1, 2).unwrap();
    assert_eq!(second.try_take(), Some(Ok(2)));
}

/// However many different ids come by, the table needs the memory of its beginning.
#[test]
fn the_table_does_not_grow() {
    // A hash table of so many entries is full to the brim, if no more were asked for.
    let map = Map::<u64>::new(56, Policy::revoke_now());
    let mut window = VecDeque::with_capacity(56);
    // Half of the versions, so that enough sources are left.
    let rounds = widths::token_rounds(scaled(200_000, 1_000) as u64, 56) / 2;
    let (calls, ()) = allocations(|| {
        window.extend((0..56).map(|id| map.insert(u64::MAX - id).unwrap()));
        window.clear();
        for id in 56..rounds {
            if window.len() == 20 {
                window.pop_front();
            }
            // Spread, so that removals leave marks everywhere in a hash table.
            window.push_back(map.insert(id.wrapping_mul(0x9E37_79B9_7F4A_7C15)).unwrap());
        }
    });
    assert_eq!(calls, 0);
    drop(window);
    assert!(map.is_empty());
}

#[test]
fn every_width_of_id() {
    fn check<K: RequestId>(least: K, most: K) {
        let map = Map::new(2, Policy::revoke_now());
        let mut one = map.insert(least).unwrap();
        let mut two = map.insert(most).unwrap();
        map.complete(most, 2).unwrap();
        map.fail(least, 1).unwrap();
        assert_eq!(two.try_take(), Some(Ok(2)));
        assert_eq!(one.try_take(), Some(Err(CompletionError::Failed(1))));
    }
    check(u16::MIN, u16::MAX);
    check(u32::MIN, u32::MAX);
    check(u64::MIN, u64::MAX);
    check(i16::MIN, i16::MAX);
    check(i32::MIN, i32::MAX);
    check(i64::MIN, i64::MAX);
}

/// All stream ids of a CQL connection at once.
#[test]
fn as_many_as_a_protocol_has() {
    let count: u16 = if cfg!(miri) { 100 } else { 32_768 };
    let map = Map::new(count, Policy::hold_until_completed());
    let pending: Vec<_> = (0..count).map(|id| map.insert(id).unwrap()).collect();
    assert_eq!(map.insert(count).unwrap_err(), InsertError::Full);
    assert_eq!(map.capacity(), usize::from(count));
    for id in (0..count).rev() {
        map.complete(id, id.into()).unwrap();
    }
    let replies: HashSet<u64> = pending.into_iter().map(|it| it.wait().unwrap()).collect();
    assert_eq!(replies.len(), usize::from(count));
    assert!(map.is_empty());
}
