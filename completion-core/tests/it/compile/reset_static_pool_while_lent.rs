//! `reset` needs the pool to itself.
pub fn misuse(mut pool: completion_core::StaticPool<u8, (), 1>) {
    let (completer, completion) = pool.try_rent().unwrap();
    drop(completer);
    pool.reset(); //~ E0502
    drop(completion);
}
