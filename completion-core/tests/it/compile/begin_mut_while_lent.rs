//! `begin_mut` needs the source to itself.
pub fn misuse(mut source: completion_core::CompletionSource<u8, ()>) {
    let (completer, completion) = source.begin().unwrap();
    let _ = source.begin_mut(); //~ E0502
    drop((completer, completion));
}
