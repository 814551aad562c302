//! Links the program as what it is: one static file with an entry point of its own.

fn main() {
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let mut arguments = match (os.as_str(), arch.as_str()) {
        ("linux", _) => vec!["-nostartfiles", "-nostdlib", "-static", "-no-pie"],
        ("none", "arm") => vec![
            concat!("-T", env!("CARGO_MANIFEST_DIR"), "/cortex-m.x"),
            // The flash has no pages to be aligned to.
            "--nmagic",
        ],
        _ => Vec::new(),
    };
    if os == "linux" && arch == "arm" {
        // Tables for unwinding, which nobody does, name this routine of libgcc.
        arguments.push("-Wl,--defsym=__aeabi_unwind_cpp_pr0=0");
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cortex-m.x");
}
