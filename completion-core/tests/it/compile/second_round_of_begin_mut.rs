//! One round of `begin_mut` at a time.
pub fn misuse(mut source: completion_core::CompletionSource<u8, ()>) {
    let (completer, completion) = source.begin_mut().unwrap();
    let _ = source.begin_mut(); //~ E0499
    drop(completion);
    drop(completer);
}
