//! Programs that must not compile, each with a twin that does.
//!
//! A file in `compile/` is one program. Lines that end in `//~ CODE` are its mistakes: the compiler
//! must object to exactly those, with exactly that code. Without them it is the twin. Codes and lines
//! are stable where the compiler's prose is not, so this runs on any toolchain.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A line and the code of the error there.
type Complaints = BTreeSet<(usize, String)>;

fn compiler() -> Command {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let mut command = Command::new(rustc);
    command.args([
        "--edition",
        "2024",
        "--emit",
        "metadata",
        "--error-format",
        "short",
    ]);
    command
}

fn library(into: &Path) -> PathBuf {
    let metadata = into.join("libcompletion_core.rmeta");
    let output = compiler()
        .args([
            "--crate-type",
            "lib",
            "--crate-name",
            "completion_core",
            "--cap-lints",
            "allow",
        ])
        .args(["--cfg", "feature=\"std\"", "--cfg", "feature=\"alloc\""])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
        .arg("-o")
        .arg(&metadata)
        .output()
        .expect("the compiler that cargo uses runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    metadata
}

/// What the compiler objects to in `source`.
fn check(source: &str, name: &str, library: &Path) -> Complaints {
    let directory = library.parent().unwrap();
    let file = directory.join(name).with_extension("rs");
    fs::write(&file, source).unwrap();
    let output = compiler()
        .args(["--crate-type", "lib", "--extern"])
        .arg(format!("completion_core={}", library.display()))
        .arg(&file)
        .arg("-o")
        .arg(file.with_extension("rmeta"))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let complaints: Complaints = errors
        .lines()
        .filter_map(|line| {
            let (place, message) = line.split_once(": error")?;
            let line = place.split(':').nth_back(1)?.parse().unwrap();
            let code = message.strip_prefix('[')?.split(']').next()?;
            Some((line, code.to_string()))
        })
        .collect();
    assert_eq!(
        output.status.success(),
        complaints.is_empty(),
        "{name}: {errors}"
    );
    complaints
}

#[test]
#[cfg_attr(miri, ignore = "starts the compiler")]
fn misuse_does_not_compile_and_its_twin_does() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile");
    fs::create_dir_all(&directory).unwrap();
    let library = library(&directory);

    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/compile");
    let mut count = 0;
    for entry in fs::read_dir(programs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();

        let mistakes: Complaints = source
            .lines()
            .enumerate()
            .filter_map(|(n, line)| Some((n + 1, line.split_once("//~ ")?.1.to_string())))
            .collect();
        assert!(!mistakes.is_empty(), "{name} marks no mistake");
        assert_eq!(check(&source, name, &library), mistakes, "{name}");

        let lines = source.lines().filter(|line| !line.contains("//~ "));
        let twin: String = lines.flat_map(|line| [line, "\n"]).collect();
        let none = Complaints::new();
        assert_eq!(
            check(&twin, &format!("{name}_twin"), &library),
            none,
            "{name}'s twin"
        );
        count += 1;
    }
    assert_eq!(count, 24);
}
