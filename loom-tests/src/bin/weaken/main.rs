//! Weakens the core, and the adapter's concurrent parts, in one place at a time and expects a model to fail.
//!
//! `cargo run -p loom-tests [-- --write | FILTER]` finds every atomic ordering in the sources of each
//! [`Subject`] and tries everything that can be taken from it: its acquire or release half, and, where a
//! read-modify-write is, that it is one step. To these it adds changes of the protocol that are
//! written down in `changes.rs`. It works on a copy of the sources below `target/weaken`, built once: every
//! place asks at run time whether it is the one to be weakened.
//!
//! The table in `docs/verification.md` says which model notices what. That one is tried first, the others
//! only if it passes. A model notices if something does not hold in it, not if it gives up. Exits with 1 if
//! nothing notices, or the table is out of date; `--write` writes it.

mod changes;
mod places;
mod table;
mod verdict;
mod workshop;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use changes::CHANGES;
use table::Row;
use verdict::Verdict;
use workshop::Tests;

/// How long a model may take that is expected to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sources, and the models of them.
struct Subject {
    /// The folder of the sources.
    sources: &'static str,
    /// The files in it, if not all.
    files: Option<&'static [&'static str]>,
    /// The test target.
    models: &'static str,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        sources: "completion-core/src",
        files: None,
        models: "models",
    },
    Subject {
        sources: "completion-h2/src",
        files: Some(&[
            "driver/pieces.rs",
            "link/schedule.rs",
            "queue/inbox.rs",
            "queue/places.rs",
            "tap/shared.rs",
        ]),
        models: "adapter",
    },
];

/// One run of the copy.
struct Trial {
    /// Which of the subjects it is about.
    subject: usize,
    place: String,
    mutation: String,
    /// The copy's `WEAKEN`.
    code: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<bool> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (writes, filter) = match &arguments[..] {
        [] => (false, ""),
        [flag] if flag == "--write" => (true, ""),
        [filter] if !filter.starts_with('-') => (false, filter.as_str()),
        _ => return Err(io::Error::other("usage: weaken [--write | FILTER]")),
    };

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let copy = workshop::below_target(&root, "weaken");
    let mut trials = prepare(&root, &copy)?;
    trials.retain(|it| it.place.contains(filter) || it.mutation.contains(filter));
    if trials.is_empty() {
        return Err(io::Error::other(format!("nothing is called `{filter}`")));
    }
    let mut models = Models::build(&copy)?;

    let path = root.join("docs/verification.md");
    let document = fs::read_to_string(&path)?;
    let known = table::read(&document);
    for models in &mut models {
        models.expect(&known);
    }
    let rows = try_all(&trials, &models, &known);

    let lost = rows.iter().filter(|it| it.noticed_by == NOBODY).count();
    println!("{} tried, {lost} not noticed", rows.len());
    if !filter.is_empty() {
        return Ok(lost == 0);
    }
    let written = table::write(&document, &rows);
    let current = written == document;
    if writes {
        fs::write(&path, written)?;
    } else if !current {
        println!("the table in docs/verification.md is out of date: run with --write");
    }
    Ok(lost == 0 && (current || writes))
}

const NOBODY: &str = "**nobody**";

