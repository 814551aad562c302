//! Which requests are cancelled, and when: a pure function of the seed, the percentage and the number of the request.
//!
//! In every block of 100 requests exactly `percent` are chosen, and in the last, shorter block as many as make the total
//! `floor(percent * requests / 100)`. Nothing is stored, so the number of requests is not bounded by memory.

use std::time::Duration;

const BLOCK: u64 = 100;

/// Dropped at a time below the shortest request timeout (1 ms), so that a chosen request never ends by its timeout instead.
const LONGEST_DELAY_US: u64 = 1_000;

/// The seeded choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    seed: u64,
    percent: u64,
    requests: u64,
}

impl Plan {
    /// `percent` is at most 100.
    pub(crate) fn new(seed: u64, percent: u64, requests: u64) -> Self {
        Self {
            seed,
            percent,
            requests,
        }
    }

    /// How long after its submission request `index` is dropped, if it is one of the chosen.
    pub(crate) fn cancel_after(&self, index: u64) -> Option<Duration> {
        if self.percent == 0 {
            return None;
        }
        let first = index - index % BLOCK;
        let last = self.requests.min(first + BLOCK);
        // The percentage of a whole block is an integer, so what the floor cuts off is cut off in the last block only.
        let quota = (last - first) * self.percent / BLOCK;
        let own = self.rank(index);
        let smaller = (first..last).filter(|&other| self.rank(other) < own);
        ((smaller.count() as u64) < quota)
            .then(|| Duration::from_micros(mix(self.seed ^ mix(!index)) % LONGEST_DELAY_US))
    }

    /// A pseudo-random position; the index makes it unique.
    fn rank(&self, index: u64) -> (u64, u64) {
        (mix(self.seed.wrapping_add(mix(index))), index)
    }
}

/// The output function of splitmix64: a bijection that spreads every input bit over all output bits.
fn mix(input: u64) -> u64 {
    let mut bits = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
