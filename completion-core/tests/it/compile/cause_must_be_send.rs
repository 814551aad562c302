//! What a pool is closed with is made on other threads.
use std::rc::Rc;
pub fn misuse(pool: completion_core::Pool<u8, u8>) {
    let local = Rc::new(1);
    let moved = std::sync::Arc::clone(&std::sync::Arc::new(1));
    pool.close_with(move || *moved);
    pool.close_with(move || *local); //~ E0277
}
