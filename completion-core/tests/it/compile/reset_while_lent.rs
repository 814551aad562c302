//! `reset` needs the source to itself, even if only one handle is left.
pub fn misuse(mut source: completion_core::CompletionSource<u8, ()>) {
    let (completer, completion) = source.begin().unwrap();
    drop(completer);
    source.reset(); //~ E0502
    drop(completion);
}
