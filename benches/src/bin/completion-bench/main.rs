//! `completion-bench` measures completion-core against other one-shots: instructions, allocations, time.
//! `docs/benchmarks.md` tells the method, and holds what it printed.

mod callgrind;
mod chart;
mod contestant;
mod figures;
mod report;
mod rounds;
mod steps;
mod yardsticks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::alloc::Counting;
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::ValueExt;
use rounds::Round;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const USAGE: &str = "\
Measures completion-core against other one-shots and prints the tables.

Usage: completion-bench [OPTIONS]

  --write FILE        put the tables between the markers of FILE, and a
                      picture beside it
  --check             count instructions and allocations only, for u64, and
                      fail if a limit is exceeded
  --repetitions N     of each time [25]
  --help, --version

Needs valgrind. Exit status: 0 done, 1 a limit is exceeded, 2 nothing was
measured.
";

const EXCEEDED: u8 = 1;
const UNUSABLE: u8 = 2;

struct Args {
    write: Option<PathBuf>,
    repetitions: usize,
}

enum Job {
    Print(&'static str),
    Inner { u64_only: bool },
    Check,
    Measure(Args),
}

fn main() -> ExitCode {
    match parse().and_then(run) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("completion-bench: {problem}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn parse() -> Result<Job, String> {
    let mut args = Args {
        write: None,
        repetitions: 25,
    };
    let (mut check, mut inner) = (false, false);
    let mut parser = lexopt::Parser::from_env();
    let unusable = |error: lexopt::Error| error.to_string();
    while let Some(arg) = parser.next().map_err(unusable)? {
        match arg {
            lexopt::Arg::Long("help") => return Ok(Job::Print(USAGE)),
            lexopt::Arg::Long("version") => {
                return Ok(Job::Print(concat!(
                    "completion-bench ",
                    env!("CARGO_PKG_VERSION"),
                    "\n"
                )));
            }
            lexopt::Arg::Long("check") => check = true,
            lexopt::Arg::Long("write") => {
                args.write = Some(parser.value().map_err(unusable)?.into());
            }
            lexopt::Arg::Long("repetitions") => {
                let value = parser.value().map_err(unusable)?;
                args.repetitions = value.parse().map_err(unusable)?;
                if args.repetitions == 0 {
                    return Err("--repetitions must be at least 1".to_owned());
                }
            }
            lexopt::Arg::Long(callgrind::INNER) => inner = true,
            other => return Err(other.unexpected().to_string()),
        }
    }
    Ok(match (inner, check) {
        (true, u64_only) => Job::Inner { u64_only },
        (false, true) => Job::Check,
        (false, false) => Job::Measure(args),
    })
}

fn run(job: Job) -> Result<ExitCode, String> {
    match job {
        Job::Print(text) => print!("{text}"),
        Job::Inner { u64_only } => callgrind::run_inner(u64_only),
        Job::Check => return check(),
        Job::Measure(args) => measure(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Drawn on a terminal only.
fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn check() -> Result<ExitCode, String> {
    let progress = bar(1);
    let figures = figures::exact(true, &progress)?;
    progress.finish_and_clear();
    let limits = yardsticks::exact(&figures);
    for limit in &limits {
        println!("{limit}");
    }
    let all_met = limits.iter().all(yardsticks::Yardstick::is_met);
    Ok(ExitCode::from(if all_met { 0 } else { EXCEEDED }))
}

fn measure(args: &Args) -> Result<(), String> {
    let about = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    // Read first: what cannot be written should be known before minutes of measuring.
    let document = match &args.write {
        Some(path) => {
            let document = fs::read_to_string(path).map_err(|error| about(path, &error))?;
            report::splice(&document, "").map_err(|error| about(path, &error))?;
            Some((path, document))
        }
        None => None,
    };
    let load = report::load();
    if let Some(load) = load.filter(|&load| load > 1.0) {
        eprintln!(
            "completion-bench: the load is {load}: mistrust the times, those of two threads above all"
        );
    }
    let progress = bar(figures::steps(args.repetitions));
    let mut figures = figures::exact(false, &progress)?;
    figures.times = figures::times(args.repetitions, &progress);
    figures.steps = [Round::Ready, Round::Pending]
        .map(|round| (round, steps::nanoseconds(round, args.repetitions)))
        .into();
    progress.finish_and_clear();
    let Some((path, document)) = document else {
        print!("{}", report::block(&figures, args.repetitions, load, None));
        return Ok(());
    };
    let picture = path.with_extension("svg");
    let name = picture.file_name().map(|name| name.to_string_lossy());
    let block = report::block(&figures, args.repetitions, load, name.as_deref());
    let spliced = report::splice(&document, &block).map_err(|error| about(path, &error))?;
    fs::write(path, spliced).map_err(|error| about(path, &error))?;
    fs::write(&picture, chart::svg(&figures)).map_err(|error| about(&picture, &error))
}
