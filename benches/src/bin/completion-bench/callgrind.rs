//! Instructions per round: the tool runs itself under callgrind, which dumps its count at each call of one function.
//!
//! A round is run a few times and many times, and the difference is divided by the difference of the numbers, so that
//! whatever comes before, after and around the rounds cancels.

use std::fs;
use std::hint::black_box;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use indicatif::ProgressBar;

use crate::figures::{Cell, field};
use crate::rounds::Round;

/// The option that is given to the tool when it runs under callgrind.
pub(crate) const INNER: &str = "under-callgrind";

const FEW: usize = 64;
const MANY: usize = 11 * FEW;

/// Callgrind is told to dump before each call of this function, found by its name.
#[inline(never)]
fn dump_the_count_here() {
    black_box(());
}

/// What runs under callgrind: three dumps for each cell, the last two of which count.
pub(crate) fn run_inner(u64_only: bool) {
    for runner in &mut field(u64_only) {
        for round in Round::of_one_thread() {
            for number in [MANY, FEW, MANY] {
                runner.run(round, number);
                dump_the_count_here();
            }
        }
    }
}

/// The instructions of one round, for every cell that one thread runs alone, in the order of [`field`].
pub(crate) fn instructions(
    u64_only: bool,
    progress: &ProgressBar,
) -> Result<Vec<(Cell, f64)>, String> {
    let scratch = Scratch::new()?;
    let out = scratch.0.join("out");
    let this = std::env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg("--dump-before=*dump_the_count_here*")
        .arg({
            let mut option = std::ffi::OsString::from("--callgrind-out-file=");
            option.push(&out);
            option
        })
        .arg(this)
        .arg(format!("--{INNER}"))
        .stdin(Stdio::null());
    if u64_only {
        command.arg("--check");
    }
    progress.set_message("counting instructions");
    progress.enable_steady_tick(std::time::Duration::from_millis(200));
    let output = command.output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "instructions are counted by valgrind, which is not installed; try your system's package `valgrind`"
                .to_owned()
        }
        _ => format!("valgrind cannot be started: {error}"),
    })?;
    progress.disable_steady_tick();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("valgrind failed ({}):\n{said}", output.status));
    }
    let mut counted = Vec::new();
    for runner in field(u64_only) {
        for round in Round::of_one_thread() {
            let last = 3 * (counted.len() + 1);
            let few = total(&part(&out, last - 1))?;
            let many = total(&part(&out, last))?;
            let each = many.saturating_sub(few) as f64 / (MANY - FEW) as f64;
            counted.push((Cell::new(&*runner, round), each));
        }
    }
    let beyond = part(&out, 3 * counted.len() + 1);
    if beyond.exists() {
        return Err(format!(
            "callgrind dumped more often than expected: {}",
            beyond.display()
        ));
    }
    Ok(counted)
}

/// The file of the `n`th dump.
fn part(out: &Path, n: usize) -> PathBuf {
    out.with_extension(n.to_string())
}

/// What callgrind counted until a dump.
fn total(path: &Path) -> Result<u64, String> {
    let dump = fs::read_to_string(path)
        .map_err(|error| format!("callgrind did not leave {}: {error}", path.display()))?;
    total_of(&dump).ok_or_else(|| format!("{} has no total", path.display()))
}

fn total_of(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

/// A directory of its own, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("completion-bench-{}", process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is litter, no error.
        let _litter = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_dump_is_found() {
        let dump = "version: 1\npart: 2\nevents: Ir\nfn=(1) main\n3 17\ntotals: 4711\n";
        assert_eq!(total_of(dump), Some(4711));
        assert_eq!(total_of("version: 1\n"), None);
        assert_eq!(total_of("totals: many\n"), None);
    }
}
