//! Weakens the protocol in one place at a time and expects the model that guards the place to fail.
//!
//! `cargo run -p loom-tests [FILTER]` works on a copy of the sources below `target/weaken`;
//! the tree itself is never touched. Exits with 1 if a weakening survives, or no longer applies.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// One change for the worse, and the model that must notice it.
struct Weakening {
    /// The model, as `cargo test` names it.
    model: &'static str,
    /// The file below `completion-core/src`.
    file: &'static str,
    /// A text that comes before `from` and makes it unique.
    after: &'static str,
    from: &'static str,
    to: &'static str,
    /// What it takes away.
    what: &'static str,
}

macro_rules! weakenings {
    ($($model:literal, $file:literal, $what:literal: $after:literal .. $from:literal => $to:literal;)*) => {
        &[$(Weakening {
            model: $model, file: $file, after: $after, from: $from, to: $to, what: $what,
        }),*]
    };
}

const WEAKENINGS: &[Weakening] = weakenings! {
    // The hand-over of the payload, [P1].
    "complete_and_first_poll::complete_and_first_poll", "round.rs", "P1: publishing releases nothing":
        "word.ended(ending)" .. "Ordering::AcqRel" => "Ordering::Acquire";
    "complete_and_first_poll::complete_and_first_poll", "round.rs", "P1: polling acquires nothing":
        "pub(crate) fn word(" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "complete_and_first_poll::fail_and_first_poll", "round.rs", "P1: a registration that comes too late acquires nothing":
        "word.registered()" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "complete_and_new_waker::complete_and_new_waker", "round.rs", "P1: a re-registration that comes too late acquires nothing":
        "word.deregistered()" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "complete_and_drop::complete_and_drop_of_a_polled_completion", "round.rs", "P1: a drop that comes too late acquires nothing":
        "word.dropped()" .. "Ordering::Acquire" => "Ordering::Relaxed";

    // The hand-over of the waker, [P2], [P3].
    "complete_and_first_poll::complete_and_first_poll", "round.rs", "P2: registering releases nothing":
        "word.registered()" .. "Ordering::Release" => "Ordering::Relaxed";
    "complete_and_first_poll::cancel_and_first_poll", "round.rs", "P2: a publisher that tries again acquires nothing":
        "Ordering::AcqRel" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "waker_generations_wrap::saturated_generation_is_registered_again", "round.rs", "P2: publishing over a saturated generation acquires nothing":
        "word.ended(ending)" .. "Ordering::AcqRel" => "Ordering::Release";
    "complete_and_new_waker::complete_and_new_waker", "state.rs", "generations stand still":
        "fn registered(" .. "GENERATION_ONE" => "0";
    "waker_generations_wrap::saturated_generation_and_complete", "state.rs", "a saturated generation is trusted":
        "fn wake(" .. "self.is_saturated()" => "false";
    "complete_and_first_poll::abandon_and_first_poll", "round.rs", "the waiter is not woken":
        "fn end(" .. "unsafe { copied.into_waker() }.wake()" => "drop(unsafe { copied.into_waker() })";

    // Leaving and releasing, [P4] to [P7].
    "complete_and_drop::overflow_is_freed_once", "round.rs", "P5: a consumer that leaves releases nothing":
        "word.dropped()" .. "Ordering::Release" => "Ordering::Relaxed";
    "share_and_drop::share_frees_the_pool", "round.rs", "P5: sharing acquires nothing from a consumer that left":
        "Word::SHARE, " .. "Ordering::AcqRel" => "Ordering::Release";
    "begin_follows_leaving::begin_while_a_publisher_leaves", "state.rs", "nobody present is taken for released":
        "fn is_idle(" .. "!VERSION_MASK" => "PRESENT";
    "waker_generations_wrap::saturated_generation_and_next_round", "round.rs", "P5: leaving releases nothing":
        "fetch_sub(bit, " .. "Ordering::AcqRel" => "Ordering::Acquire";
    "waker_generations_wrap::saturated_generation_and_next_round", "round.rs", "P5: leaving acquires nothing":
        "fetch_sub(bit, " .. "Ordering::AcqRel" => "Ordering::Release";
    "tokens_and_cancel::claimer_and_drop", "round.rs", "nobody releases after the last leaves":
        "fn leave(" .. "word.is_alone(bit)" => "false";
    "tokens_and_cancel::claim_follows_share", "round.rs", "P4: sharing releases nothing":
        "Word::SHARE, " .. "Ordering::AcqRel" => "Ordering::Acquire";
    "tokens_and_cancel::two_tokens_and_cancel", "state.rs", "a claim does not keep others out":
        "fn is_open(" .. "OUTCOME_MASK | Self::PRODUCER" => "OUTCOME_MASK";
    "tokens_and_cancel::stale_token_and_next_round", "state.rs", "versions stand still":
        "fn next_round(" .. "VERSION_ONE" => "0";
    "begin_follows_release::begin_in_place_follows_release", "round.rs", "P6: releasing in place releases nothing":
        "fn release(" .. "Ordering::Release" => "Ordering::Relaxed";
    "begin_follows_release::rent_follows_return", "shard.rs", "P7: returning releases nothing":
        "fetch_add(bit, " .. "Ordering::Release" => "Ordering::Relaxed";
    "begin_follows_release::rent_follows_return", "shard.rs", "P7: renting acquires nothing":
        "free & (free - 1)" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "tail_of_complete_and_next_round::tail_of_complete_and_next_round", "round.rs", "the tail of complete reads the waker late":
        "fn end(" .. "unsafe { copied.into_waker() }" => "{ let _ = copied; unsafe { self.waker().copy().into_waker() } }";

    // The end of a pool, [P8], [P9].
    "last_return_frees_the_pool::pool_drop_and_last_returns", "shard.rs", "P8: the last return acquires nothing":
        "shard.free.load(" .. "Ordering::Acquire" => "Ordering::Relaxed";
    "last_return_frees_the_pool::pool_drop_and_last_returns", "shard.rs", "P8: a shard that leaves releases nothing":
        "live.fetch_sub(1, " .. "Ordering::AcqRel" => "Ordering::Acquire";
    "last_return_frees_the_pool::pool_drop_and_last_returns", "shard.rs", "P8: the last shard acquires nothing":
        "live.fetch_sub(1, " .. "Ordering::AcqRel" => "Ordering::Release";
    "last_return_frees_the_pool::pool_drop_and_last_returns", "shard.rs", "P8: closing releases nothing":
        "fetch_add(step, " .. "Ordering::Release" => "Ordering::Relaxed";
    "last_return_frees_the_pool::retired_slot_and_two_handles", "pool.rs", "P9: dropping a handle releases nothing":
        "handles.fetch_sub(1, " .. "Ordering::AcqRel" => "Ordering::Acquire";
    "last_return_frees_the_pool::retired_slot_and_two_handles", "pool.rs", "P9: the last handle acquires nothing":
        "handles.fetch_sub(1, " .. "Ordering::AcqRel" => "Ordering::Release";
    "last_return_frees_the_pool::pool_drop_and_last_returns", "shard.rs", "the closing is not noticed":
        "fn put(" .. "word.cast_signed() < 0" => "false";

    // Pending maps.
    "pending::insert_and_fail_all::insert_and_fail_all", "shard.rs", "a rent does not see that the pool is closed":
        "fn take(" .. "free & CLOSED != 0" => "false";
    "pending::insert_and_fail_all::insert_by_key_and_fail_all", "round.rs", "closing ends nothing":
        "fn shut(" .. "word.is_pending()" => "false";
    "pending::insert_and_fail_all::insert_held_and_fail_all", "state.rs", "a round that was closed is held for its token":
        "fn shared(" .. "held && self.is_pending()" => "held";
    "pending::insert_and_fail_all::insert_that_waits_and_fail_all", "pool/closing.rs", "who waits is handed a source after the rounds were ended":
        "let sweep = " .. "Sweep(out);" => "Sweep(out).run(); let sweep = Sweep(core::iter::empty::<SlotRef<T, E>>());";
    "pending::complete_and_drop::complete_and_drop_revoked", "round.rs", "nobody releases after the last leaves":
        "fn leave(" .. "word.is_alone(bit)" => "false";
    "pending::complete_and_drop::complete_and_drop_held", "round.rs", "a consumer leaves a held round without reporting it":
        "fn drop_consumer(" .. "word.is_kept()" => "word.is_watched()";
    "pending::complete_and_drop::complete_and_release", "round.rs", "who is refused counts as well":
        "fn let_go(" .. "Err(actual) => word = actual" => "Err(actual) => { self.holding().unwrap().one_less(); word = actual }";
    "pending::complete_and_drop::map_drop_and_drop_held", "round.rs", "closing lets go of nothing":
        "fn shut(" .. "word.is_held()" => "false";
    "pending::id_reuse::late_reply_and_next_request", "state.rs", "versions stand still":
        "fn next_round(" .. "version + VERSION_ONE" => "version";
    "pending::id_reuse::late_reply_and_next_request_of_the_number", "pool/holding.rs", "a held id is not taken":
        "fn is_taken(" .. " || word.is_held()" => "";
    "pending::id_reuse::two_requests_of_one_number", "pending/keyed.rs", "the table is locked to look, and again to enter":
        "fn enter(" .. "if self.pool().is_taken(table.token(id)) {" => "let taken = self.pool().is_taken(table.token(id)); drop(table); let mut table = self.table.lock(); if taken {";
};

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("weaken");
    if let Err(error) = prepare(&root, &copy) {
        eprintln!("cannot copy the sources to {}: {error}", copy.display());
        return ExitCode::FAILURE;
    }
    if !run(&copy, None) {
        eprintln!("the models fail before anything is weakened");
        return ExitCode::FAILURE;
    }
    let mut survivors = 0;
    for weakening in WEAKENINGS
        .iter()
        .filter(|w| w.what.contains(&filter) || w.model.contains(&filter))
    {
        print!("{:<76} ", weakening.what);
        let _ = std::io::stdout().flush();
        match try_out(weakening, &root, &copy) {
            Ok(()) => println!("noticed by {}", weakening.model),
            Err(reason) => {
                println!("{reason} ({})", weakening.model);
                survivors += 1;
            }
        }
    }
    println!("{survivors} not noticed");
    if survivors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A workspace of just the models and the sources they include.
