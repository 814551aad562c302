//! Whoever watches and completes does one after the other.
pub fn misuse(mut completer: completion_core::Completer<'_, u8, ()>) {
    let closed = completer.closed();
    let _ = completer.complete(1); //~ E0505
    drop(closed);
}
