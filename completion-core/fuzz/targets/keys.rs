//! Any number as a key, on a source and on pools: refused, or the one that it names. No panic.

#![no_main]

use completion_core::{CompletionSource, Pool, Rejection, StaticPool, Status, Token};
use libfuzzer_sys::fuzz_target;

/// Completes by `keys`, of which those of live rounds count once.
macro_rules! complete {
    ($owner:expr, $rent:ident, $keys:expr) => {{
        let owner = $owner;
        let mut rounds: Vec<_> = std::iter::from_fn(|| owner.$rent().ok())
            .map(|(completer, completion)| {
                let token = completer.into_token().expect("no overflow");
                (token.to_bits(), completion, false)
            })
            .collect();
        for key in $keys {
            let token = Token::from_bits(key);
            assert_eq!(token.to_bits(), key);
            let named = rounds.iter_mut().find(|(live, ..)| *live == key);
            assert_eq!(owner.status(token) == Status::Stale, named.is_none());
            let outcome = owner.complete_raw(key, if key % 2 == 0 { Ok(key) } else { Err(key) });
            match named {
                Some((.., ended)) => assert_eq!(outcome.is_err(), std::mem::replace(ended, true)),
                None => assert_eq!(outcome.unwrap_err().reason(), Rejection::Stale),
            }
        }
        for (key, mut completion, ended) in rounds {
            let outcome = completion.try_take();
            let seen = outcome.map(|it| it.unwrap_or_else(|it| it.into_failure().unwrap()));
            assert_eq!(seen, ended.then_some(key));
        }
    }};
}

fuzz_target!(|input: (u8, Vec<u64>)| {
    let (capacity, keys) = input;
    complete!(CompletionSource::<u64, u64>::new(), begin, keys.iter().copied());
    complete!(StaticPool::<u64, u64, 3>::new(), try_rent, keys.iter().copied());
    // Spread, so that small numbers meet what is there: index above, version below.
    let near = keys.iter().map(|key| (key % 300) << 48 | (key >> 32) % 3);
    complete!(Pool::<u64, u64>::with_capacity(capacity.into()), try_rent, near);
});
