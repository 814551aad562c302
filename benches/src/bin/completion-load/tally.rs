//! What became of the requests: counts and latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use http::StatusCode;

use crate::client::Reply;
use crate::failure::{Failure, Kind};

/// The longest latency that is told apart, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// How one request ended.
pub(crate) enum Outcome {
    Replied(Reply),
    Cancelled,
    Failed(Failure),
}

/// Sums over requests. Recording allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) cancelled: u64,
    /// By `Kind as usize`.
    pub(crate) failed: [u64; Kind::ALL.len()],
    pub(crate) retry_safe: u64,
    /// By the first digit of the status.
    pub(crate) status: [u64; 10],
    pub(crate) bytes_received: u64,
    /// Of the succeeded, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            succeeded: 0,
            cancelled: 0,
            failed: [0; Kind::ALL.len()],
            retry_safe: 0,
            status: [0; 10],
            bytes_received: 0,
            latency: Histogram::new_with_bounds(1, LONGEST_US, 3)
                .expect("constant bounds, which the crate's tests accept"),
        }
    }

    pub(crate) fn record(&mut self, outcome: &Outcome, took: Duration) {
        match outcome {
            Outcome::Replied(reply) => {
                self.succeeded += 1;
                self.status[class(reply.status)] += 1;
                self.bytes_received += reply.bytes;
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.latency.saturating_record(micros);
            }
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed(failure) => {
                self.failed[failure.kind as usize] += 1;
                self.retry_safe += u64::from(failure.retry_safe);
            }
        }
    }

    /// Adds what another thread recorded.
    pub(crate) fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.cancelled += other.cancelled;
        for (sum, more) in self.failed.iter_mut().zip(other.failed) {
            *sum += more;
        }
        self.retry_safe += other.retry_safe;
        for (sum, more) in self.status.iter_mut().zip(other.status) {
            *sum += more;
        }
        self.bytes_received += other.bytes_received;
        self.latency
            .add(&other.latency)
            .expect("both have the same bounds");
    }

    /// Failed requests of all kinds.
    pub(crate) fn all_failed(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Requests that have ended.
    pub(crate) fn requests(&self) -> u64 {
        self.succeeded + self.cancelled + self.all_failed()
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100) % 10
}
