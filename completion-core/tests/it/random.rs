//! Random operations and random keys: no panic, no disagreement with the model, no payload lost.

use completion_core::{CompletionSource, Pool, Rejection, StaticPool, Status, Token};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{Place, run};
use crate::support::{Ledger, Payload, scaled};

fn config(cases: usize) -> ProptestConfig {
    ProptestConfig {
        cases: scaled(cases, 4) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Source),
        Just(Place::Static),
        (0..4_u16).prop_map(Place::Pool),
        Just(Place::Pool(70)),
    ]
}

/// A key of one of these, with a few bits changed; or any number at all.
fn key_like(live: &[Token], which: usize, flips: u64, any: Option<u64>) -> u64 {
    any.unwrap_or_else(|| live[which % live.len()].to_bits() ^ flips)
}

/// A number with few bits set, in the end that matters for indices or in the one for versions.
fn flips() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..8_u64).prop_map(|low| low),
        (0..8_u64).prop_map(|high| high << 48),
        any::<u64>(),
    ]
}

macro_rules! keys_are_harmless {
    ($owner:expr, $rent:ident, $keys:expr) => {{
        let ledger = Ledger::new();
        let owner = $owner;
        let rounds: Vec<_> = std::iter::from_fn(|| owner.$rent().ok())
            .map(|(completer, completion)| (completer.into_token().unwrap(), completion))
            .collect();
        let live: Vec<_> = rounds.iter().map(|(token, _)| *token).collect();
        let mut ended = std::collections::HashSet::new();
        for (which, flips, any, fails) in $keys {
            let key = key_like(&live, which, flips, any);
            let outcome = match fails {
                true => Err(ledger.payload(key)),
                false => Ok(ledger.payload(key)),
            };
            let named = live.contains(&Token::from_bits(key));
            let first = named && ended.insert(key);
            match owner.complete_raw(key, outcome) {
                Ok(()) => assert!(first),
                Err(back) => {
                    assert!(!first);
                    let reason = if named {
                        Rejection::Lost
                    } else {
                        Rejection::Stale
                    };
                    assert_eq!(back.reason(), reason);
                    let (value, error) = match back.into_payload() {
                        Ok(payload) => (Some(payload.tag()), None),
                        Err(payload) => (None, Some(payload.tag())),
                    };
                    assert_eq!(if fails { error } else { value }, Some(key));
                }
            }
            assert_eq!(owner.status(Token::from_bits(key)) == Status::Stale, !named);
        }
        for (token, mut completion) in rounds {
            let outcome = completion.try_take().map(|outcome| match outcome {
                Ok(payload) => payload.tag(),
                Err(error) => error.into_failure().expect("with its key").tag(),
            });
            // redis-rs#698: what came with a key came to the round of that key.
            let key = token.to_bits();
            assert_eq!(outcome, ended.contains(&key).then_some(key));
            drop(completion);
            let late = owner.complete_raw(key, Ok(ledger.payload(1))).unwrap_err();
            assert_eq!(late.reason(), Rejection::Stale);
        }
        assert_eq!(ledger.live(), 0);
    }};
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn any_sequence_of_operations_agrees_with_the_model(
        place in places(),
        steps in vec(any::<[u8; 3]>(), 0..300),
    ) {
        run(place, &steps);
    }

    /// RUSTSEC-2025-0047: a key is never trusted. Keys of another pool are among these: they differ from
    /// one of this pool in nothing but their origin.
    #[test]
    fn any_number_is_a_key_and_harms_nothing(
        keys in vec((any::<usize>(), flips(), proptest::option::weighted(0.2, any::<u64>()), any::<bool>()), 1..40),
        capacity in 1..200_u16,
    ) {
        keys_are_harmless!(
            CompletionSource::<Payload, Payload>::new(),
            begin,
            keys.clone()
        );
        keys_are_harmless!(
            StaticPool::<Payload, Payload, 5>::new(),
            try_rent,
            keys.clone()
        );
        keys_are_harmless!(
            Pool::<Payload, Payload>::with_capacity(capacity),
            try_rent,
            keys
        );
    }
}
