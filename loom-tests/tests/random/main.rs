//! Long rounds on more threads than the models can take, in random schedules and in those of few
//! changes of priority (PCT), under shuttle.
//!
//! A fourth build of the core, over shuttle's atomics and lock. They are sequentially consistent: this looks for
//! interleavings, the models for orderings. A schedule that fails is printed, with how to replay it.

include!("../../src/core.rs");

mod connections;
mod sync;
