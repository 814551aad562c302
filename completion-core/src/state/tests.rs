//! Walks every word that the transitions reach, and holds it against the tables.

use std::collections::BTreeSet;
use std::format;
use std::vec::Vec;

use super::*;

const ENDINGS: [Ending; 4] = [
    Ending::Value,
    Ending::Error,
    Ending::Cancelled,
    Ending::Abandoned,
];

fn has(word: Word, bits: Raw) -> bool {
    word.raw() & bits == bits
}

/// A registration comes, or goes.
fn other<P: Post>(word: Word) -> Word {
    if P::is_filled(word) {
        P::emptied(word)
    } else {
        P::filled(word)
    }
}

/// What the steps of `round` make of a word, each under the condition that the step has there.
fn successors(word: Word) -> Vec<Word> {
    let mut next = Vec::new();
    if word.is_idle() {
        next.push(word.begun());
        return next;
    }
    let (consumer, producer) = (has(word, Word::CONSUMER), has(word, Word::PRODUCER));
    if word.is_pending() {
        if !word.is_watched() && (producer || word.is_shared()) {
            next.extend(ENDINGS.map(|ending| word.ended(ending)));
        }
        if consumer {
            if !word.is_kept() {
                next.push(word.dropped());
            }
            next.extend([word.closed(), word.shut(), other::<Waiter>(word)]);
        }
        if word.is_shared() && word.is_open() {
            next.push(word.claimed());
        }
    }
    if producer && !word.is_shared() {
        if word.is_pending() {
            next.push(other::<Watcher>(word));
        }
        if !word.is_watched() {
            next.extend([false, true].map(|held| word.shared(held)));
        }
    }
    if word.is_held() {
        next.push(word.let_go());
    }
    if !word.is_pending() {
        for bit in [Word::CONSUMER, Word::PRODUCER, Word::TAKING] {
            if has(word, bit) {
                next.push(Word::from_raw(word.raw() - bit));
            }
        }
    }
    if !word.is_pending() && (word.is_alone(0) || word.is_alone(Word::CONSUMER)) {
        next.push(word.next_round());
    }
    next
}

/// Every word reachable while the version stays below `versions`.
fn reachable(versions: u64) -> Vec<Word> {
    let mut seen = BTreeSet::from([Word::NEW.raw()]);
    let mut open = Vec::from([Word::NEW]);
    while let Some(word) = open.pop() {
        for next in successors(word) {
            if next.version() < versions && seen.insert(next.raw()) {
                open.push(next);
            }
        }
    }
    seen.into_iter().map(Word::from_raw).collect()
}

#[test]
fn every_reachable_word_is_in_the_tables() {
    let words = reachable(2);
    assert!(words.len() > 50);
    for word in words {
        let present = word.raw() & PRESENT;
        let pending = word.is_pending();
        if word.is_waiting() {
            assert!(pending && has(word, Word::CONSUMER), "{word:?}");
        }
        if word.is_watched() {
            assert!(
                pending && has(word, Word::PRODUCER | Word::CONSUMER),
                "{word:?}"
            );
        }
        if word.is_held() {
            assert!(!has(word, Word::PRODUCER), "{word:?}");
            assert_eq!(word.ending(), Some(Ending::Cancelled), "{word:?}");
        }
        if has(word, Word::PRODUCER) && !pending {
            let known = [Some(Ending::Cancelled), Some(Ending::Closed)];
            assert!(known.contains(&word.ending()), "{word:?}");
        }
        if has(word, Word::TAKING) {
            assert!(!pending || word.is_retired(), "{word:?}");
        }
        if present == 0 && pending {
            assert_eq!(word.raw() & !VERSION_MASK, 0, "{word:?}");
        }
        if [Word::PRODUCER, Word::TAKING, KEPT].contains(&present) {
            assert!(!pending, "nobody waits, so no token may claim: {word:?}");
        }
        // Nobody present and ended: the last to leave has yet to release.
        let released = present == 0 && pending;
        assert_eq!(word.is_idle(), released && !word.is_retired());
    }
}

#[test]
fn an_ending_is_for_ever() {
    for word in reachable(2).into_iter().filter(|word| !word.is_pending()) {
        for next in successors(word) {
            assert!(
                next.ending() == word.ending() || next.raw() & PRESENT == 0,
                "{word:?}"
            );
            assert!(next.version() >= word.version());
        }
    }
}

#[test]
fn a_round_whose_token_went_out_consumes_a_version() {
    for word in reachable(2) {
        let step = u64::from(word.is_shared());
        assert_eq!(word.next_round().version(), word.version() + step);
    }
}

#[test]
fn the_last_version_retires() {
    let last = Word::from_raw((VERSION_MAX - 1) << VERSION_SHIFT);
    assert!(last.is_idle());
    let shared = last.begun().shared(false);
    let after = shared.dropped().next_round();
    assert!(after.is_retired() && !after.is_idle());
    assert_eq!(after.begun(), after);
    assert!(!shared.is_retired());
}

