//! Who waits for a source keeps a handle.
pub fn misuse() {
    let pool = completion_core::Pool::<u8, ()>::new();
    let rent = pool.rent_async();
    drop(pool); //~ E0505
    drop(rent);
}
