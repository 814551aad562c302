//! Uniqueness is given up one way.
pub fn misuse(completer: completion_core::Completer<'_, u8, ()>) {
    let _ = completer.into_held_token();
    let _ = completer.complete(1); //~ E0382
}
