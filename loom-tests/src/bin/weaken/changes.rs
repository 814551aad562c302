//! Changes of the protocol for the worse, other than in its orderings.

use crate::workshop::Edit;

/// One of them.
pub(crate) struct Change {
    /// In a file below its subject's sources.
    pub(crate) edit: Edit,
    /// What it does.
    pub(crate) what: &'static str,
}

macro_rules! changes {
    ($($file:literal, $what:literal: $after:literal .. $from:literal => $to:literal;)*) => {
        &[$(Change { edit: Edit { file: $file, after: $after, from: $from, to: $to }, what: $what }),*]
    };
}

pub(crate) const CHANGES: &[Change] = changes! {
    // Wakers.
    "state.rs", "generations stand still":
        "fn filled(word: Word) -> Word {" .. "GENERATION_ONE" => "0";
    "state.rs", "a saturated generation is trusted":
        "fn wake(" .. "self.is_saturated()" => "false";
    "round/producing.rs", "the waiter is not woken":
        "fn end_once(" .. "(wake == Wake::Copied)" => "false";
    "round/producing.rs", "the tail of complete reads the waker late":
        "if let Some(copied) = copied {" .. "unsafe { copied.into_waker() }" => "{ let _ = copied; unsafe { self.waiter().copy().into_waker() } }";
    "round/consuming.rs", "every waker is taken for the registered one":
        "fn poll_carefully(" .. "self.waiter().will_wake(waker)" => "true";
    "round/producing.rs", "every watcher is taken for the registered one":
        "fn watch(" .. "self.watcher().will_wake(waker)" => "true";
    "round/consuming.rs", "closing does not wake the completer":
        "fn close(self)" .. "watcher.wake()" => "drop(watcher)";
    "round/consuming.rs", "leaving does not wake the completer":
        "fn drop_consumer_carefully(" .. "WakeOnDrop(watcher)" => "WakeOnDrop(watcher.filter(|_| false))";
    "round/wakers.rs", "a pool that closes wakes nobody":
        "struct WakeOnDrop" .. "Waker::wake" => "drop::<Waker> as fn(Waker)";

    // Who may, and who must.
    "state.rs", "nobody present is taken for released":
        "fn is_idle(" .. "self.has_shape(Self::NEW)" => "(self.0 & PRESENT == 0)";
    "state.rs", "a claim does not keep others out":
        "fn is_open(" .. "OUTCOME_MASK | Self::PRODUCER" => "OUTCOME_MASK";
    "state.rs", "versions stand still":
        "VERSION_MASK | Self::TAKING" .. "VERSION_ONE" => "0";
    "state.rs", "a round that is over is held":
        "fn shared(" .. "held && self.is_pending()" => "held";
    "state.rs", "claiming does not let go":
        "fn claimed(" .. "!KEPT" => "!0";
    "round/leaving.rs", "nobody releases after the last leaves":
        "fn leave(" .. "word.is_alone(bit)" => "false";
    "round/by_token.rs", "a refused answer does not let go":
        "word.is_held() {" .. "self.let_go(word)" => "false";
    "round/holding.rs", "nobody releases after the last answer":
        "fn let_go(" .. "word.is_held_alone()" => "false";
    "round/holding.rs", "who is refused counts as letting go":
        "fn let_go(" .. "word = actual" => "{ self.holding().unwrap().one_less(); word = actual }";
    "round/consuming.rs", "a dropped completion keeps its outcome":
        "let _outcome = " .. "asked" => "false";
    "round/consuming.rs", "a consumer leaves a held round without reporting it":
        "fn drop_consumer_carefully(" .. "word.is_kept()" => "word.is_watched()";

    // The pool.
    "round/shutting.rs", "closing ends nothing":
        "fn shut(self)" .. "word.is_pending()" => "false";
    "round/shutting.rs", "closing lets go of nothing":
        "fn shut(self)" .. "word.is_held()" => "false";
    "shard.rs", "the pool's end is not noticed by a return":
        "fn bring(" .. "word & last == last" => "false";
    "shard.rs", "retired slots are waited for":
        "Self::bring(shard, ABANDONED | " .. "retired" => "0";
    "shard.rs", "a closed pool lends":
        "fn take(" .. "free & CLOSED == 0" => "true";
    "shard.rs", "closing finds no round":
        "fn out(" .. "Self::full(self.len) & !home" => "0";
    "shard.rs", "a return does not look for who waits":
        "fn put_carefully(" .. "word & WANTED != 0" => "false";
    "pool/mod.rs", "a bit is taken for that of another shard":
        "if let Some(bit) = taken {" .. "self.shard(own)" => "self.shard((own + 1) & (self.shards.len() - 1))";
    "pool/mod.rs", "a rent that was refused by a shard does not know that the pool closes":
        "fn why_not(" .. "self.is_closing()" => "self.is_closed()";
    "pool/mod.rs", "a rent looks at one shard":
        "for turn in " .. "1..=self.shards.len()" => "1..=0";
    "round/beginning.rs", "a slot is not looked at again once it is taken":
        "fn begin_fresh(" .. "seen == self.peek()" => "true";
    "pool/waiting.rs", "whoever comes to wait does not look again":
        "fn join(" .. "shard.take()" => "None::<u32>";
    "pool/waiting.rs", "the last to wait is served first":
        "fn first(" .. "list.places.pop_front()" => "list.places.pop_back()";
    "pool/waiting.rs", "whoever comes after the closing waits":
        "list.closed = " .. "true" => "false";
    "pool/waiting.rs", "whoever waits for slots that are all used up goes on waiting":
        "fn give_up(" .. "!is_worn_out(shards)" => "true";
    "pool/shrinking.rs", "shrinking forgets versions":
        "Inner::new(capacity, |number| " .. "self.nth(number).peek()" => "{ let _ = number; crate::state::Word::NEW.begun() }";
    "pool/stats.rs", "what is out is not counted":
        "fn ever_out(" .. "out.next_if_eq(&bit).is_some()" => "false";
    "pool/holding.rs", "a held id is not taken":
        "fn is_taken(" .. "word.is_held()" => "false";

    // The adapter: who wakes its driver.
    "link/schedule.rs", "every event wakes":
        "fn tell(" .. "before & AWAKE == 0" => "true";
    "link/schedule.rs", "who is too late does not learn it":
        "fn tell(" .. "before & CLOSED != 0" => "false";
    "link/schedule.rs", "the driver is woken under h2's lock":
        "fn wake(" .. "word < QUIET" => "true";
    "link/schedule.rs", "a wake is left to who has gone":
        "fn wake(" .. "before < QUIET" => "false";
    "link/schedule.rs", "what is owed is not paid":
        "fn drop(" .. "before & OWED != 0" => "false";
    "link/schedule.rs", "a driver that is polled unasked is not awake":
        "own protocol.\n        self.word.fetch_or(" .. "AWAKE" => "0";
    "link/schedule.rs", "a driver that ends asleep is not awake":
        "fn close(" .. "CLOSED | AWAKE" => "CLOSED";
    "link/schedule.rs", "the driver goes to sleep over an event":
        "fn sleep(" .. "word & EVENTS != 0" => "false";

    // The adapter: places, and its end.
    "queue/inbox.rs", "who comes late to wait does not look again":
        "taken.is_pending()" .. "refusal()" => "None::<R>";
    "queue/inbox.rs", "a drained place is lost":
        "fn drain(" .. "self.places.put(1)" => "()";
    "queue/inbox.rs", "the last handle does not tell":
        "let _ = " .. "schedule.tell_queue()" => "false";
    "queue/places.rs", "whoever comes to wait does not look again for a place":
        "Taken::Expired);" .. "self.try_take()" => "false";
    "queue/places.rs", "who was woken and leaves does not pass it on":
        "fn leave(" .. "gone.is_none()" => "false";
    "queue/places.rs", "nobody notes that somebody waits":
        "fn note(" .. "list.waiters.is_empty()" => "true";

    // The adapter: its tap.
    "tap/shared.rs", "the first GOAWAY stays":
        "rare.received = " .. "Some(received)" => "rare.received.or(Some(received))";
    "tap/shared.rs", "nothing is counted":
        "counter.store(" .. "before.wrapping_add(1)" => "before";
};
