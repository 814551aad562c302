//! Builds, inspects and runs `aot-smoke`: the library in a program without std, libc or unwinding.
//!
//! What this proves, and what it does not, is said in `docs/aot-smoke.md`.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(miri)
))]

mod cargo;

use std::path::{Path, PathBuf};
use std::process::Command;

use cargo::cargo;

/// What the test reads out of a 64-bit little-endian ELF file.
struct Elf {
    /// Whether a loader, or libraries, are needed at run time.
    dynamic: bool,
    /// Names of all symbols, and which of them are not defined in the file.
    defined: Vec<String>,
    undefined: Vec<String>,
}

impl Elf {
    const SECTION_TYPE_SYMTAB: u32 = 2;
    const SEGMENT_TYPES_OF_DYNAMIC_FILES: [u32; 2] = [2, 3];

    fn read(file: &[u8]) -> Self {
        assert_eq!(
            file[..6],
            *b"\x7fELF\x02\x01",
            "a 64-bit little-endian ELF file"
        );
        let half =
            |at: usize| usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()));
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let long = |at: usize| {
            usize::try_from(u64::from_le_bytes(file[at..at + 8].try_into().unwrap())).unwrap()
        };

        let segments = (0..half(56)).map(|n| long(32) + n * half(54));
        let dynamic = segments
            .map(word)
            .any(|kind| Self::SEGMENT_TYPES_OF_DYNAMIC_FILES.contains(&kind));

        let section = |n: usize| long(40) + n * half(58);
        let symbols = (0..half(60))
            .map(section)
            .find(|section| word(section + 4) == Self::SECTION_TYPE_SYMTAB)
            .expect("the file is not stripped");
        let names = long(section(word(symbols + 40) as usize) + 24);
        let (mut defined, mut undefined) = (Vec::new(), Vec::new());
        let start = long(symbols + 24);
        for symbol in (start..start + long(symbols + 32)).step_by(24) {
            let name = file[names + word(symbol) as usize..]
                .split(|byte| *byte == 0)
                .next()
                .unwrap();
            if !name.is_empty() {
                let list = if half(symbol + 6) == 0 {
                    &mut undefined
                } else {
                    &mut defined
                };
                list.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        Self {
            dynamic,
            defined,
            undefined,
        }
    }

    /// A symbol of the standard library, in either mangling: its crate's name with its length.
    fn symbol_of_std(&self) -> Option<&String> {
        self.defined
            .iter()
            .chain(&self.undefined)
            .find(|name| name.contains("3std"))
    }
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("aot-smoke");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aot-smoke");
    let output = cargo(&source)
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join("release/aot-smoke")
}

#[test]
fn links_without_std_and_runs() {
    let program = build();
    let bytes = std::fs::read(&program).unwrap();
    let elf = Elf::read(&bytes);
    assert!(!elf.dynamic, "the program is static");
    assert_eq!(
        elf.undefined,
        Vec::<String>::new(),
        "the program is complete"
    );
    assert_eq!(elf.symbol_of_std(), None);
    assert!(elf.defined.iter().any(|name| name == "_start"));
    assert!(
        elf.defined
            .iter()
            .any(|name| name.contains("15completion_core"))
    );

    // The control: this very test is linked with std, and the same search says so.
    let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let this = Elf::read(&this);
    assert!(this.symbol_of_std().is_some(), "the search is blind");

    let output = Command::new(&program).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    println!("{} bytes\n{report}", bytes.len());
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report.lines().count(), 14, "{report}");
    assert!(
        report.lines().all(|line| line.starts_with("PASS ")),
        "{report}"
    );
}
