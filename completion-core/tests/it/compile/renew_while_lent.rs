//! `renew` needs the pool to itself.
pub fn misuse(mut pool: completion_core::StaticPool<u8, (), 1>) {
    let (completer, completion) = pool.try_rent().unwrap();
    drop(completion);
    pool.renew(); //~ E0502
    drop(completer);
}
