//! Changes of the protocol for the worse, other than in its orderings.

use std::ops::Range;

/// One of them: an expression becomes another.
pub(crate) struct Change {
    /// The file below `completion-core/src`.
    pub(crate) file: &'static str,
    /// A text that comes before `from` and makes it unique.
    pub(crate) after: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
}

impl Change {
    /// Where it applies.
    pub(crate) fn find(&self, source: &str) -> Option<Range<usize>> {
        let from = source.find(self.after)? + self.after.len();
        let start = from + source[from..].find(self.from)?;
        Some(start..start + self.from.len())
    }
}

macro_rules! changes {
    ($($file:literal, $what:literal: $after:literal .. $from:literal => $to:literal;)*) => {
        &[$(Change { file: $file, after: $after, from: $from, to: $to, what: $what }),*]
    };
}

pub(crate) const CHANGES: &[Change] = changes! {
    // Wakers.
    "state.rs", "generations stand still":
        "fn filled(word: Word) -> Word {" .. "GENERATION_ONE" => "0";
    "state.rs", "a saturated generation is trusted":
        "fn wake(" .. "self.is_saturated()" => "false";
    "round.rs", "the waiter is not woken":
        "fn end(" .. "(word.wake(), copied)" => "(Wake::Nobody, copied)";
    "round.rs", "the tail of complete reads the waker late":
        "(Wake::Copied, Some(copied)) => " .. "unsafe { copied.into_waker() }" => "{ let _ = copied; unsafe { self.waiter().copy().into_waker() } }";
    "round.rs", "every waker is taken for the registered one":
        "fn poll(" .. "self.waiter().will_wake(waker)" => "true";
    "round.rs", "every watcher is taken for the registered one":
        "fn watch(" .. "self.watcher().will_wake(waker)" => "true";
    "round.rs", "closing does not wake the completer":
        "fn close(self)" .. "watcher.wake()" => "drop(watcher)";
    "round.rs", "leaving does not wake the completer":
        "fn drop_consumer(" .. "watcher.into_iter().for_each(Waker::wake)" => "drop(watcher)";
    "round.rs", "a pool that closes wakes nobody":
        "struct WakeOnDrop" .. "Waker::wake" => "drop::<Waker> as fn(Waker)";

    // Who may, and who must.
    "state.rs", "nobody present is taken for released":
        "fn is_idle(" .. "!VERSION_MASK" => "PRESENT";
    "state.rs", "a claim does not keep others out":
        "fn is_open(" .. "OUTCOME_MASK | Self::PRODUCER" => "OUTCOME_MASK";
    "state.rs", "versions stand still":
        "fn next_round(" .. "VERSION_ONE" => "0";
    "state.rs", "a round that is over is held":
        "fn shared(" .. "held && self.is_pending()" => "held";
    "state.rs", "claiming does not let go":
        "fn claimed(" .. "!KEPT" => "!0";
    "round.rs", "nobody releases after the last leaves":
        "fn leave(" .. "word.is_alone(bit)" => "false";
    "round.rs", "a refused answer does not let go":
        "word.is_held() {" .. "self.let_go(word)" => "()";
    "round.rs", "nobody releases after the last answer":
        "fn let_go(" .. "word.is_held_alone()" => "false";
    "round.rs", "a dropped completion keeps its outcome":
        "let _outcome = " .. "asked" => "false";

    // The pool.
    "shard.rs", "the pool's end is not noticed by a return":
        "fn put(" .. "(word + bit_set).cast_signed() < 0" => "false";
    "shard.rs", "retired slots are waited for":
        "let step = " .. "TOP - full + retired" => "TOP - full";
    "shard.rs", "a closed pool lends":
        "home == 0 || " .. "free & CLOSED != 0" => "false";
    "shard.rs", "closing ends no round":
        "let mut out = " .. "Self::full(self.len) & !word" => "0";
    "shard.rs", "a return does not look for who waits":
        "let mut word = free.load(Ordering::Relaxed);" .. "word & WANTED != 0" => "false";
    "pool/mod.rs", "a rent looks at one shard":
        "for turn in " .. "0..shards.len()" => "0..1";
    "pool/waiting.rs", "whoever comes to wait does not look again":
        "fn join(" .. "shard.take()" => "None::<u32>";
    "pool/waiting.rs", "the last to wait is served first":
        "fn hand_over(" .. "list.places.pop_front()" => "list.places.pop_back()";
    "pool/waiting.rs", "whoever comes after the closing waits":
        "lock().closed = " .. "true" => "false";
    "pool/shrinking.rs", "shrinking forgets versions":
        "Inner::new(capacity, |number| " .. "self.nth(number).peek()" => "{ let _ = number; crate::state::Word::NEW.begun() }";
};
