//! A completion does not outlive its static pool.
pub fn misuse() {
    let pool = completion_core::StaticPool::<u8, (), 1>::new();
    let (completer, completion) = pool.try_rent().unwrap();
    drop(completer);
    drop(pool); //~ E0505
    drop(completion);
}
