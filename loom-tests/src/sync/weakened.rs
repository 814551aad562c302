//! What `cargo run -p loom-tests` builds into its copy of the sources: every ordering and every change for
//! the worse asks here whether this run is the one that tries it. So one build serves them all.
//!
//! The variable `WEAKEN` chooses one: the number of a place, and what becomes of its ordering.

use std::cell::Cell;
use std::sync::OnceLock;

use super::Ordering;

thread_local! {
    /// The next read-modify-write is to be a load, then a store. A model runs on one system thread, and
    /// loom does not switch between an ordering and the operation that it is given to.
    static SPLIT: Cell<bool> = const { Cell::new(false) };
}

fn chosen() -> Option<&'static (usize, String)> {
    static CHOSEN: OnceLock<Option<(usize, String)>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| {
            let variable = std::env::var("WEAKEN").ok()?;
            let (place, becomes) = variable.split_once(' ')?;
            Some((place.parse().ok()?, becomes.to_owned()))
        })
        .as_ref()
}

/// The ordering of a place, or what this run makes of it.
///
/// # Panics
///
/// If this run is to make something unknown of it.
#[must_use]
pub fn at(place: usize, ordering: Ordering) -> Ordering {
    match chosen() {
        Some((chosen, becomes)) if *chosen == place => match becomes.as_str() {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            "split" => {
                SPLIT.set(true);
                ordering
            }
            other => panic!("nothing becomes {other}"),
        },
        _ => ordering,
    }
}

/// Whether this run tries the change of this number.
#[must_use]
pub fn changed(place: usize) -> bool {
    chosen().is_some_and(|(chosen, _)| *chosen == place)
}

/// If the next read-modify-write is to be two steps: what is left of its ordering for the load, and for the
/// store.
pub(crate) fn split(ordering: Ordering) -> Option<(Ordering, Ordering)> {
    SPLIT.take().then_some(match ordering {
        Ordering::AcqRel => (Ordering::Acquire, Ordering::Release),
        Ordering::Acquire => (Ordering::Acquire, Ordering::Relaxed),
        Ordering::Release => (Ordering::Relaxed, Ordering::Release),
        other => (other, other),
    })
}
