//! The block of docs/benchmarks.md that the tool writes: where and when, the yardsticks, the tables.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::contestant::{EventsPlaced, EventsPooled, InPlace, Payload, Pooled, Tokio};
use crate::figures::{Cell, Figures, of};
use crate::rounds::Round;
use crate::yardsticks::{self, Yardstick};

const BEGIN: &str = "<!-- completion-bench writes from here -->\n";
const END: &str = "<!-- to here -->\n";

/// The versions of this very build.
const LOCK: &str = include_str!("../../../../Cargo.lock");
const PEERS: [&str; 6] = [
    "tokio",
    "events_once",
    "crossbeam-queue",
    "multishot",
    "oneshot",
    "futures-channel",
];

/// Puts the block between the markers of a document.
pub(crate) fn splice(document: &str, block: &str) -> Result<String, String> {
    let missing = |marker: &str| format!("it has no line `{}`", marker.trim_end());
    let (before, rest) = document.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_old, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    Ok(format!("{before}{BEGIN}\n{block}\n{END}{after}"))
}

/// Everything that is printed; `chart` is the file of the picture, if there is one.
pub(crate) fn block(
    figures: &Figures,
    repetitions: usize,
    load: Option<f64>,
    chart: Option<&str>,
) -> String {
    let load = load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}"));
    let mut text = format!(
        "{}, {} processors, {}; {}. Times are medians of {repetitions} repetitions; the load was {load} before.\n\n{}.\n",
        cpu(),
        std::thread::available_parallelism().map_or(1, usize::from),
        compiler(),
        today(),
        PEERS
            .map(|name| format!("{name} {}", version(LOCK, name).unwrap_or("?")))
            .join(", "),
    );
    text.push_str("\n### Yardsticks\n\n");
    let all = yardsticks::exact(figures)
        .into_iter()
        .chain(yardsticks::timed(figures));
    text.push_str(&yardstick_table(&all.collect::<Vec<_>>()));
    text.push_str(&steps_lines(figures));
    text.push_str("\n### What the instructions are for\n\n");
    text.push_str(&purpose_table(figures));
    if let Some(chart) = chart {
        // Writing to a String does not fail.
        let _ok = writeln!(
            text,
            "\n![Instructions and times of the contestants]({chart})"
        );
    }
    for payload in distinct(figures.instructions.iter().map(|(cell, _)| cell.payload)) {
        let _ok = write!(
            text,
            "\n### `{payload}`: instructions and allocations per round\n\n"
        );
        text.push_str(&exact_table(figures, payload));
        let _ok = write!(text, "\n### `{payload}`: time, tokio = 1\n\n");
        text.push_str(&time_table(figures, payload));
    }
    text
}

fn yardstick_table(rows: &[Yardstick]) -> String {
    let mut text = String::from("| u64 | at most | measured | |\n|---|---|---|---|\n");
    for row in rows {
        let at = row
            .at
            .map_or(String::new(), |round| format!(" ({})", round.name()));
        let verdict = if row.is_met() { "met" } else { "**missed**" };
        let _ok = writeln!(
            text,
            "| {} | {:.2} | {:.2}{at} | {verdict} |",
            row.what, row.limit, row.measured
        );
    }
    text
}

/// What the steps of a pooled round take by themselves, beside tokio's whole round.
fn steps_lines(figures: &Figures) -> String {
    let mut text = String::from("\n");
    for &(round, nanoseconds) in &figures.steps {
        let cell = Cell {
            payload: u64::NAME,
            contestant: yardsticks::name::<Tokio>(),
            round,
        };
        let tokio = of(&figures.times, cell).map_or(f64::NAN, |time| time.nanoseconds);
        let _ok = writeln!(
            text,
            "The atomic steps of a pooled round by themselves, {}: {nanoseconds:.1} ns, {:.2} of tokio's time.",
            round.name(),
            nanoseconds / tokio
        );
    }
    text
}

/// What a part of a round costs: the difference of two contestants' instructions, or of two rounds' of one.
fn purpose_table(figures: &Figures) -> String {
    let parts = |placed, pooled| {
        let count = |contestant, round| {
            let cell = Cell {
                payload: u64::NAME,
                contestant,
                round,
            };
            of(&figures.instructions, cell).unwrap_or(f64::NAN)
        };
        let [ready, pending, repolled] =
            [Round::Ready, Round::Pending, Round::Repolled].map(|round| count(placed, round));
        let pool = count(pooled, Round::Ready) - ready;
        [ready, pending - ready, repolled - pending, pool]
    };
    let ours = parts(
        yardsticks::name::<InPlace>(),
        yardsticks::name::<Pooled<u64>>(),
    );
    let theirs = parts(
        yardsticks::name::<EventsPlaced>(),
        yardsticks::name::<EventsPooled<u64>>(),
    );
    let names = [
        "the round itself: in place, ready",
        "waiting: in place, pending - ready",
        "another waker: in place, re-polled - pending",
        "the pool: pooled - in place, ready",
    ];
    let mut text = String::from("| `u64` | completion-core | events_once |\n|---|---|---|\n");
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        let _ok = writeln!(text, "| {name} | {ours:.0} | {theirs:.0} |");
    }
    text
}

fn exact_table(figures: &Figures, payload: &'static str) -> String {
    let rounds: Vec<Round> = Round::of_one_thread().collect();
    let mut text = header(
        rounds
            .iter()
            .map(|round| round.name())
            .chain(["allocations"]),
    );
    for contestant in distinct(figures.instructions.iter().map(|(cell, _)| cell.contestant)) {
        let cell = |round| Cell {
            payload,
            contestant,
            round,
        };
        let _ok = write!(text, "| {contestant} |");
        for &round in &rounds {
            text.push_str(&entry(
                of(&figures.instructions, cell(round)).map(|n| format!("{n:.0}")),
            ));
        }
        let allocations = rounds
            .iter()
            .filter_map(|&round| of(&figures.allocations, cell(round)));
        text.push_str(&entry(
            allocations.reduce(f64::max).map(|n| format!("{n:.0}")),
        ));
        text.push('\n');
    }
    text
}

