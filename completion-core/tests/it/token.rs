//! Tokens: who wins, who loses, what a stale, forged or foreign one does.

use std::task::Poll;

use completion_core::{CompletionError, CompletionSource, Pool, Rejection, Status, Token};

use crate::support::{Ledger, Probe, poll};

/// What the two owners of tokens have in common.
trait Owner<T, E> {
    fn complete(&self, token: Token, value: T) -> Result<(), Rejection>;
    fn fail(&self, token: Token, error: E) -> Result<(), Rejection>;
    fn cancel(&self, token: Token) -> Result<(), Rejection>;
    fn status(&self, token: Token) -> Status;
    fn begin(&self) -> completion_core::Round<'_, T, E>;
}

macro_rules! owner {
    ($owner:ident, $begin:expr) => {
        impl<T, E> Owner<T, E> for $owner<T, E> {
            fn complete(&self, token: Token, value: T) -> Result<(), Rejection> {
                $owner::complete(self, token, value).map_err(|rejected| rejected.reason())
            }
            fn fail(&self, token: Token, error: E) -> Result<(), Rejection> {
                $owner::fail(self, token, error).map_err(|rejected| rejected.reason())
            }
            fn cancel(&self, token: Token) -> Result<(), Rejection> {
                $owner::cancel(self, token).map_err(|rejected| rejected.reason())
            }
            fn status(&self, token: Token) -> Status {
                $owner::status(self, token)
            }
            fn begin(&self) -> completion_core::Round<'_, T, E> {
                $begin(self)
            }
        }
    };
}
owner!(CompletionSource, |source: &'a CompletionSource<T, E>| source.begin().unwrap());
