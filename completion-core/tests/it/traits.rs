//! Auto traits, positive and negative, and sizes.
//!
//! RUSTSEC-2020-0059, -0062, -0072, -0113, -0118, -0142: bounds that were missing.

use std::cell::Cell;
use std::error::Error;
use std::marker::PhantomPinned;
use std::mem::size_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::MutexGuard;

use completion_core::{
    BeginError, Completer, Completion, CompletionError, CompletionSource, NoToken, Pool, PoolStats,
    Rejected, Rejection, RentError, Status, Token,
};

/// `Send`, not `Sync`.
type OnlySend = Cell<u8>;
/// `Sync`, not `Send`.
type OnlySync = MutexGuard<'static, u8>;
/// Neither.
type Neither = Rc<u8>;

macro_rules! holds {
    ($($type:ty: $($bound:path),+;)+) => {
        $($(const _: fn() = || {
            fn holds<T: ?Sized + $bound>() {}
            holds::<$type>();
        };)+)+
    };
}

/// Two blanket impls of one function: naming it is ambiguous, hence no program, if the bound holds.
macro_rules! fails {
    ($($type:ty: $($bound:path),+;)+) => {
        $($(const _: fn() = || {
            trait Ambiguous<A> {
                fn pick() {}
            }
            struct Holds;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $bound> Ambiguous<Holds> for T {}
            let _: fn() = <$type as Ambiguous<_>>::pick;
        };)+)+
    };
}

// A payload must be `Send`, and need not be `Sync`: nobody shares it.
holds! {
    CompletionSource<u8, u8>: Send, Sync;
    CompletionSource<OnlySend, OnlySend>: Send, Sync;
    Completer<'static, OnlySend, OnlySend>: Send, Sync;
    Completion<'static, OnlySend, OnlySend>: Send, Sync;
    Pool<OnlySend, OnlySend>: Send, Sync;
    Token: Send, Sync, Copy, Ord, std::hash::Hash;
}
fails! {
    CompletionSource<OnlySync, u8>: Send, Sync;
    CompletionSource<u8, OnlySync>: Send, Sync;
    CompletionSource<Neither, u8>: Send, Sync;
    CompletionSource<u8, Neither>: Send, Sync;
    Completer<'static, OnlySync, u8>: Send, Sync;
    Completer<'static, u8, OnlySync>: Send, Sync;
    Completer<'static, Neither, u8>: Send, Sync;
    Completer<'static, u8, Neither>: Send, Sync;
    Completion<'static, OnlySync, u8>: Send, Sync;
    Completion<'static, u8, OnlySync>: Send, Sync;
    Completion<'static, Neither, u8>: Send, Sync;
    Completion<'static, u8, Neither>: Send, Sync;
    Pool<OnlySync, u8>: Send, Sync;
    Pool<u8, OnlySync>: Send, Sync;
    Pool<Neither, u8>: Send, Sync;
    Pool<u8, Neither>: Send, Sync;
}

// A future that needs no pinning, whatever it carries.
holds! {
    Completion<'static, PhantomPinned, PhantomPinned>: Unpin;
    Pool<PhantomPinned, PhantomPinned>: Unpin;
    Completer<'static, u8, u8>: Unpin;
    CompletionSource<u8, u8>: Unpin;
}

// One winner, one outcome, one handle each.
fails! {
    Completer<'static, u8, u8>: Clone;
    Completion<'static, u8, u8>: Clone;
    CompletionSource<u8, u8>: Clone;
}
holds! {
    Pool<Neither, Neither>: Clone;
}

// Errors are errors whatever they carry, and travel.
holds! {
    CompletionError<std::io::Error>: Error, Send, Sync;
    Rejected<OnlySend>: Error, Send;
    Rejected<Neither>: Error;
    NoToken<Completer<'static, Neither, Neither>>: Error;
    BeginError: Error, Send, Sync, UnwindSafe, RefUnwindSafe;
    RentError: Error, Send, Sync, UnwindSafe, RefUnwindSafe;
    Rejection: Error, Send, Sync, UnwindSafe, RefUnwindSafe;
    Status: Send, Sync, UnwindSafe, RefUnwindSafe;
    PoolStats: Send, Sync, UnwindSafe, RefUnwindSafe;
    Token: UnwindSafe, RefUnwindSafe;
}
fails! {
    Rejected<Neither>: Send, Sync;
    Rejected<OnlySend>: Sync;
}

// Foreign code that panics leaves a round in order; see `hostile.rs`.
holds! {
    CompletionSource<Neither, Neither>: UnwindSafe, RefUnwindSafe;
    Completer<'static, Neither, Neither>: UnwindSafe, RefUnwindSafe;
    Completion<'static, Neither, Neither>: UnwindSafe, RefUnwindSafe;
    Pool<Neither, Neither>: UnwindSafe, RefUnwindSafe;
    CompletionError<u8>: UnwindSafe, RefUnwindSafe;
    Rejected<u8>: UnwindSafe, RefUnwindSafe;
}

#[test]
fn sizes_are_what_they_are_meant_to_be() {
    const WORD: usize = size_of::<usize>();
    // A pointer, and the word with which the round began.
    const HANDLE: usize = 2 * WORD;
    assert_eq!(size_of::<Completer<'static, [u64; 9], String>>(), HANDLE);
    assert_eq!(size_of::<Completion<'static, [u64; 9], String>>(), HANDLE);
    assert_eq!(size_of::<Option<Completer<'static, u8, u8>>>(), HANDLE);
    assert_eq!(size_of::<Token>(), 8);
    assert_eq!(size_of::<BeginError>(), 1);
    assert_eq!(size_of::<Rejection>(), 1);
    assert_eq!(size_of::<Status>(), 1);
    assert_eq!(size_of::<Rejected<()>>(), 1);
    assert_eq!(size_of::<CompletionError<()>>(), 1);
    assert_eq!(size_of::<CompletionError<Box<u8>>>(), 2 * WORD);
    assert_eq!(size_of::<RentError>(), 1);
    let noted = if cfg!(feature = "diagnostics") {
        2 * WORD
    } else {
        0
    };
    assert!(size_of::<CompletionSource<u64, usize>>() <= 64 + noted);
    let overhead = size_of::<CompletionSource<(), ()>>();
    assert!(overhead <= 7 * 8 + noted, "{overhead}");
    assert_eq!(
        size_of::<CompletionSource<[u64; 100], [u64; 50]>>(),
        overhead.next_multiple_of(8) + 800,
        "value and error share their memory"
    );
}
