//! Tokens: who wins, who loses, and what a stale, forged or foreign one does.

use completion_core::{CompletionError, CompletionSource, Rejection, Status, Token};

use crate::support::{Ledger, Payload, Probe, poll};

/// The same rules hold for a source and for a pool: `$owner` makes one, `$begin` begins a round on it.
macro_rules! rules_of_tokens {
    ($name:ident, $owner:ident, $new:expr, $begin:ident $(, $unwrap:ident)?) => {
        mod $name {
            use super::*;
            use completion_core::$owner;

            fn reason<P>(outcome: Result<(), completion_core::Rejected<P>>) -> Rejection {
                outcome.expect_err("the token is not the winner").reason()
            }

            #[test]
            fn the_first_producer_wins_and_the_others_get_their_payload_back() {
                let ledger = Ledger::new();
                let owner: $owner<Payload, Payload> = $new;
                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                owner.complete(token, ledger.payload(1)).unwrap();

                let lost = owner.complete(token, ledger.payload(2)).unwrap_err();
                assert_eq!(lost.reason(), Rejection::Lost);
                assert_eq!(lost.into_payload().tag(), 2);
                let lost = owner.fail(token, ledger.payload(3)).unwrap_err();
                assert_eq!(lost.reason(), Rejection::Lost);
                assert_eq!(lost.into_payload().tag(), 3);
                assert_eq!(reason(owner.cancel(token)), Rejection::Lost);

                assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
                assert_eq!(ledger.live(), 0);
            }

            #[test]
            fn status_follows_the_round() {
                let owner: $owner<u32, &str> = $new;

                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                assert_eq!(owner.status(token), Status::Pending);
                let probe = Probe::new();
                let waker = probe.waker();
                assert!(poll(&mut completion, &waker).is_pending());
                assert_eq!(owner.status(token), Status::Pending);
                owner.complete(token, 1).unwrap();
                assert_eq!(probe.wakes(), 1);
                assert_eq!(owner.status(token), Status::Succeeded);
                assert_eq!(completion.try_take(), Some(Ok(1)));
                assert_eq!(owner.status(token), Status::Stale);

                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                owner.fail(token, "no").unwrap();
                assert_eq!(owner.status(token), Status::Failed);
                assert_eq!(completion.try_take(), Some(Err(CompletionError::Failed("no"))));
                assert_eq!(owner.status(token), Status::Stale);

                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                owner.cancel(token).unwrap();
                assert_eq!(owner.status(token), Status::Cancelled);
                assert_eq!(completion.try_take(), Some(Err(CompletionError::Cancelled)));
                assert_eq!(owner.status(token), Status::Stale);
            }

            #[test]
            fn a_dropped_completion_frees_a_shared_round_at_once() {
                // nats.rs#1617: nothing is left behind for a reply that nobody awaits.
                let owner: $owner<u32, ()> = $new;
                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                let probe = Probe::new();
                let waker = probe.waker();
                assert!(poll(&mut completion, &waker).is_pending());
                drop(completion);
                assert_eq!((probe.live(), probe.wakes()), (1, 0));
                assert_eq!(owner.status(token), Status::Stale);
                assert_eq!(owner.complete(token, 9).unwrap_err().into_payload(), 9);
                let _next = owner.$begin()$(.$unwrap())?;
            }

            #[test]
            fn a_token_made_after_the_completion_left_is_stale_from_the_start() {
                let owner: $owner<u32, ()> = $new;
                let (completer, completion) = owner.$begin()$(.$unwrap())?;
                drop(completion);
                let token = completer.into_token().unwrap();
                assert_eq!(owner.status(token), Status::Stale);
                assert_eq!(reason(owner.complete(token, 1)), Rejection::Stale);
                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let next = completer.into_token().unwrap();
                assert_ne!(next, token);
                owner.complete(next, 2).unwrap();
                assert_eq!(completion.try_take(), Some(Ok(2)));
            }

            /// PooledAwait's PooledState, tokio#8112, tokio#8255, tokio-uring, OpenLogi#1286: a stale call
            /// reaches the next owner of the slot. .NET's AsyncOperation of channels cannot be pooled when
            /// it can be cancelled, as the cancellation may come after the reuse.
            #[test]
            fn a_stale_token_has_no_effect_on_the_next_round() {
                let ledger = Ledger::new();
                let owner: $owner<Payload, Payload> = $new;
                let (completer, completion) = owner.$begin()$(.$unwrap())?;
                let stale = completer.into_token().unwrap();
                drop(completion);

                for shared in [false, true] {
                    let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                    let probe = Probe::new();
                    let waker = probe.waker();
                    assert!(poll(&mut completion, &waker).is_pending());
                    let attack = || {
                        assert_eq!(owner.status(stale), Status::Stale);
                        let rejected = owner.complete(stale, ledger.payload(66)).unwrap_err();
                        assert_eq!(rejected.reason(), Rejection::Stale);
                        assert_eq!(rejected.into_payload().tag(), 66);
                        let rejected = owner.fail(stale, ledger.payload(67)).unwrap_err();
                        assert_eq!(rejected.reason(), Rejection::Stale);
                        assert_eq!(rejected.into_payload().tag(), 67);
                        assert_eq!(reason(owner.cancel(stale)), Rejection::Stale);
                    };
                    attack();
                    assert!(!completer.is_closed());
                    if shared {
                        let token = completer.into_token().unwrap();
                        attack();
                        owner.complete(token, ledger.payload(1)).unwrap();
                    } else {
                        completer.complete(ledger.payload(1)).unwrap();
                    }
                    assert_eq!(probe.wakes(), 1);
                    attack();
                    assert_eq!(completion.try_take().unwrap().unwrap().tag(), 1);
                    assert_eq!(ledger.live(), 0);
                }
            }

            #[test]
            fn a_forged_token_cannot_touch_a_round_that_has_none() {
                // Its version and index are right, but the completer is still unique, and writes
                // without a claim.
                let owner: $owner<u32, ()> = $new;
                let (completer, completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                drop(completion);
                let forged = Token::from_bits(token.to_bits() + 1);
                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                assert_eq!(owner.status(forged), Status::Stale);
                assert_eq!(reason(owner.complete(forged, 6)), Rejection::Stale);
                assert_eq!(reason(owner.fail(forged, ())), Rejection::Stale);
                assert_eq!(reason(owner.cancel(forged)), Rejection::Stale);
                completer.complete(1).unwrap();
                assert_eq!(reason(owner.complete(forged, 6)), Rejection::Stale);
                assert_eq!(completion.try_take(), Some(Ok(1)));
            }

            /// RUSTSEC-2025-0047: no key is trusted.
            #[test]
            fn any_number_is_a_token_and_none_harms() {
                let owner: $owner<u32, ()> = $new;
                let (completer, mut completion) = owner.$begin()$(.$unwrap())?;
                let token = completer.into_token().unwrap();
                let live = token.to_bits();
                let edges = (0..64)
                    .flat_map(|bit| [1 << bit, live ^ (1 << bit), (1_u64 << bit) - 1])
                    .chain([u64::MAX, live.wrapping_sub(1)]);
                for bits in edges.filter(|bits| *bits != live) {
                    let forged = Token::from_bits(bits);
                    assert_eq!(forged.to_bits(), bits);
                    assert_eq!(owner.status(forged), Status::Stale, "{forged:?}");
                    assert_eq!(reason(owner.complete(forged, 6)), Rejection::Stale);
                    assert_eq!(reason(owner.fail(forged, ())), Rejection::Stale);
                    assert_eq!(reason(owner.cancel(forged)), Rejection::Stale);
                }
                owner.complete(Token::from_bits(live), 1).unwrap();
                assert_eq!(completion.try_take(), Some(Ok(1)));
            }
        }
    };
}

rules_of_tokens!(
    of_a_source,
    CompletionSource,
    CompletionSource::new(),
    begin,
    unwrap
);
#[cfg(feature = "alloc")]
rules_of_tokens!(of_a_pool_of_one, Pool, Pool::with_capacity(1), rent);

#[test]
fn a_token_is_plain_ordered_data() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, completion) = source.begin().unwrap();
    let first = completer.into_token().unwrap();
    drop(completion);
    let (completer, _completion) = source.begin().unwrap();
    let second = completer.into_token().unwrap();
    assert!(first < second);
    let set = std::collections::HashSet::from([first, second, first]);
    assert_eq!(set.len(), 2);
    assert_eq!(format!("{second:?}"), "Token { index: 0, version: 1 }");
    const FORGED: Token = Token::from_bits(0x0001_0000_0000_0002);
    assert_eq!(format!("{FORGED:?}"), "Token { index: 1, version: 2 }");
}

