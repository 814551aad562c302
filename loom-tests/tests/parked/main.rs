//! Progress: a thread that is parked before any of its atomic steps stops nobody else.
//!
//! A third build of the core, whose atomics call a hook before every operation. For each operation, and for
//! each *k*, one thread is parked before its *k*th step; then its peer in the round does its part, other
//! threads do whole rounds on the same pool, all in a bounded number of steps and without waiting for a
//! lock; then the parked one goes on, and everything must be in order.
//!
//! A thread that is stopped between two steps is stopped before the second, so every *k* is every
//! place. What a step does while it is made is the machine's.

#![expect(
    dead_code,
    reason = "the whole core is compiled in, and what is tested here is a part"
)]

include!("../../src/core.rs");

mod gate;
mod operations;
mod sync;
