//! A completion is used up by awaiting it.
pub async fn misuse(completion: completion_core::Completion<'_, u8, ()>) {
    let _ = completion.await;
    let _ = completion.await; //~ E0382
}
