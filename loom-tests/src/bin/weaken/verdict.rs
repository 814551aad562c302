//! How a run of a model ended, by what it said.

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    /// Something does not hold: an assertion, or what loom checks.
    Fails,
    /// It came to nothing, and why. That says nothing about what was weakened.
    GivesUp(String),
}

/// Who asserts what is to hold: the models, and the sources that they are of.
const OURS: [&str; 4] = [
    "loom-tests/tests/",
    "loom-tests/src/witness.rs",
    "completion-core/src/",
    "completion-h2/src/",
];

/// What loom says of what it checks. All else that it says is about itself, or that there is too much to explore.
const FINDINGS: [&str; 8] = [
    "deadlock; threads",
    "Causality violation",
    "currently reading",
    "currently writing",
    "Arc leaked",
    "Arc is",
    "Allocation leaked",
    "pointer ",
];

/// What became of a model that ended by itself.
pub(crate) fn of(success: bool, stderr: &str) -> Verdict {
    if success {
        return Verdict::Passes;
    }
    // A second panic comes of the first.
    let mut lines = stderr.lines();
    let place = lines.find_map(|line| Some(line.split_once(" panicked at ")?.1));
    let message = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let Some(place) = place else {
        return Verdict::GivesUp("it ended without a panic".into());
    };
    let (known, said) = if place.contains("/loom-0.") {
        (&FINDINGS[..], message)
    } else {
        (&OURS[..], place)
    };
    if known.iter().any(|it| said.contains(it)) {
        Verdict::Fails
    } else {
        Verdict::GivesUp(format!("{place} {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that panics, as Rust prints it.
    fn panicked(place: &str, message: &str) -> String {
        format!("\nthread 'grid::complete' (17) panicked at {place}:\n{message}\nnote: run with\n")
    }

    #[test]
    fn what_does_not_hold_fails() {
        let loom = "/registry/loom-0.7.3/src/rt/location.rs:115:9";
        for (place, message) in [
            ("loom-tests/tests/models/grid.rs:121:36", "assertion failed"),
            ("loom-tests/src/witness.rs:90:9", "a payload is left"),
            (
                "loom-tests/src/../../completion-core/src/state.rs:1:1",
                "overflow",
            ),
            (
                loom,
                "Causality violation: Concurrent write accesses to `UnsafeCell`.",
            ),
            (loom, "\nArc leaked.\n  Index: 3"),
            (loom, "deadlock; threads = [(Id(0), Blocked)]"),
        ] {
            assert_eq!(of(false, &panicked(place, message)), Verdict::Fails);
        }
    }

    #[test]
    fn what_gives_up_does_not() {
        let loom = "/registry/loom-0.7.3/src/rt/path.rs:118:13";
        for said in [
            panicked(loom, "Model exceeded maximum number of branches."),
            panicked(loom, "[loom internal bug]"),
            panicked("loom-tests/src/sync/weakened.rs:53:22", "nothing becomes x"),
            String::new(),
        ] {
            assert!(matches!(of(false, &said), Verdict::GivesUp(_)), "{said}");
        }
    }

    #[test]
    fn the_first_panic_counts() {
        let second = panicked("loom-tests/tests/models/grid.rs:1:1", "Any");
        let first = panicked("/registry/loom-0.7.3/src/rt/path.rs:118:13", "exceeded");
        let verdict = of(false, &(first + &second));
        assert!(matches!(verdict, Verdict::GivesUp(_)), "{verdict:?}");
    }

    #[test]
    fn a_success_is_one_whatever_was_said() {
        let said = panicked("loom-tests/tests/models/grid.rs:1:1", "expected");
        assert_eq!(of(true, &said), Verdict::Passes);
    }
}
