//! A static pool of a value that is not `Send` is no `static`.
use std::rc::Rc;
use completion_core::StaticPool;
pub static FINE: StaticPool<u8, (), 1> = StaticPool::new();
pub static MISUSE: StaticPool<Rc<u8>, (), 1> = StaticPool::new(); //~ E0277
