//! Auto traits, sizes, and what is printed.

use std::cell::Cell;
use std::error::Error;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use completion_core::{
    Insert, InsertError, KeyedInsert, KeyedPendingMap, Pending, PendingMap, Policy,
};

use crate::traits::{fails, holds};

/// `Send`, not `Sync`.
type OnlySend = Cell<u8>;
/// Neither.
type Neither = Rc<u8>;

holds! {
    PendingMap<OnlySend, OnlySend>: Send, Sync;
    KeyedPendingMap<u16, OnlySend, OnlySend>: Send, Sync;
    Insert<'static, OnlySend, OnlySend>: Send, Sync, Unpin;
    KeyedInsert<'static, u16, OnlySend, OnlySend>: Send, Sync, Unpin;
    PendingMap<Neither, Neither>: UnwindSafe, RefUnwindSafe, Unpin;
    KeyedPendingMap<u16, Neither, Neither>: UnwindSafe, RefUnwindSafe, Unpin;
    Policy: Send, Sync;
    InsertError: Error, Send, Sync, UnwindSafe, RefUnwindSafe;
}
fails! {
    PendingMap<Neither, u8>: Send, Sync, Clone;
    PendingMap<u8, Neither>: Send, Sync;
    KeyedPendingMap<u16, Neither, u8>: Send, Sync, Clone;
    KeyedPendingMap<u16, u8, Neither>: Send, Sync;
    Insert<'static, Neither, u8>: Send, Sync;
    KeyedInsert<'static, u16, u8, Neither>: Send, Sync;
}

/// What a tower-like client returns: it borrows neither the map nor the client.
#[test]
fn a_pending_request_outlives_its_map() {
    fn call(map: &PendingMap<u8, ()>) -> Box<dyn Future<Output = Option<u8>> + Send + 'static> {
        let (id, pending) = map.insert().unwrap();
        map.complete(id, 7).unwrap();
        Box::new(async move { pending.await.ok() })
    }
    let map = PendingMap::new(1, Policy::revoke_now());
    let reply = call(&map);
    drop(map);
    assert_eq!(
        futures_lite::future::block_on(Box::into_pin(reply)),
        Some(7)
    );
}

#[test]
fn sizes_are_what_they_are_meant_to_be() {
    assert!(size_of::<Pending<[u64; 9], String>>() <= 2 * size_of::<usize>());
    assert_eq!(size_of::<InsertError>(), 1);
    assert_eq!(size_of::<Result<(), InsertError>>(), 1);
}

#[test]
fn everything_prints_whatever_it_carries() {
    struct Silent;
    let map = PendingMap::<Silent, Silent>::new(1, Policy::revoke_now());
    let (_, pending) = map.insert().unwrap();
    assert!(format!("{map:?}").contains("in_use: 1"));
    assert!(format!("{pending:?}").starts_with("Completion"));
    assert!(format!("{:?}", map.insert_async()).starts_with("Insert"));

    let map = KeyedPendingMap::<u16, Silent, Silent>::new(1, Policy::hold_until_completed());
    assert!(format!("{map:?}").contains("holds: true"));
    assert!(format!("{:?}", map.insert_async(7)).contains("id: 7"));
    assert_eq!(
        format!("{:?}", Policy::hold_reporting(0, |_| ())),
        "Policy { holds: true, reports_at: Some(1) }"
    );

    for (error, says) in [
        (InsertError::Full, "room"),
        (InsertError::Closed, "closed"),
        (InsertError::Duplicate, "this id"),
        (InsertError::Retired, "used up"),
    ] {
        assert!(error.to_string().contains(says));
    }
}
