//! Copies of the workspace to be spoiled, and the tests that are to notice: what the commands of this package share.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An expression becomes another.
pub(crate) struct Edit {
    /// The file below the sources.
    pub(crate) file: &'static str,
    /// A text that comes before `from` and makes it unique.
    pub(crate) after: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

impl Edit {
    /// Where it applies.
    pub(crate) fn find(&self, source: &str) -> Option<Range<usize>> {
        let from = source.find(self.after)? + self.after.len();
        let start = from + source[from..].find(self.from)?;
        Some(start..start + self.from.len())
    }
}

/// Where a command has its copy.
pub(crate) fn below_target(root: &Path, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join(name)
}

/// Copies a folder, but not what was built in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), to)?;
        } else if entry.file_name() != "target" {
            copy_folder(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Makes a workspace of the copy, with one member.
pub(crate) fn make_workspace(root: &Path, copy: &Path, member: &str) -> io::Result<()> {
    let manifest: String = fs::read_to_string(root.join("Cargo.toml"))?
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| match line.starts_with("members") {
            true => format!("members = [\"{member}\"]\n"),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    Ok(())
}

/// A test target that was built in a copy.
pub(crate) struct Tests {
    program: PathBuf,
    pub(crate) names: Vec<String>,
}

impl Tests {
    /// Builds some test targets of a package.
    pub(crate) fn build(copy: &Path, package: &str, targets: &[&str]) -> io::Result<Vec<Self>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "--cap-lints=allow")
            .args(["test", "--package", package])
            .args(targets.iter().flat_map(|it| ["--test", it]))
            .args([
                "--no-run",
                "--quiet",
                "--message-format=json-render-diagnostics",
            ])
            .stderr(Stdio::inherit())
            .output()?;
        let messages = String::from_utf8_lossy(&built.stdout);
        let tests = targets.iter().map(|target| Self::list(&messages, target));
        tests.collect()
    }

    /// Those of one target, by what cargo says of its building.
    fn list(messages: &str, target: &str) -> io::Result<Self> {
        let name = format!("\"name\":\"{target}\"");
        let program = messages
            .lines()
            .filter(|message| message.contains(&name))
            .find_map(|message| message.split_once("\"executable\":\""))
            .and_then(|(_, rest)| Some(PathBuf::from(rest.split_once('"')?.0)))
            .ok_or_else(|| io::Error::other("the copy does not build"))?;
        let listed = Command::new(&program).arg("--list").output()?;
        let names = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter_map(|line| Some(line.strip_suffix(": test")?.to_owned()))
            .collect();
        Ok(Self { program, names })
    }

    /// A run of some tests.
    pub(crate) fn command(&self, tests: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--exact", "--nocapture"])
            .args(tests)
            .env("RUST_BACKTRACE", "0");
        command
    }
}

/// Runs it, and returns how it ended and what it said to stderr; none if it takes longer than that.
pub(crate) fn run_within(
    patience: Duration,
    command: &mut Command,
) -> io::Result<Option<(ExitStatus, String)>> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // In a thread of its own, so that the pipe is never full.
    let said = child
        .stderr
        .take()
        .map(|stderr| thread::spawn(|| io::read_to_string(stderr).unwrap_or_default()));
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            let said = said.and_then(|said| said.join().ok());
            return Ok(Some((status, said.unwrap_or_default())));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}
