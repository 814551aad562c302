//! A completer is used up by whatever ends the round.
pub fn misuse(completer: completion_core::Completer<'_, u8, ()>) {
    let _ = completer.complete(1);
    let _ = completer.fail(()); //~ E0382
}
