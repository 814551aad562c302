//! Loom models of `completion-core`.
//!
//! The sources of `completion-core` are compiled into this crate, unchanged, with [loom]'s atomics and
//! cells in place of the real ones: only the module `sync` differs. So a plain `cargo test -p
//! loom-tests` explores the shipped code, with no configuration flag that could leak into other
//! crates.
//!
//! Each file in `tests/models` is a rule, or a column of the grid of producers against consumers. Those in
//! `tests/adapter` are of what completion-h2 shares among threads, compiled there in the same way.
//! `cargo run -p loom-tests` weakens either in one place at a time and expects a model to fail.

include!("core.rs");

mod sync;
mod witness;

pub use sync::{at, changed, explore};
pub use witness::{Kind, Payload, Witness};
