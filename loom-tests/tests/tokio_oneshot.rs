//! tokio's own models of its one-shot, on ours: boxed and pooled.

#[path = "../../completion-core/tests/tokio_oneshot/scratch.rs"]
mod scratch;

use scratch::{Scratch, count_tests};

const MANIFEST: &str = r#"
[package]
name = "tokio-oneshot-models"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
loom = { version = "0.7", features = ["futures"] }
loom-tests = { path = MODELS }
tokio = { version = "1", default-features = false, features = ["sync"] }

"#;

/// Channels of both kinds, and an allocator that frees nothing.
///
/// A poll may read an old state word, and compare its waker with one that the sender has taken and
/// freed meanwhile. They never have the same address: memory that another thread freed comes back with
/// everything that the thread did before, so the word would not be an old one. Loom does not know that of
/// the allocator.
const LIBRARY: &str = r"
use std::alloc::{GlobalAlloc, Layout, System};

struct Keeping;

// SAFETY: what is handed out is the system's, and stays valid for ever.
unsafe impl GlobalAlloc for Keeping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static KEEPING: Keeping = Keeping;

pub mod boxed {
    pub use loom_tests::oneshot;
}

pub mod pooled {
    pub mod oneshot {
        pub use loom_tests::oneshot::*;

        pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
            loom_tests::Pool::with_capacity(1).channel()
        }
    }
}
";

#[test]
fn its_models_pass() {
    let manifest = MANIFEST.replace("MODELS", &format!("{:?}", env!("CARGO_MANIFEST_DIR")));
    let scratch = Scratch::new("tokio-oneshot-models", &manifest);
    scratch.write("src/lib.rs", LIBRARY);
    let models = scratch.of_tokio("src/sync/tests/loom_oneshot.rs");
    assert!(models.contains("use crate::sync::oneshot;"));
    for kind in ["boxed", "pooled"] {
        let ours = format!("tokio_oneshot_models::{kind}::oneshot");
        let models = models
            .replace("crate::sync::oneshot", &ours)
            .replace("crate::pin!", "tokio::pin!");
        scratch.write(&format!("tests/{kind}.rs"), &models);
    }
    let count = count_tests(&models);
    assert!(count > 5, "{count}");
    scratch.run(2 * count);
}
