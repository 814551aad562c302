//! A completion does not outlive its source.
pub fn misuse() {
    let source = completion_core::CompletionSource::<u8, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    drop(completer);
    drop(source); //~ E0505
    drop(completion);
}
