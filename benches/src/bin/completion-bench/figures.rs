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
        runner::<P, Boxed<P>>(),
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
