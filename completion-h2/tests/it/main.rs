//! Behaviour of the adapter against a scripted peer, against h2's own server, and alone.

#[path = "../support/mod.rs"]
mod support;

mod alloc;
mod bodies;
mod cancel;
mod clock;
mod common;
mod connector;
mod end;
mod executor;
mod floods;
mod goaway;
mod grpc;
mod queue;
mod responses;
mod settings;
mod stress;
mod timeouts;
mod traits;
mod uploads;
