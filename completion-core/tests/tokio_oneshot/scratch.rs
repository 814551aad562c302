//! A package below `target`, made of tests that the tokio package of `Cargo.lock` carries with it.
//!
//! Nothing of tokio's is kept in this repository: the files are read where cargo has put them, their
//! imports are changed, and the package is built offline, with the versions of this workspace.

#[path = "../cargo/mod.rs"]
mod cargo;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo::cargo;

/// The package.
pub(crate) struct Scratch {
    directory: PathBuf,
    /// Where tokio's package is.
    tokio: PathBuf,
}

impl Scratch {
    /// A package with this manifest, and nothing else yet.
    pub(crate) fn new(name: &str, manifest: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        for part in ["src", "tests"] {
            let part = directory.join(part);
            if part.exists() {
                fs::remove_dir_all(&part).unwrap();
            }
            fs::create_dir_all(&part).unwrap();
        }
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
        fs::write(directory.join("src/lib.rs"), "").unwrap();
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        let lock = fs::read_to_string(lock).expect("the workspace has a Cargo.lock");
        fs::write(directory.join("Cargo.lock"), &lock).unwrap();

        let tokio = find_tokio(&directory);
        let version = tokio.rsplit_once("tokio-").expect("a package's name").1;
        let locked = format!("name = \"tokio\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&locked),
            "{tokio} is not the version of Cargo.lock"
        );
        Self {
            directory,
            tokio: tokio.into(),
        }
    }

    /// A file of tokio's package.
    pub(crate) fn of_tokio(&self, path: &str) -> String {
        let path = self.tokio.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Adds a file to this package.
    pub(crate) fn write(&self, path: &str, source: &str) {
        fs::write(self.directory.join(path), source).unwrap();
    }

    /// Runs all tests, of which there must be `count`.
    pub(crate) fn run(&self, count: usize) {
        let output = cargo(&self.directory)
            .args(["test", "--offline", "--target-dir"])
            .arg(self.directory.join("target"))
            .output()
            .expect("cargo runs");
        let (report, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{report}\n{errors}");
        let passed: usize = report
            .lines()
            .filter_map(|line| line.strip_prefix("test result: ok. "))
            .map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(passed, count, "{report}");
    }
}

/// How many tests the file has, whatever the attribute that makes them.
pub(crate) fn count_tests(source: &str) -> usize {
    let attributes = ["#[test]", "#[maybe_tokio_test]", "#[tokio::test]"];
    let tests = source.lines().filter(|line| attributes.contains(line));
    tests.count()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the tokio is that a package depends on.
fn find_tokio(package: &Path) -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let host = Command::new(rustc).arg("-vV").output().unwrap();
    let host = text(&host.stdout);
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    // For this machine only, as packages for others need not have been downloaded.
    let output = cargo(package)
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(["--filter-platform", host.unwrap()])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let tokio = packages.iter().find(|package| package["name"] == "tokio");
    let manifest = tokio.expect("a dependency")["manifest_path"].as_str();
    let directory = manifest.unwrap().strip_suffix("Cargo.toml").unwrap();
    directory.trim_end_matches(['/', '\\']).to_string()
}
