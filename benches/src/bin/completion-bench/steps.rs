//! What the atomic steps of a pooled round take by themselves: whatever makes as many is not faster.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::figures::median;
use crate::rounds::Round;

/// Alone on its cache lines, as the words of a shard and of a slot are.
#[repr(align(128))]
struct Line(AtomicUsize);

impl Line {
    /// A load, and a compare-exchange that expects what was loaded.
    #[inline(always)]
    fn step(&self, next: impl FnOnce(usize) -> usize) {
        // ORDERING: Relaxed; nothing is published, and a locked step takes the same time whatever its ordering.
        let word = self.0.load(Ordering::Relaxed);
        let stepped =
            self.0
                .compare_exchange(word, next(word), Ordering::AcqRel, Ordering::Relaxed);
        assert!(stepped.is_ok(), "nobody else is about");
    }
}

/// The nanoseconds of the steps of a round that is [ready](Round::Ready) or [pending](Round::Pending): taken out of its
/// shard, waited for if pending, ended, put back.
pub(crate) fn nanoseconds(round: Round, repetitions: usize) -> f64 {
    const ROUNDS: usize = 20_000;
    let [free, slot] = black_box([Line(AtomicUsize::new(0xFF)), Line(AtomicUsize::new(0))]);
    let samples = (0..repetitions).map(|_| {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            free.step(|free| free & (free - 1));
            if round == Round::Pending {
                slot.step(|state| state + 1);
            }
            slot.step(|state| state + 2);
            free.step(|free| free | 1);
        }
        started.elapsed().as_nanos() as f64 / ROUNDS as f64
    });
    median(samples.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_take_time() {
        assert!(nanoseconds(Round::Ready, 1) > 0.0);
        assert!(nanoseconds(Round::Pending, 1) > 0.0);
    }
}
