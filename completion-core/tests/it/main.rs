//! The behaviour of `completion-core`, seen from outside. One binary, so that it is linked once.

#[cfg(feature = "alloc")]
mod closing;
mod compile;
mod deadline;
mod held;
#[cfg(feature = "alloc")]
mod hostile;
#[cfg(feature = "alloc")]
mod memory;
#[cfg(feature = "std")]
mod model;
#[cfg(feature = "alloc")]
mod oneshot;
mod panics;
#[cfg(all(feature = "pending-map", feature = "std"))]
mod pending;
#[cfg(feature = "alloc")]
mod pool;
#[cfg(feature = "std")]
mod random;
#[cfg(feature = "alloc")]
mod shrinking;
mod source;
mod static_pool;
#[cfg(feature = "std")]
mod stress;
mod support;
mod token;
#[cfg(feature = "alloc")]
mod traits;
#[cfg(feature = "std")]
mod waiting;
mod wakers;
mod watching;