#[test]
fn generations_saturate() {
    let mut word = Word::NEW.begun();
    let mut seen = BTreeSet::new();
    for _ in 0..(1 << GENERATION_BITS) - 2 {
        word = Waiter::filled(word);
        assert!(seen.insert(word.raw()), "a generation came twice");
        assert_eq!(word.wake(), Wake::Copied);
        word = Waiter::emptied(word);
    }
    for _ in 0..3 {
        word = Waiter::filled(word);
        assert_eq!(word.wake(), Wake::TakeThenLeave);
        assert!(has(word.ended(Ending::Value), Word::TAKING));
        word = Waiter::emptied(word);
    }
}

#[test]
fn a_token_matches_its_own_round_alone() {
    let unique = Word::NEW.begun();
    assert!(!unique.is_round_of(0), "a unique round has no token");
    let shared = unique.shared(false);
    assert!(shared.is_round_of(0) && shared.is_open());
    assert!(!shared.claimed().is_open());
    assert!(!shared.is_round_of(1));
    assert!(!shared.dropped().next_round().is_round_of(0));
}

/// The common way is recognised by constants, and a wrong one would only be slow.
#[test]
fn the_common_way_has_these_shapes() {
    let begun = Word::NEW.begun();
    let awaited = Waiter::filled(begun);
    assert_eq!(Word::FRESH, begun);
    assert_eq!(Word::AWAITED, awaited);
    for pending in [begun, awaited] {
        assert_eq!(Word::SUCCEEDED, pending.ended(Ending::Value));
        assert_eq!(Word::ABANDONED, pending.ended(Ending::Abandoned));
        assert_eq!(Word::DESERTED, pending.dropped());
    }
    let mut again = awaited;
    for _ in 0..(1 << GENERATION_BITS) - 3 {
        again = Waiter::filled(Waiter::emptied(again));
        assert!(again.is_awaited_again(), "{again:?}");
        assert!(!again.has_shape(Word::AWAITED));
    }
    let saturated = Waiter::filled(Waiter::emptied(again));
    let watched = Watcher::filled(again);
    let others = [saturated, watched, Waiter::emptied(again), begun];
    for other in others
        .into_iter()
        .chain([again.shared(false), again.closed()])
    {
        assert!(!other.is_awaited_again(), "{other:?}");
    }
}

type Question = (&'static str, fn(Word) -> bool);

/// The questions that a word answers with yes.
fn answers(word: Word) -> Vec<&'static str> {
    let questions: [Question; 11] = [
        ("idle", Word::is_idle),
        ("retired", Word::is_retired),
        ("pending", Word::is_pending),
        ("waiting", Word::is_waiting),
        ("shared", Word::is_shared),
        ("kept", Word::is_kept),
        ("watched", Word::is_watched),
        ("held", Word::is_held),
        ("held alone", Word::is_held_alone),
        ("deserted", Word::is_deserted),
        ("open", Word::is_open),
    ];
    let yes = questions.into_iter().filter(|(_, is)| is(word));
    yes.map(|(question, _)| question).collect()
}

#[test]
fn every_question_has_this_answer() {
    let unique = Word::FRESH;
    let shared = unique.shared(false);
    let held = unique.shared(true);
    let retired = Word::from_raw(VERSION_MASK | Word::TAKING);
    let table: [(Word, &[&str]); 14] = [
        (Word::NEW, &["idle", "pending", "deserted", "open"]),
        (retired, &["retired", "pending", "deserted", "open"]),
        (unique, &["pending"]),
        (Word::AWAITED, &["pending", "waiting"]),
        (Watcher::filled(unique), &["pending", "kept", "watched"]),
        (shared, &["pending", "shared", "open"]),
        (held, &["pending", "shared", "kept", "open"]),
        (held.claimed(), &["pending", "shared"]),
        (held.closed(), &["shared", "kept", "held"]),
        (
            Word::from_raw(held.closed().raw() - Word::CONSUMER),
            &["shared", "kept", "held", "held alone", "deserted"],
        ),
        (held.closed().let_go(), &["shared"]),
        (shared.claimed().dropped(), &["shared", "deserted"]),
        (Word::DESERTED, &["deserted"]),
        (Word::SUCCEEDED, &[]),
    ];
    for (word, expected) in table {
        assert_eq!(answers(word), expected, "{word:?}");
    }
}

#[test]
fn a_word_says_what_is_in_it() {
    let shown = |word: Word| {
        let text = format!("{word:?}");
        let inner = text.strip_prefix("Word { ").unwrap();
        let fields = inner.strip_suffix(" }").unwrap().split(", ");
        let told = fields.filter(|field| !field.ends_with("false") && !field.ends_with("None"));
        told.collect::<Vec<_>>().join(", ")
    };
    let unique = Word::FRESH;
    let taking = Word::from_raw(VERSION_ONE | Word::TAKING | Word::SUCCEEDED.raw());
    let held = unique.shared(true);
    for (word, expected) in [
        (Word::NEW, "version: 0"),
        (unique, "version: 0, consumer: true, producer: true"),
        (
            Watcher::filled(Word::DESERTED),
            "version: 0, producer: true, watched: true, ending: Some(Cancelled)",
        ),
        (held, "version: 0, consumer: true, held: true, shared: true"),
        (held.let_go(), "version: 0, consumer: true, shared: true"),
        (
            Word::AWAITED,
            "version: 0, consumer: true, producer: true, waiting: true",
        ),
        (
            taking,
            "version: 1, consumer: true, taking: true, ending: Some(Value)",
        ),
    ] {
        assert_eq!(shown(word), expected);
    }
}
