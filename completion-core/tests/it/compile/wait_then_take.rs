//! A completion is used up by waiting for it.
pub fn misuse(mut completion: completion_core::Completion<'_, u8, ()>) {
    completion.try_take();
    let _ = completion.wait();
    completion.try_take(); //~ E0382
}
