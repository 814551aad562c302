//! Times: all contestants by turns, in an order that moves on with each repetition, so that a noisy moment hits all alike.

use indicatif::ProgressBar;

use crate::figures::{Cell, Time, field};
use crate::rounds::{Round, Runner};

/// So many rounds at a stretch: about a millisecond, or some where threads have to meet first.
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

/// The times of everybody.
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
fn median(mut samples: Vec<f64>) -> f64 {
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
