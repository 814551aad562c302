//! tokio's own tests of its one-shot, and the examples of its documentation, on ours: boxed and pooled.
//!
//! None of them asks about the cooperative budget, so none is left out.

#![cfg(all(feature = "std", not(miri)))]

mod scratch;

use scratch::{Scratch, count_tests};

const MANIFEST: &str = r#"
[package]
name = "tokio-oneshot"
version = "0.0.0"
edition = "2024"

[workspace]

[features]
default = ["full", "sync"]
full = []
sync = []

[dependencies]
completion-core = { path = CORE }
tokio = { version = "1", default-features = false, features = ["macros", "rt-multi-thread", "sync", "time"] }
tokio-test = "0.4"
"#;

/// Pooled channels where boxed ones are expected, each from a source that has served before.
const LIBRARY: &str = r"
pub mod pooled {
    pub mod oneshot {
        pub use completion_core::oneshot::*;

        pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let pool = completion_core::Pool::with_capacity(1);
            drop(pool.channel());
            let channel = pool.channel();
            assert_eq!(pool.stats().overflowed, 0);
            channel
        }
    }
}

/// The one thing that the examples use of another crate.
#[macro_export]
macro_rules! poll {
    ($future:expr) => {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::future::Future::poll(std::pin::Pin::new($future), cx))
        })
        .await
    };
}
";

#[test]
fn its_tests_and_examples_pass() {
    let manifest = MANIFEST.replace("CORE", &format!("{:?}", env!("CARGO_MANIFEST_DIR")));
    let scratch = Scratch::new("tokio-oneshot", &manifest);
    let tests = scratch.of_tokio("tests/sync_oneshot.rs");
    let examples = examples(&scratch.of_tokio("src/sync/oneshot.rs"));
    let (mut library, mut count) = (LIBRARY.to_string(), 0);
    for (name, ours) in [
        ("boxed", "completion_core::oneshot"),
        ("pooled", "tokio_oneshot::pooled::oneshot"),
    ] {
        let change = |source: &str| {
            assert!(source.contains("tokio::sync::oneshot"));
            source
                .replace("tokio::sync::oneshot", ours)
                .replace("futures::poll!", "tokio_oneshot::poll!")
        };
        scratch.write(&format!("tests/{name}.rs"), &change(&tests));
        library += &format!("\n{}pub mod examples_{name} {{}}\n", change(&examples));
        count += count_tests(&tests) + count_examples(&examples);
    }
    scratch.write("src/lib.rs", &library);
    assert!(count > 2 * (20 + 20), "{count}");
    scratch.run(count);
}

/// The documentation of a file, as that of one item.
fn examples(source: &str) -> String {
    let lines = source.lines().map(|line| {
        let line = line.trim_start();
        let text = line.strip_prefix("///").or(line.strip_prefix("//!"));
        format!("///{}\n", text.unwrap_or_default())
    });
    lines.collect()
}

/// How many examples a documentation has: it opens a fence, and closes it.
fn count_examples(documentation: &str) -> usize {
    let fences = documentation
        .lines()
        .filter(|line| line.trim_start_matches("/// ").starts_with("```"));
    fences.count() / 2
}
