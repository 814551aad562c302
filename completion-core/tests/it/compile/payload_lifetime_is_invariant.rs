//! A completer of long-lived references does not take short-lived ones.
pub fn misuse(completer: completion_core::Completer<'_, &'static str, ()>) {
    let local = String::from("local");
    let borrowed: &str = "static";
    let borrowed: &str = &local; //~ E0597
    let _ = completer.complete(borrowed);
}
