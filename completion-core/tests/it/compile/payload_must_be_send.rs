//! A completer of something that is not `Send` stays on its thread.
use std::rc::Rc;
pub fn misuse() {
    let pool = completion_core::Pool::<Rc<u8>, ()>::new();
    let (completer, _completion) = pool.rent();
    let fine = completion_core::Pool::<u8, ()>::new();
    std::thread::spawn(move || drop(fine));
    std::thread::spawn(move || drop(completer)); //~ E0277
}