/// Tries all, on as many threads as there are processors, and says how it goes.
fn try_all(
    trials: &[Trial],
    models: &[Models],
    known: &HashMap<(String, String), String>,
) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((number, trial)) =
                    Some(next.fetch_add(1, Relaxed)).and_then(|n| Some((n, trials.get(n)?)))
                {
                    let key = (trial.place.clone(), trial.mutation.clone());
                    let models = &models[trial.subject];
                    let noticed_by = models.who_notices(trial, known.get(&key));
                    let mut rows = rows.lock().unwrap();
                    let (place, mutation) = key;
                    println!(
                        "[{}/{}] {place}: {mutation}: {noticed_by}",
                        rows.len() + 1,
                        trials.len()
                    );
                    let _ = io::stdout().flush();
                    let row = Row {
                        place,
                        mutation,
                        noticed_by,
                    };
                    rows.push((number, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// The copy's models of one subject.
struct Models {
    tests: Tests,
    /// Those that noticed something before.
    likely: Vec<String>,
    /// Those that pass with nothing weakened, so that their failing says something.
    sound: Mutex<HashMap<String, bool>>,
}

impl Models {
    /// Those of each subject.
    fn build(copy: &Path) -> io::Result<Vec<Self>> {
        let tests = Tests::build(copy, "loom-tests", &SUBJECTS.map(|it| it.models))?;
        let models = tests.into_iter().map(|tests| Self {
            tests,
            likely: Vec::new(),
            sound: Mutex::new(HashMap::new()),
        });
        Ok(models.collect())
    }

    /// Those that noticed something before will be asked first.
    fn expect(&mut self, known: &HashMap<(String, String), String>) {
        let names = &self.tests.names;
        let likely = known.values().filter(|it| names.contains(it)).cloned();
        self.likely = likely.collect();
        self.likely.sort();
        self.likely.dedup();
    }

    /// The first model that fails; the one that is known to is asked first. Those that give up are named.
    fn who_notices(&self, trial: &Trial, known: Option<&String>) -> String {
        let names = &self.tests.names;
        let known = known.filter(|known| names.contains(known));
        let asked = known.into_iter().chain(&self.likely).chain(names);
        for model in asked {
            match self.run(model, Some(&trial.code)) {
                Verdict::Fails if self.is_sound(model) => return model.clone(),
                Verdict::GivesUp(why) => println!("{}: {model} gives up: {why}", trial.mutation),
                _ => {}
            }
        }
        NOBODY.to_owned()
    }

    fn is_sound(&self, model: &str) -> bool {
        if let Some(sound) = self.sound.lock().unwrap().get(model) {
            return *sound;
        }
        let sound = self.run(model, None) == Verdict::Passes;
        self.sound.lock().unwrap().insert(model.to_owned(), sound);
        sound
    }

    /// Runs a model, with something weakened or as it is.
    fn run(&self, model: &str, weaken: Option<&str>) -> Verdict {
        let mut command = self.tests.command(&[model]);
        command.env_remove("PREEMPTIONS").env_remove("WEAKEN");
        if let Some(weaken) = weaken {
            command.env("WEAKEN", weaken);
        }
        match workshop::run_within(PATIENCE, &mut command) {
            Ok(Some((status, stderr))) => verdict::of(status.success(), &stderr),
            Ok(None) => Verdict::GivesUp("it takes too long".into()),
            Err(error) => Verdict::GivesUp(error.to_string()),
        }
    }
}

/// A workspace of just the models and the sources they include, in which every place asks whether it
/// is to be weakened; and everything that can be asked for.
fn prepare(root: &Path, copy: &Path) -> io::Result<Vec<Trial>> {
    let sources = SUBJECTS.iter().map(|it| it.sources.to_owned());
    let models = SUBJECTS
        .iter()
        .map(|it| format!("loom-tests/tests/{}", it.models));
    for folder in sources.chain(models).chain(["loom-tests/src".to_owned()]) {
        let to = copy.join(&folder);
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        workshop::copy_folder(&root.join(&folder), &to)?;
    }
    workshop::make_workspace(root, copy, "loom-tests")?;
    // Of the tests the models alone, which need nothing beside.
    let manifest = fs::read_to_string(root.join("loom-tests/Cargo.toml"))?;
    let manifest = manifest.replace("shuttle.workspace = true\n", "");
    fs::write(copy.join("loom-tests/Cargo.toml"), manifest)?;

    let mut trials = Trials::default();
    let mut changes = 0;
    for (subject, Subject { sources, files, .. }) in SUBJECTS.iter().enumerate() {
        let sources = copy.join(sources);
        let files = match files {
            Some(files) => files.iter().map(|it| (*it).to_owned()).collect(),
            None => sources_below(&sources, "")?,
        };
        for file in files {
            let path = sources.join(&file);
            let source = fs::read_to_string(&path)?;
            let asking = trials.instrument(subject, &file, &source)?;
            changes += CHANGES.iter().filter(|it| it.edit.file == file).count();
            fs::write(path, asking)?;
        }
    }
    if changes != CHANGES.len() {
        return Err(io::Error::other("a change is of a file that there is not"));
    }
    Ok(trials.list)
}

/// The Rust sources in a folder, their tests aside.
fn sources_below(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files.extend(sources_below(&entry.path(), &format!("{name}/"))?);
        } else if name.ends_with(".rs") && !NOT_MODELLED.contains(&name.as_str()) {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// The models put their own `sync` in this one's place, and test no pure function.
const NOT_MODELLED: [&str; 2] = ["sync.rs", "state/tests.rs"];

#[derive(Default)]
struct Trials {
    list: Vec<Trial>,
    places: usize,
}

impl Trials {
    fn next_place(&mut self) -> usize {
        self.places += 1;
        self.places
    }

    /// The source with its places asking.
    fn instrument(&mut self, subject: usize, file: &str, source: &str) -> io::Result<String> {
        let mut edits = Vec::new();
        for place in places::find(file, source) {
            let number = self.next_place();
            for mutation in place.mutations() {
                self.list.push(Trial {
                    subject,
                    place: place.to_string(),
                    mutation: place.describe(mutation),
                    code: format!("{number} {}", mutation.code()),
                });
            }
            let ordering = &source[place.span.clone()];
            let asking = format!("crate::sync::at({number}, {ordering})");
            edits.push((place.span, asking));
        }
        for change in CHANGES.iter().filter(|it| it.edit.file == file) {
            let number = self.next_place();
            let span = change.edit.find(source).ok_or_else(|| {
                io::Error::other(format!("does not apply any more: {}", change.what))
            })?;
            self.list.push(Trial {
                subject,
                place: format!("`{file}`"),
                mutation: change.what.to_owned(),
                code: format!("{number} changed"),
            });
            let (from, to) = (change.edit.from, change.edit.to);
            let asking =
                format!("(if crate::sync::changed({number}) {{ {to} }} else {{ {from} }})");
            edits.push((span, asking));
        }
        edits.sort_by_key(|(span, _)| span.start);

        let mut asking = String::new();
        let mut done = 0;
        for (span, edit) in edits {
            asking.push_str(&source[done..span.start]);
            asking.push_str(&edit);
            done = span.end;
        }
        asking.push_str(&source[done..]);
        // What asks cannot do so at compile time.
        Ok(if file == "state.rs" {
            asking.replace("const fn", "fn")
        } else {
            asking
        })
    }
}
