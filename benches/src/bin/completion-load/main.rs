//! `completion-load` drives an HTTP/2 server with a stated amount of work through `completion-h2`, or through raw h2 or hyper
//! for comparison, and reports what came of it. `benches/README.md` tells the method and how to read the figures.

mod args;
mod client;
mod dial;
mod failure;
mod memory;
mod plan;
mod progress;
mod report;
mod run;
mod server;
mod tally;
mod tls;
mod work;

use std::io::{self, Write};
use std::process::ExitCode;

use benches::alloc::Counting;

use args::{Command, USAGE};
use report::Report;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SOME_FAILED: u8 = 1;
const UNUSABLE_ARGUMENTS: u8 = 2;
const NEVER_CONNECTED: u8 = 3;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Load(args)) => args,
        Ok(Command::Help) => return print(USAGE, 0),
        Ok(Command::Version) => {
            return print(
                concat!("completion-load ", env!("CARGO_PKG_VERSION"), "\n"),
                0,
            );
        }
        Err(unusable) => return complain(&unusable),
    };
    let outcome = match run::run(&args) {
        Ok(outcome) => outcome,
        Err(unusable) => return complain(&unusable),
    };
    let reports = &outcome.reports;
    let text = match (args.json, reports.as_slice()) {
        (true, [report]) if !args.compare => format!("{}\n", report.to_json()),
        (true, reports) => format!("{}\n", report::compared_json(reports)),
        (false, reports) => report::table(reports),
    };
    let code = if outcome.interrupted {
        INTERRUPTED
    } else if reports.iter().all(Report::never_connected) {
        NEVER_CONNECTED
    } else if reports.iter().any(Report::some_failed) {
        SOME_FAILED
    } else {
        0
    };
    print(&text, code)
}

/// Prints to stdout. A reader that has gone away has seen what it wanted.
fn print(text: &str, code: u8) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format_args!("the report cannot be written: {error}"));
            ExitCode::from(code.max(SOME_FAILED))
        }
        _ => ExitCode::from(code),
    }
}

/// One line on stderr; if that is closed, the exit code alone has to tell.
fn complain(problem: &dyn std::fmt::Display) -> ExitCode {
    let _unheard = writeln!(io::stderr(), "completion-load: {problem}");
    ExitCode::from(UNUSABLE_ARGUMENTS)
}
