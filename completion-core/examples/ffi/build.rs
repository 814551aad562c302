//! Compiles the C library that the example calls.

fn main() {
    cc::Build::new()
        .file("src/factorial.c")
        .std("c11")
        .compile("factorial");
    println!("cargo::rustc-link-lib=pthread");
    println!("cargo::rerun-if-changed=src/factorial.c");
}
