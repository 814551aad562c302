//! `shrink` needs the handle to itself.
pub fn misuse(mut pool: completion_core::Pool<u8, ()>) {
    let rent = pool.rent_async();
    let _ = pool.shrink(1); //~ E0502
    drop(rent);
}
