//! A source of an error that is not `Send` is no `static`.
use std::rc::Rc;
use completion_core::CompletionSource;
pub static FINE: CompletionSource<u8, ()> = CompletionSource::new();
pub static MISUSE: CompletionSource<u8, Rc<u8>> = CompletionSource::new(); //~ E0277
