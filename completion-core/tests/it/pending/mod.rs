//! `PendingMap` and `KeyedPendingMap`: the hazards of pending-request tables, one test each.
//!
//! Each rule is a function of the kind of map, and a test for either kind, by [`for_each_map`].

use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::{AtomicU16, Ordering};

use completion_core::{InsertError, KeyedPendingMap, Pending, PendingMap, Policy, Rejected, Token};

use crate::support::{Ledger, Payload};

mod connection;
mod holding;
mod hostile;
mod keyed;
mod requests;
mod stress;
mod traits;

/// What both maps can do.
trait Requests: Send + Sync + Sized + 'static {
    type Id: Copy + Debug + PartialEq + Send + Sync;

    fn make(capacity: u16, policy: Policy) -> Self;
    fn insert(&self) -> Result<(Self::Id, Reply), InsertError>;
    fn insert_async(&self) -> impl Future<Output = Result<(Self::Id, Reply), InsertError>>;
    fn complete(&self, id: Self::Id, reply: Payload) -> Result<(), Rejected<Payload>>;
    fn fail(&self, id: Self::Id, error: Payload) -> Result<(), Rejected<Payload>>;
    fn cancel(&self, id: Self::Id) -> Result<(), Rejected<()>>;
    fn release(&self, id: Self::Id) -> bool;
    fn fail_all(&self, cause: impl Fn() -> Payload + Send + Sync + 'static) -> bool;
    fn is_closed(&self) -> bool;
    fn len(&self) -> usize;
    fn held(&self) -> usize;
}

type Reply = Pending<Payload, Payload>;
type Assigned = PendingMap<Payload, Payload>;

/// A map by ids that nobody else has in mind.
struct Keyed {
    map: KeyedPendingMap<u16, Payload, Payload>,
    next: AtomicU16,
}

impl Keyed {
    fn next(&self) -> u16 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }
}

impl Requests for Assigned {
    type Id = Token;

    fn make(capacity: u16, policy: Policy) -> Self {
        Self::new(capacity, policy)
    }

    fn insert(&self) -> Result<(Token, Reply), InsertError> {
        self.insert()
    }

    async fn insert_async(&self) -> Result<(Token, Reply), InsertError> {
        self.insert_async().await
    }

    fn complete(&self, id: Token, reply: Payload) -> Result<(), Rejected<Payload>> {
        self.complete(id, reply)
    }

    fn fail(&self, id: Token, error: Payload) -> Result<(), Rejected<Payload>> {
        self.fail(id, error)
    }

    fn cancel(&self, id: Token) -> Result<(), Rejected<()>> {
        self.cancel(id)
    }

    fn release(&self, id: Token) -> bool {
        self.release(id)
    }

    fn fail_all(&self, cause: impl Fn() -> Payload + Send + Sync + 'static) -> bool {
        self.fail_all(cause)
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    fn len(&self) -> usize {
        let len = self.len();
        assert_eq!(self.is_empty(), len == 0);
        len
    }

    fn held(&self) -> usize {
        self.held()
    }
}

impl Requests for Keyed {
    type Id = u16;

    fn make(capacity: u16, policy: Policy) -> Self {
        Self {
            map: KeyedPendingMap::new(capacity, policy),
            next: AtomicU16::new(0),
        }
    }

    fn insert(&self) -> Result<(u16, Reply), InsertError> {
        let id = self.next();
        Ok((id, self.map.insert(id)?))
    }

    async fn insert_async(&self) -> Result<(u16, Reply), InsertError> {
        let id = self.next();
        Ok((id, self.map.insert_async(id).await?))
    }

    fn complete(&self, id: u16, reply: Payload) -> Result<(), Rejected<Payload>> {
        self.map.complete(id, reply)
    }

    fn fail(&self, id: u16, error: Payload) -> Result<(), Rejected<Payload>> {
        self.map.fail(id, error)
    }

    fn cancel(&self, id: u16) -> Result<(), Rejected<()>> {
        self.map.cancel(id)
    }

    fn release(&self, id: u16) -> bool {
        self.map.release(id)
    }

    fn fail_all(&self, cause: impl Fn() -> Payload + Send + Sync + 'static) -> bool {
        self.map.fail_all(cause)
    }

    fn is_closed(&self) -> bool {
        self.map.is_closed()
    }

    fn len(&self) -> usize {
        let len = self.map.len();
        assert_eq!(self.map.is_empty(), len == 0);
        len
    }

    fn held(&self) -> usize {
        self.map.held()
    }
}

/// What a lost connection says.
fn cause(ledger: &Ledger, tag: u64) -> impl Fn() -> Payload + Send + Sync + 'static {
    let ledger = ledger.clone();
    move || ledger.payload(tag)
}

/// The tag of the error that a request ended with.
fn failure(outcome: Result<Payload, completion_core::CompletionError<Payload>>) -> Option<u64> {
    Some(outcome.err()?.into_failure()?.tag())
}

macro_rules! for_each_map {
    ($($rule:ident)*) => {
        mod assigned {
            $(#[test]
            fn $rule() {
                super::$rule::<crate::pending::Assigned>();
            })*
        }

        mod keyed {
            $(#[test]
            fn $rule() {
                super::$rule::<crate::pending::Keyed>();
            })*
        }
    };
}
use for_each_map;
