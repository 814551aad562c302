//! A completion is used up by a deadline.
pub async fn misuse(completion: completion_core::Completion<'_, u8, ()>) {
    let _ = completion.with_deadline(std::future::ready(())).await;
    let _ = completion.with_deadline(std::future::ready(())).await; //~ E0382
}
