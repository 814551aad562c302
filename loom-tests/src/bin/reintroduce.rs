//! Puts bugs that other crates had into a copy of the core, one at a time, and expects a test to fail.
//! (tokio#8179: a test that guarded nothing passed with the guarded step removed.)
//!
//! `cargo run -p loom-tests --bin reintroduce [FILTER]` works on a copy below `target/reintroduce`; the
//! tree itself is never touched. Exits with 1 if a bug is not noticed, or no longer applies.
//! `… reintroduce --apply FILTER DIRECTORY` leaves a copy with the first such bug there, for other tools.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// A bug that was real somewhere.
struct Bug {
    /// Where it was.
    hazard: &'static str,
    /// What it is here.
    what: &'static str,
    /// The test of `completion-core/tests/it` that must notice it.
    test: &'static str,
    changes: &'static [Change],
}

/// A change of one text.
struct Change {
    /// The file below `completion-core/src`.
    file: &'static str,
    /// A text that comes before `from` and makes it unique.
    after: &'static str,
    from: &'static str,
    to: &'static str,
}

macro_rules! bugs {
    ($($hazard:literal, $what:literal, $test:literal:
        $($file:literal, $after:literal .. $from:literal => $to:literal),+;)*) => {
        &[$(Bug { hazard: $hazard, what: $what, test: $test, changes: &[$(Change {
            file: $file, after: $after, from: $from, to: $to,
        }),+] }),*]
    };
}

