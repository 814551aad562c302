//! A completer is used up by completing.
pub fn misuse(completer: completion_core::Completer<'_, u8, ()>) {
    let _ = completer.complete(1);
    let _ = completer.cancel(); //~ E0382
}
