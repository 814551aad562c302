//! Who is measured, and all that is measured of them.

use std::thread;

use benches::alloc::{count_this_thread, usage};
use indicatif::ProgressBar;

use crate::callgrind;
use crate::contestant::{
    Boxed, EventsPlaced, EventsPooled, Futures, InPlace, MultiShot, OneShot, Payload, Pooled,
    Queued, Reply, Tokio,
};
use crate::rounds::{Round, Runner, runner};

/// Which contestant, which round, which payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) payload: &'static str,
    pub(crate) contestant: &'static str,
    pub(crate) round: Round,
}

impl Cell {
    pub(crate) fn new(runner: &dyn Runner, round: Round) -> Self {
        Self {
            payload: runner.payload(),
            contestant: runner.name(),
            round,
        }
    }
}

/// The time of a round: medians over the repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub(crate) nanoseconds: f64,
    /// The median of the quotients with tokio's time in the same repetition.
    pub(crate) ratio: f64,
}

/// Everything that was measured, per round.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Of the rounds that one thread does alone.
    pub(crate) instructions: Vec<(Cell, f64)>,
    /// Of the rounds that one thread does alone.
    pub(crate) allocations: Vec<(Cell, f64)>,
    /// Of all rounds, if times were asked for.
    pub(crate) times: Vec<(Cell, Time)>,
    /// Nanoseconds of the atomic steps alone, if times were asked for.
    pub(crate) steps: Vec<(Round, f64)>,
}

/// The figure of a cell.
pub(crate) fn of<F: Copy>(figures: &[(Cell, F)], cell: Cell) -> Option<F> {
    let found = figures.iter().find(|(other, _)| *other == cell);
    found.map(|&(_, figure)| figure)
}

/// Every contestant with every payload, in the order of the tables.
pub(crate) fn field(u64_only: bool) -> Vec<Box<dyn Runner>> {
    let mut all = with_payload::<u64>();
    if !u64_only {
        all.extend(with_payload::<[u64; 16]>());
        all.extend(with_payload::<Reply>());
    }
    all
}

fn with_payload<P: Payload>() -> Vec<Box<dyn Runner>> {
    vec![
        runner::<P, Tokio>(),
        runner::<P, Pooled<P>>(),
        runner::<P, EventsPooled<P>>(),
        runner::<P, Queued<P>>(),
        runner::<P, InPlace>(),
        runner::<P, EventsPlaced>(),
        runner::<P, MultiShot>(),
        runner::<P, Boxed>(),
        runner::<P, OneShot>(),
        runner::<P, Futures>(),
    ]
}

/// Instructions and allocations only, which are the same on every run.
pub(crate) fn exact(u64_only: bool, progress: &ProgressBar) -> Result<Figures, String> {
    Ok(Figures {
        instructions: callgrind::instructions(u64_only, progress)?,
        allocations: allocations(u64_only),
        times: Vec::new(),
        steps: Vec::new(),
    })
}

/// Allocations per round, in the steady state.
fn allocations(u64_only: bool) -> Vec<(Cell, f64)> {
    const ROUNDS: usize = 640;
    let count = || {
        count_this_thread();
        let mut counted = Vec::new();
        for runner in &mut field(u64_only) {
            for round in Round::of_one_thread() {
                runner.run(round, ROUNDS);
                let before = usage();
                let (rounds, _) = runner.run(round, ROUNDS);
                let allocations = usage().since(before).allocations;
                counted.push((
                    Cell::new(&**runner, round),
                    allocations as f64 / rounds as f64,
                ));
            }
        }
        counted
    };
    // A thread of its own, so that this one stays uncounted, and the times it takes are those of the plain allocator.
    thread::scope(|scope| scope.spawn(count).join().expect("a round does not panic"))
}

/// So many rounds at a stretch: a millisecond or less, or some where threads have to meet first.
fn stretch(round: Round) -> usize {
    match round {
        Round::TwoThreads => 100_000,
        Round::PingPong => 1_000,
        _ => 20_000,
    }
}

/// How many steps [`times`] reports.
pub(crate) fn steps(repetitions: usize) -> u64 {
    let payloads = field(false)
        .chunk_by(|a, b| a.payload() == b.payload())
        .count();
    (payloads * Round::ALL.len() * (repetitions + 1)) as u64
}

/// The times of everybody: all contestants by turns, in an order that moves on with each repetition, so that a noisy moment
/// hits all alike.
pub(crate) fn times(repetitions: usize, progress: &ProgressBar) -> Vec<(Cell, Time)> {
    let mut taken = Vec::new();
    for contestants in field(false).chunk_by_mut(|a, b| a.payload() == b.payload()) {
        for round in Round::ALL {
            progress.set_message(format!("{}, {}", contestants[0].payload(), round.name()));
            taken.extend(race(contestants, round, repetitions, progress));
        }
    }
    taken
}

/// The times of one kind of round; the first contestant is the yardstick.
fn race(
    contestants: &mut [Box<dyn Runner>],
    round: Round,
    repetitions: usize,
    progress: &ProgressBar,
) -> Vec<(Cell, Time)> {
    let mut samples = vec![Vec::with_capacity(repetitions); contestants.len()];
    // The first turn warms up, and does not count.
    for turn in 0..=repetitions {
        for step in 0..contestants.len() {
            let n = (turn + step) % contestants.len();
            let (rounds, time) = contestants[n].run(round, stretch(round));
            if turn > 0 {
                samples[n].push(time.as_nanos() as f64 / rounds as f64);
            }
        }
        progress.inc(1);
    }
    let yardstick = samples[0].clone();
    let figures = contestants.iter().zip(samples).map(|(runner, samples)| {
        let ratios = samples
            .iter()
            .zip(&yardstick)
            .map(|(own, other)| own / other);
        let time = Time {
            ratio: median(ratios.collect()),
            nanoseconds: median(samples),
        };
        (Cell::new(&**runner, round), time)
    });
    figures.collect()
}

/// The middle one, or the mean of the middle two; not a number if there are none.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match (samples.len(), samples.len() % 2) {
        (0, _) => f64::NAN,
        (_, 0) => f64::midpoint(samples[middle - 1], samples[middle]),
        _ => samples[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert_eq!(median(vec![3.0, 1.0, 1e9]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 1e9]), 3.0);
        assert_eq!(median(vec![5.0]), 5.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn every_contestant_is_timed_and_the_first_is_the_unit() {
        let mut contestants = field(true);
        let timed = race(&mut contestants, Round::Ready, 1, &ProgressBar::hidden());
        assert_eq!(timed.len(), contestants.len());
        assert_eq!(timed[0].1.ratio, 1.0);
        assert!(timed.iter().all(|(_, time)| time.nanoseconds > 0.0));
    }
}
