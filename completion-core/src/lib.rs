// The front page speaks of what every feature adds, and its examples use it.
#![cfg_attr(all(feature = "std", feature = "pending-map"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "std", feature = "pending-map")),
    doc = "A lock-free, resettable single-shot completion source."
)]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod completer;
mod completion;
mod deadline;
#[cfg(feature = "diagnostics")]
pub mod diagnostics;
mod error;
mod home;
#[cfg(feature = "alloc")]
pub mod oneshot;
#[cfg(feature = "pending-map")]
mod pending;
#[cfg(feature = "alloc")]
mod pool;
mod round;
#[cfg(feature = "alloc")]
mod shard;
mod slot;
mod source;
mod state;
mod static_pool;
mod sync;
mod token;
mod trace;
#[cfg(feature = "std")]
mod wait;

pub use completer::Completer;
pub use completion::Completion;
pub use deadline::{DeadlineError, WithDeadline};
pub use error::{BeginError, CompletionError, NoToken, Rejected, Rejection, RentError};
#[cfg(all(feature = "pending-map", feature = "std"))]
pub use pending::{Insert, KeyedInsert, KeyedPendingMap, RequestId};
#[cfg(feature = "pending-map")]
pub use pending::{InsertError, Pending, PendingMap, Policy};
#[cfg(feature = "std")]
pub use pool::Rent;
#[cfg(feature = "alloc")]
pub use pool::{Pool, PoolStats, ShrinkError};
pub use round::Round;
pub use source::CompletionSource;
pub use static_pool::StaticPool;
pub use token::{Status, Token};
