// The modules of `completion-core`, for each build of them: included at the root of a crate that puts its
// own `sync` among them.

extern crate alloc;

#[path = "../../completion-core/src/completer.rs"]
mod completer;
#[path = "../../completion-core/src/completion.rs"]
mod completion;
#[path = "../../completion-core/src/deadline.rs"]
mod deadline;
#[path = "../../completion-core/src/error.rs"]
mod error;
#[path = "../../completion-core/src/home.rs"]
mod home;
#[path = "../../completion-core/src/oneshot/mod.rs"]
pub mod oneshot;
#[path = "../../completion-core/src/pending/mod.rs"]
mod pending;
#[path = "../../completion-core/src/pool/mod.rs"]
mod pool;
#[path = "../../completion-core/src/round/mod.rs"]
mod round;
#[path = "../../completion-core/src/shard.rs"]
mod shard;
#[path = "../../completion-core/src/slot.rs"]
mod slot;
#[path = "../../completion-core/src/source.rs"]
mod source;
#[path = "../../completion-core/src/state.rs"]
mod state;
#[path = "../../completion-core/src/static_pool.rs"]
mod static_pool;
#[path = "../../completion-core/src/token.rs"]
mod token;
#[path = "../../completion-core/src/trace.rs"]
mod trace;

pub use completer::Completer;
pub use completion::Completion;
pub use deadline::{DeadlineError, WithDeadline};
pub use error::{BeginError, CompletionError, NoToken, Rejected, Rejection, RentError};
pub use pending::{
    Insert, InsertError, KeyedInsert, KeyedPendingMap, Pending, PendingMap, Policy, RequestId,
};
pub use pool::{Pool, PoolStats, Rent, ShrinkError};
pub use round::Round;
pub use source::CompletionSource;
pub use static_pool::StaticPool;
pub use token::{Status, Token};
