//! The behaviour of `completion-core`, seen from outside. One binary, so that it is linked once.

mod compile;
#[cfg(feature = "alloc")]
mod hostile;
#[cfg(feature = "alloc")]
mod memory;
mod panics;
#[cfg(feature = "alloc")]
mod pool;
mod source;
#[cfg(feature = "std")]
mod stress;
mod support;
mod token;
#[cfg(feature = "alloc")]
mod traits;
mod wakers;
