//! Puts bugs that other crates had into a copy of the core, one at a time, and expects a test to fail.
//! (tokio#8179: a test that guarded nothing passed with the guarded step removed.)
//!
//! `cargo run -p loom-tests --bin reintroduce [FILTER]` works on a copy below `target/reintroduce`; the
//! tree itself is never touched. Exits with 1 if a bug is not noticed, or no longer applies.
//! `… reintroduce --apply FILTER DIRECTORY` leaves a copy with the first such bug there, for other tools.

#[path = "weaken/workshop.rs"]
mod workshop;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use workshop::{Edit, Tests};

/// A bug that was real somewhere.
struct Bug {
    /// Where it was.
    hazard: &'static str,
    /// What it is here.
    what: &'static str,
    /// The test of `completion-core/tests/it` that must notice it.
    test: &'static str,
    /// Below [`SOURCES`].
    edits: &'static [Edit],
}

const SOURCES: &str = "completion-core/src";

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(120);

macro_rules! bugs {
    ($($hazard:literal, $what:literal, $test:literal:
        $($file:literal, $after:literal .. $from:literal => $to:literal),+;)*) => {
        &[$(Bug { hazard: $hazard, what: $what, test: $test, edits: &[$(Edit {
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
    let copy = workshop::below_target(root, "reintroduce");
    prepare(root, &copy).map_err(|error| format!("cannot copy the sources: {error}"))?;
    if matching(filter).next().is_none() {
        return Err(format!("no bug is called `{filter}`"));
    }
    for Bug { test, .. } in matching(filter) {
        match run(&copy, test) {
            Ok(true) => {}
            Ok(false) => return Err(format!("{test} fails before any bug is put in")),
            Err(reason) => return Err(format!("{test}: {reason}")),
        }
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
    workshop::copy_folder(&root.join("completion-core"), &core)?;
    workshop::make_workspace(root, copy, "completion-core")
}

/// Puts one bug into the copy, runs its test, and undoes it.
fn try_out(bug: &Bug, root: &Path, copy: &Path) -> Result<(), &'static str> {
    let applied = apply(bug, root, copy);
    let passes = applied.and_then(|()| run(copy, bug.test));
    for edit in bug.edits {
        let file = Path::new(SOURCES).join(edit.file);
        let sound = fs::read_to_string(root.join(&file)).map_err(|_| "NO SUCH FILE")?;
        fs::write(copy.join(&file), sound).map_err(|_| "CANNOT BE UNDONE")?;
    }
    match passes? {
        true => Err("SURVIVES"),
        false => Ok(()),
    }
}

fn apply(bug: &Bug, root: &Path, copy: &Path) -> Result<(), &'static str> {
    for edit in bug.edits {
        let file = Path::new(SOURCES).join(edit.file);
        let mut source = fs::read_to_string(root.join(&file)).map_err(|_| "NO SUCH FILE")?;
        let span = edit.find(&source).ok_or("DOES NOT APPLY")?;
        source.replace_range(span, edit.to);
        fs::write(copy.join(&file), source).map_err(|_| "CANNOT BE WRITTEN")?;
    }
    Ok(())
}

/// Whether the test passes in the copy.
fn run(copy: &Path, test: &str) -> Result<bool, &'static str> {
    let built = Tests::build(copy, "completion-core", &["it"]).map_err(|_| "DOES NOT BUILD")?;
    let tests = built
        .first()
        .filter(|it| it.names.iter().any(|it| it == test));
    let mut command = tests.ok_or("NO SUCH TEST")?.command(&[test]);
    match workshop::run_within(PATIENCE, &mut command) {
        // One that aborts has failed: of these bugs, some destroy memory.
        Ok(Some((status, _))) => Ok(status.success()),
        Ok(None) => Err("TAKES TOO LONG"),
        Err(_) => Err("CANNOT BE RUN"),
    }
}
