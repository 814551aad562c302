//! What the tools of this package share.

pub mod alloc;
