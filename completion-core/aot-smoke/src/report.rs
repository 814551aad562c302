//! What the program says about itself.

use core::cell::Cell;

use crate::machine;

/// Prints the result of each check, and counts the failed ones.
#[derive(Default)]
pub(crate) struct Report {
    failed: Cell<usize>,
}

impl Report {
    /// Notes whether a check of `what` holds.
    pub(crate) fn check(&self, what: &str, name: &str, holds: bool) {
        for text in [
            if holds { "PASS " } else { "FAIL " },
            what,
            ", ",
            name,
            "\n",
        ] {
            machine::print(text);
        }
        self.failed.set(self.failed.get() + usize::from(!holds));
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed.get()
    }
}