const BUGS: &[Bug] = bugs! {
    "dotnet/coreclr#22711", "the tail of a complete touches the slot",
    "hostile::the_tail_of_an_ending_leaves_the_next_round_alone":
        "round/producing.rs", "fn end_once(" .. "unsafe { copied.into_waker() }.wake();"
            => "unsafe { copied.into_waker() }.wake(); self.waiter().fill(Waker::noop().clone());";

    "ManualResetValueTaskSourceCore", "a second producer overwrites the first one's value",
    "token::of_a_source::the_first_producer_wins_and_the_others_get_their_payload_back":
        "state.rs", "fn is_open(" .. "OUTCOME_MASK | Self::PRODUCER" => "Self::PRODUCER",
        "round/producing.rs", "fn produce<C" .. "!word.is_pending()" => "false";

    "PooledAwait, tokio#8112", "the version stands still, so a stale token matches",
    "token::of_a_source::a_stale_token_has_no_effect_on_the_next_round":
        "state.rs", "fn next_round(" .. "version + VERSION_ONE" => "version";

    "redis-rs#698", "the same, among threads: user B gets user A's reply",
    "stress::no_reply_reaches_another_caller":
        "state.rs", "fn next_round(" .. "version + VERSION_ONE" => "version";

    "RUSTSEC-2021-0124", "closing overwrites an outcome that is there",
    "watching::closing_ends_a_pending_round_once_and_keeps_what_had_arrived":
        "round/consuming.rs", "fn close_silently(" .. "while word.is_pending()" => "while word.is_pending() || !word.is_waiting()";

    "faern/oneshot#15, windows-rs#342", "the first waker is kept",
    "wakers::only_the_last_waker_is_woken_and_the_first_is_dropped_at_once":
        "round/consuming.rs", "fn poll_carefully(" .. "self.waiter().will_wake(waker)" => "true";

    "tokio#1648, #7884, #8095", "the waker of a dropped completion is kept",
    "wakers::the_waker_is_gone_the_moment_the_round_ends":
        "round/consuming.rs", "fn desert_once(" .. "let _waiter = copied.map(|copied| unsafe { copied.into_waker() })" => "let _ = copied";

    "irrustible/async-oneshot#5", "closing wakes the wrong side",
    "watching::who_watches_is_woken_when_the_completion_leaves_or_closes":
        "round/consuming.rs", "fn close(self)" .. "[_waiter, watcher]" => "[watcher, _waiter]";

    "tokio#3689", "a waker that panics when it is cloned loses the one before",
    "hostile::a_hostile_clone":
        "round/wakers.rs", "it may panic; if it ends this round" .. "let fresh = waker.clone();\n        let replaced = self.withdraw::<P>(&mut word);"
            => "let replaced = self.withdraw::<P>(&mut word);\n        let fresh = waker.clone();";

    "RUSTSEC-2025-0024", "an outcome that nobody took is dropped twice",
    "source::an_outcome_that_nobody_took_is_dropped_with_the_completion":
        "round/consuming.rs", "is made for who asks for it." .. "let asked" => "drop(self.outcome_of(word));\n        let asked";

    "RUSTSEC-2025-0047", "an index one past the end is taken",
    "token::of_a_pool_of_one::any_number_is_a_token_and_none_harms":
        "pool/mod.rs", "fn named(" .. "index() < " => "index() <= ";

    "nats.rs#1617", "a request that was given up leaves its entry behind",
    "token::of_a_pool_of_one::a_dropped_completion_frees_a_shared_round_at_once":
        "round/consuming.rs", "fn desert_once(" .. "shape.is_alone(Word::CONSUMER)" => "false";

    "OpenLogi#1286, scylla-rust-driver#304", "a key is free before the other side has answered",
    "held::a_dropped_completion_leaves_the_source_out_until_any_answer":
        "completer.rs", "fn into_held_token(" .. "into_named(true)" => "into_named(false)";

    "redis-rs#275", "a lost connection leaves its waiters hanging",
    "closing::a_unique_round_ends_with_the_cause_whoever_waits_or_watches":
        "pool/closing.rs", "waiting.close(" .. "sweep.run()" => "core::mem::forget(sweep)";
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let outcome = match &arguments[..] {
        [] => try_out_all(&root, ""),
        [filter] => try_out_all(&root, filter),
        [flag, filter, directory] if flag == "--apply" => leave(&root, filter, directory.as_ref()),
        _ => Err("usage: reintroduce [FILTER] | --apply FILTER DIRECTORY".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn matching(filter: &str) -> impl Iterator<Item = &'static Bug> {
    BUGS.iter()
        .filter(move |bug| bug.what.contains(filter) || bug.hazard.contains(filter))
}

fn try_out_all(root: &Path, filter: &str) -> Result<(), String> {
    let copy = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("reintroduce");
    prepare(root, &copy).map_err(|error| format!("cannot copy the sources: {error}"))?;
    let tests: Vec<_> = matching(filter).map(|bug| bug.test).collect();
    if tests.is_empty() {
        return Err(format!("no bug is called `{filter}`"));
    }
    if run(&copy, &tests) != Some(true) {
        return Err("a test fails before any bug is put in".into());
    }
    let mut survivors = 0;
    for bug in matching(filter) {
        print!("{:<38} {:<62} ", bug.hazard, bug.what);
        let _ = io::stdout().flush();
        match try_out(bug, root, &copy) {
            Ok(()) => println!("noticed by {}", bug.test),
            Err(reason) => {
                println!("{reason} ({})", bug.test);
                survivors += 1;
            }
        }
    }
    match survivors {
        0 => Ok(()),
        _ => Err(format!("{survivors} not noticed")),
    }
}

fn leave(root: &Path, filter: &str, directory: &Path) -> Result<(), String> {
    let bug = matching(filter).next().ok_or("no such bug")?;
    prepare(root, directory).map_err(|error| format!("cannot copy the sources: {error}"))?;
    apply(bug, root, directory).map_err(Into::into)
}

/// A workspace of just the core.
fn prepare(root: &Path, copy: &Path) -> io::Result<()> {
    let core = copy.join("completion-core");
    if core.exists() {
        fs::remove_dir_all(&core)?;
    }
    copy_folder(&root.join("completion-core"), &core)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    let manifest: String = fs::read_to_string(root.join("Cargo.toml"))?
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| match line.starts_with("members") {
            true => "members = [\"completion-core\"]",
            false => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
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

/// Puts one bug into the copy, runs its test, and undoes it.
fn try_out(bug: &Bug, root: &Path, copy: &Path) -> Result<(), &'static str> {
    let applied = apply(bug, root, copy);
    let passes = applied.map(|()| run(copy, &[bug.test]));
    for change in bug.changes {
        let file = Path::new("completion-core/src").join(change.file);
        let sound = fs::read_to_string(root.join(&file)).map_err(|_| "NO SUCH FILE")?;
        fs::write(copy.join(&file), sound).map_err(|_| "CANNOT BE UNDONE")?;
    }
    match passes? {
        None => Err("DOES NOT BUILD"),
        Some(true) => Err("SURVIVES"),
        Some(false) => Ok(()),
    }
}

fn apply(bug: &Bug, root: &Path, copy: &Path) -> Result<(), &'static str> {
    for change in bug.changes {
        let file = Path::new("completion-core/src").join(change.file);
        let source = fs::read_to_string(root.join(&file)).map_err(|_| "NO SUCH FILE")?;
        let start = source.find(change.after).ok_or("DOES NOT APPLY")? + change.after.len();
        let length = source[start..].find(change.from).ok_or("DOES NOT APPLY")?;
        let (before, rest) = source.split_at(start + length);
        let changed = [before, change.to, &rest[change.from.len()..]].concat();
        fs::write(copy.join(&file), changed).map_err(|_| "CANNOT BE WRITTEN")?;
    }
    Ok(())
}

/// Whether the tests pass in the copy; none if they do not build, or if there are none.
fn run(copy: &Path, tests: &[&str]) -> Option<bool> {
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .args(["test", "--quiet", "-p", "completion-core", "--test", "it"])
            .stderr(Stdio::null());
        cargo
    };
    let built = cargo().arg("--no-run").stdout(Stdio::null()).status();
    built.is_ok_and(|status| status.success()).then_some(())?;
    let listed = cargo()
        .args(["--", "--list", "--exact"])
        .args(tests)
        .output()
        .ok()?;
    let known = String::from_utf8_lossy(&listed.stdout);
    let known = known.lines().filter(|line| line.ends_with(": test"));
    (known.count() >= 1).then_some(())?;
    let outcome = cargo()
        .args(["--", "--exact"])
        .args(tests)
        .stdout(Stdio::null())
        .status();
    Some(outcome.is_ok_and(|status| status.success()))
}