fn prepare(root: &Path, copy: &Path) -> std::io::Result<()> {
    for folder in ["completion-core/src", "loom-tests/src", "loom-tests/tests"] {
        let to = copy.join(folder);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        copy_folder(&root.join(folder), &to)?;
    }
    for file in ["Cargo.lock", "loom-tests/Cargo.toml"] {
        fs::copy(root.join(file), copy.join(file))?;
    }
    let manifest: String = fs::read_to_string(root.join("Cargo.toml"))?
        .lines()
        .filter(|line| !line.starts_with("default-members") && !line.starts_with("exclude"))
        .map(|line| {
            if line.starts_with("members") {
                "members = [\"loom-tests\"]"
            } else {
                line
            }
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Applies one weakening to the copy, runs its model, and undoes it.
fn try_out(weakening: &Weakening, root: &Path, copy: &Path) -> Result<(), &'static str> {
    let file = Path::new("completion-core/src").join(weakening.file);
    let source = fs::read_to_string(root.join(&file)).map_err(|_| "NO SUCH FILE")?;
    let start = source.find(weakening.after).ok_or("DOES NOT APPLY")? + weakening.after.len();
    let at = start
        + source[start..]
            .find(weakening.from)
            .ok_or("DOES NOT APPLY")?;
    let weakened = [
        &source[..at],
        weakening.to,
        &source[at + weakening.from.len()..],
    ]
    .concat();
    fs::write(copy.join(&file), weakened).map_err(|_| "CANNOT BE WRITTEN")?;
    let builds = run(copy, None);
    let passes = builds && run(copy, Some(weakening.model));
    fs::write(copy.join(&file), source).map_err(|_| "CANNOT BE UNDONE")?;
    match (builds, passes) {
        (false, _) => Err("DOES NOT BUILD"),
        (true, true) => Err("SURVIVES"),
        (true, false) => Ok(()),
    }
}

/// Builds the models in the copy, and runs one of them if named.
fn run(copy: &Path, model: Option<&str>) -> bool {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"));
    cargo.args(["test", "--quiet", "-p", "loom-tests", "--test", "models"]);
    match model {
        Some(model) => cargo.args(["--", "--exact", model]),
        None => cargo.arg("--no-run"),
    };
    cargo
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