#[test]
fn a_source_refuses_the_tokens_of_other_slots() {
    let source = CompletionSource::<u8, ()>::new();
    let (completer, mut completion) = source.begin().unwrap();
    let token = completer.into_token().unwrap();
    let other = Token::from_bits(token.to_bits() | 1 << 48);
    assert_eq!(
        source.complete(other, 1).unwrap_err().reason(),
        Rejection::Stale
    );
    assert_eq!(
        source.fail(other, ()).unwrap_err().reason(),
        Rejection::Stale
    );
    assert_eq!(source.cancel(other).unwrap_err().reason(), Rejection::Stale);
    assert_eq!(source.status(other), Status::Stale);
    assert_eq!(completion.try_take(), None);
}

#[cfg(feature = "alloc")]
#[test]
fn a_token_used_on_another_pool_is_stale_or_completes_a_round_there_but_never_here() {
    use completion_core::Pool;

    let (here, there) = (
        Pool::<u8, ()>::with_capacity(8),
        Pool::<u8, ()>::with_capacity(1),
    );
    let rounds: Vec<_> = (0..8)
        .map(|_| {
            let (completer, completion) = here.rent();
            (completer.into_token().unwrap(), completion)
        })
        .collect();
    for (token, _) in &rounds {
        assert_eq!(
            there.complete(*token, 1).unwrap_err().reason(),
            Rejection::Stale
        );
    }
    assert_eq!((there.stats().stale, here.stats().stale), (8, 0));
    for (token, mut completion) in rounds {
        assert_eq!(here.status(token), Status::Pending);
        here.complete(token, 2).unwrap();
        assert_eq!(completion.try_take(), Some(Ok(2)));
    }
}
