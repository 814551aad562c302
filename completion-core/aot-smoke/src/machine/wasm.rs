//! WebAssembly: the host lends two functions, see `run-wasm.mjs`.

mod host {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        pub(super) fn print(address: *const u8, length: usize);
        pub(super) fn exit(code: usize) -> !;
    }
}

/// What the host calls.
#[unsafe(no_mangle)]
extern "C" fn _start() {
    crate::main();
}

/// Writes to standard output.
pub(crate) fn print(text: &str) {
    // SAFETY: the host reads so many bytes from this address; the borrow keeps them alive.
    unsafe { host::print(text.as_ptr(), text.len()) };
}

/// Ends the program.
pub(crate) fn exit(code: usize) -> ! {
    // SAFETY: the host takes a number, and does not return.
    unsafe { host::exit(code) }
}
