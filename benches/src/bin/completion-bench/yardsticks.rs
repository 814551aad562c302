//! What the core is to keep to, and whether it does.

use std::fmt;

use crate::contestant::{
    Boxed, Contestant, EventsPlaced, EventsPooled, InPlace, MultiShot, OneShot, Payload, Pooled,
    Queued, Tokio,
};
use crate::figures::{Cell, Figures, of};
use crate::rounds::Round;

/// Ahead by a hundredth at least.
const AHEAD: f64 = 0.99;
/// Level is what differs by less than a twentieth.
const LEVEL: f64 = 1.05;

/// One thing to keep to: the quotient of two figures, or a figure, that may be no higher than its limit.
#[derive(Debug)]
pub(crate) struct Yardstick {
    pub(crate) what: String,
    pub(crate) limit: f64,
    pub(crate) measured: f64,
    /// Where the highest of several was measured, unless they are all zero.
    pub(crate) at: Option<Round>,
}

impl Yardstick {
    /// Not so if nothing was measured.
    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.limit
    }
}

impl fmt::Display for Yardstick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        write!(
            f,
            "{verdict}: {} at most {:.2}, is {:.2}",
            self.what, self.limit, self.measured
        )?;
        match self.at {
            Some(round) => write!(f, " ({})", round.name()),
            None => Ok(()),
        }
    }
}

/// What a contestant is called.
pub(crate) fn name<C: Contestant<u64>>() -> &'static str {
    C::NAME
}

fn cell(contestant: &'static str, round: Round) -> Cell {
    Cell {
        payload: u64::NAME,
        contestant,
        round,
    }
}

/// The quotient of two contestants' figures for a round.
type Quotient<'a> = &'a dyn Fn(&'static str, &'static str, Round) -> Option<f64>;

/// Those that are the same on every run: instructions and allocations.
pub(crate) fn exact(figures: &Figures) -> Vec<Yardstick> {
    let (pooled, tokio) = (name::<Pooled<u64>>(), name::<Tokio>());
    let instructions = |own, other, round| {
        let own = of(&figures.instructions, cell(own, round))?;
        Some(own / of(&figures.instructions, cell(other, round))?)
    };
    let mut all = vec![
        against(
            "instructions",
            pooled,
            tokio,
            Round::Ready,
            0.28,
            &instructions,
        ),
        against(
            "instructions",
            pooled,
            tokio,
            Round::Pending,
            0.28,
            &instructions,
        ),
    ];
    for own in [pooled, name::<InPlace>()] {
        let allocations = |round| of(&figures.allocations, cell(own, round));
        all.push(worst(
            format!("allocations, every round: {own}"),
            0.0,
            allocations,
        ));
    }
    all.extend(ahead("instructions", &instructions));
    all.extend(no_slower("instructions", &instructions));
    all
}

/// Those that are measured by time.
pub(crate) fn timed(figures: &Figures) -> Vec<Yardstick> {
    let (pooled, tokio) = (name::<Pooled<u64>>(), name::<Tokio>());
    let time = |own, other, round| {
        let own = of(&figures.times, cell(own, round))?;
        let other = of(&figures.times, cell(other, round))?;
        // Both are relative to the same repetitions of tokio.
        Some(own.ratio / other.ratio)
    };
    let mut all = vec![
        against("time", pooled, tokio, Round::Ready, 0.60, &time),
        against("time", pooled, tokio, Round::Pending, 0.50, &time),
        against("time", pooled, tokio, Round::TwoThreads, 0.40, &time),
    ];
    all.extend(ahead("time", &time));
    all.extend(no_slower("time", &time));
    all
}

/// Our boxed one-shot beside the fastest of the others.
fn no_slower<'a>(figure: &'a str, quotient: Quotient<'a>) -> impl Iterator<Item = Yardstick> + 'a {
    [Round::Ready, Round::Pending]
        .into_iter()
        .map(move |round| {
            let (own, other) = (name::<Boxed>(), name::<OneShot>());
            against(figure, own, other, round, 1.0, quotient)
        })
}

fn against(
    figure: &str,
    own: &'static str,
    other: &'static str,
    round: Round,
    limit: f64,
    quotient: Quotient<'_>,
) -> Yardstick {
    Yardstick {
        what: format!("{figure}, {}: {own} / {other}", round.name()),
        limit,
        measured: quotient(own, other, round).unwrap_or(f64::NAN),
        at: None,
    }
}

/// In every round: ahead of the pooled peers, level with those in place.
fn ahead(figure: &str, quotient: Quotient<'_>) -> Vec<Yardstick> {
    let pairs = [
        (name::<Pooled<u64>>(), name::<EventsPooled<u64>>(), AHEAD),
        (name::<Pooled<u64>>(), name::<Queued<u64>>(), AHEAD),
        (name::<InPlace>(), name::<EventsPlaced>(), LEVEL),
        (name::<InPlace>(), name::<MultiShot>(), LEVEL),
    ];
    let rows = pairs.map(|(own, other, limit)| {
        let what = format!("{figure}, every round: {own} / {other}");
        worst(what, limit, |round| quotient(own, other, round))
    });
    rows.into()
}

/// The highest of a figure over all rounds that have it.
fn worst(what: String, limit: f64, figure: impl Fn(Round) -> Option<f64>) -> Yardstick {
    let rounds = Round::ALL
        .into_iter()
        .filter_map(|round| Some((round, figure(round)?)));
    let highest = rounds.max_by(|(_, a), (_, b)| a.total_cmp(b));
    Yardstick {
        what,
        limit,
        measured: highest.map_or(f64::NAN, |(_, figure)| figure),
        at: highest
            .filter(|&(_, figure)| figure > 0.0)
            .map(|(round, _)| round),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(own: f64) -> Figures {
        let instructions = [(name::<Tokio>(), 100.0), (name::<Pooled<u64>>(), own)];
        let cells = |(contestant, figure)| {
            Round::of_one_thread().map(move |round| (cell(contestant, round), figure))
        };
        Figures {
            instructions: instructions.into_iter().flat_map(cells).collect(),
            ..Figures::default()
        }
    }

    #[test]
    fn a_quotient_at_the_limit_is_met_and_one_above_is_not() {
        assert!(exact(&figures(28.0))[0].is_met());
        let missed = &exact(&figures(29.0))[0];
        assert!(!missed.is_met());
        assert_eq!(
            missed.to_string(),
            "MISSED: instructions, ready: completion-core pooled / tokio at most 0.28, is 0.29"
        );
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert!(
            exact(&Figures::default())
                .iter()
                .chain(&timed(&Figures::default()))
                .all(|row| !row.is_met())
        );
    }

    #[test]
    fn the_worst_round_is_named() {
        let row = worst("w".to_owned(), 1.0, |round| {
            Some(if round == Round::Repolled { 2.0 } else { 0.5 })
        });
        assert_eq!((row.measured, row.at), (2.0, Some(Round::Repolled)));
        assert!(!row.is_met());
    }
}