fn time_table(figures: &Figures, payload: &'static str) -> String {
    let mut text = header(Round::ALL.into_iter().map(Round::name));
    for contestant in distinct(figures.times.iter().map(|(cell, _)| cell.contestant)) {
        let _ok = write!(text, "| {contestant} |");
        for round in Round::ALL {
            let time = of(
                &figures.times,
                Cell {
                    payload,
                    contestant,
                    round,
                },
            );
            text.push_str(&entry(time.map(|time| {
                format!("{:.2} ({:.1} ns)", time.ratio, time.nanoseconds)
            })));
        }
        text.push('\n');
    }
    text
}

fn header<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let (mut names, mut rule) = (String::from("| |"), String::from("|---|"));
    for column in columns {
        let _ok = write!(names, " {column} |");
        rule.push_str("---|");
    }
    format!("{names}\n{rule}\n")
}

fn entry(figure: Option<String>) -> String {
    format!(" {} |", figure.as_deref().unwrap_or("-"))
}

/// The different ones, in the order of their first appearance.
pub(crate) fn distinct(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The version of a package, or the highest if there are several.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let start = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&start)?;
    Some(rest.split_once('"')?.0)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model
        .map_or("an unknown processor", |(_, name)| name)
        .to_owned()
}

/// How many processes were running or wanted to, over the last minute.
pub(crate) fn load() -> Option<f64> {
    let averages = fs::read_to_string("/proc/loadavg").ok()?;
    averages.split_whitespace().next()?.parse().ok()
}

fn compiler() -> String {
    let printed = Command::new("rustc").arg("--version").output();
    match printed {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "an unknown compiler".to_owned(),
    }
}

fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The date of a day, counted from 1970-01-01.
fn date(mut day: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Time;

    fn cell(contestant: &'static str, round: Round) -> Cell {
        Cell {
            payload: "u64",
            contestant,
            round,
        }
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let document = format!("# Title\n\n{BEGIN}old\n{END}\nThe end.\n");
        let spliced = splice(&document, "new").unwrap();
        assert_eq!(
            spliced,
            format!("# Title\n\n{BEGIN}\nnew\n{END}\nThe end.\n")
        );
        assert_eq!(splice(&spliced, "new").unwrap(), spliced);
    }

    #[test]
    fn a_missing_marker_is_named() {
        assert!(
            splice("no markers", "new")
                .unwrap_err()
                .contains("writes from here")
        );
        assert!(splice(BEGIN, "new").unwrap_err().contains("to here"));
    }

    #[test]
    fn tables_have_a_row_for_each_contestant_and_a_column_for_each_round() {
        let figures = Figures {
            instructions: vec![
                (cell("a", Round::Ready), 92.4),
                (cell("b", Round::Pending), 7.0),
            ],
            allocations: vec![
                (cell("a", Round::Ready), 1.0),
                (cell("a", Round::Pending), 2.0),
            ],
            times: vec![(
                cell("a", Round::PingPong),
                Time {
                    nanoseconds: 12.34,
                    ratio: 0.5,
                },
            )],
            ..Figures::default()
        };
        assert_eq!(
            exact_table(&figures, "u64"),
            "| | ready | pending | receiver dropped | sender dropped | re-polled | 64 outstanding | allocations |\n\
             |---|---|---|---|---|---|---|---|\n\
             | a | 92 | - | - | - | - | - | 2 |\n\
             | b | - | 7 | - | - | - | - | - |\n"
        );
        let times = time_table(&figures, "u64");
        assert!(
            times.ends_with("| a | - | - | - | - | - | - | - | 0.50 (12.3 ns) |\n"),
            "{times}"
        );
    }

    #[test]
    fn parts_of_a_round_are_differences() {
        let (placed, pooled) = (
            yardsticks::name::<InPlace>(),
            yardsticks::name::<Pooled<u64>>(),
        );
        let figures = Figures {
            instructions: vec![
                (cell(placed, Round::Ready), 40.0),
                (cell(placed, Round::Pending), 65.0),
                (cell(placed, Round::Repolled), 145.0),
                (cell(pooled, Round::Ready), 61.0),
            ],
            ..Figures::default()
        };
        let table = purpose_table(&figures);
        let column: Vec<_> = table
            .lines()
            .skip(2)
            .filter_map(|line| line.split(" | ").nth(1))
            .collect();
        assert_eq!(column, ["40", "25", "80", "21"], "{table}");
    }

    #[test]
    fn steps_stand_beside_the_whole_round_of_tokio() {
        let tokio = yardsticks::name::<Tokio>();
        let time = Time {
            nanoseconds: 16.0,
            ratio: 1.0,
        };
        let figures = Figures {
            times: vec![(cell(tokio, Round::Ready), time)],
            steps: vec![(Round::Ready, 6.0)],
            ..Figures::default()
        };
        assert!(steps_lines(&figures).contains("ready: 6.0 ns, 0.38 of tokio's"));
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "name = \"a\"\nversion = \"1.2.3\"\nname = \"b\"\nversion = \"4.5.6\"\n";
        assert_eq!(version(lock, "b"), Some("4.5.6"));
        assert_eq!(version(lock, "c"), None);
        for peer in PEERS {
            assert!(version(LOCK, peer).is_some(), "{peer}");
        }
    }

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(59), "1970-03-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_453), "2025-12-31");
        assert_eq!(date(20_454), "2026-01-01");
    }
}
