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

use completion_core::oneshot::{
    Receiver, Sender,
    error::{RecvError, TryRecvError},
};
use completion_core::{
    BeginError, Completer, Completion, CompletionError, CompletionSource, DeadlineError, NoToken,
    Pool, PoolStats, Rejected, Rejection, RentError, ShrinkError, StaticPool, Status, Token,
    WithDeadline,
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
#[cfg(all(feature = "pending-map", feature = "std"))]
pub(crate) use {fails, holds};

// A payload must be `Send`, and need not be `Sync`: nobody shares it.
holds! {
    CompletionSource<u8, u8>: Send, Sync;
    CompletionSource<OnlySend, OnlySend>: Send, Sync;
    Completer<'static, OnlySend, OnlySend>: Send, Sync;
    Completion<'static, OnlySend, OnlySend>: Send, Sync;
    Pool<OnlySend, OnlySend>: Send, Sync;
    StaticPool<OnlySend, OnlySend, 2>: Send, Sync;
    WithDeadline<'static, OnlySend, OnlySend, u8>: Send, Sync;
    WithDeadline<'static, u8, u8, OnlySend>: Send;
    WithDeadline<'static, u8, u8, OnlySync>: Sync;
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
    StaticPool<OnlySync, u8, 2>: Send, Sync;
    StaticPool<u8, OnlySync, 2>: Send, Sync;
    StaticPool<Neither, u8, 2>: Send, Sync;
    StaticPool<u8, Neither, 2>: Send, Sync;
    WithDeadline<'static, OnlySync, u8, u8>: Send, Sync;
    WithDeadline<'static, u8, OnlySync, u8>: Send, Sync;
    WithDeadline<'static, Neither, u8, u8>: Send, Sync;
    WithDeadline<'static, u8, Neither, u8>: Send, Sync;
    WithDeadline<'static, u8, u8, OnlySend>: Sync;
    WithDeadline<'static, u8, u8, OnlySync>: Send;
    WithDeadline<'static, u8, u8, Neither>: Send, Sync;
}

// A future that waits for a source carries nothing but a pool's handle.
#[cfg(feature = "std")]
mod rent {
    use super::*;
    use completion_core::Rent;

    holds! {
        Rent<'static, OnlySend, OnlySend>: Send, Sync;
        Rent<'static, PhantomPinned, PhantomPinned>: Unpin;
        Rent<'static, Neither, Neither>: UnwindSafe, RefUnwindSafe;
    }
    fails! {
        Rent<'static, OnlySync, u8>: Send, Sync;
        Rent<'static, u8, OnlySync>: Send, Sync;
        Rent<'static, Neither, u8>: Send, Sync;
        Rent<'static, u8, Neither>: Send, Sync;
        Rent<'static, u8, u8>: Clone;
    }

    #[test]
    fn it_takes_four_words_at_most() {
        // Where it was asked for, and when.
        let noted = if cfg!(feature = "diagnostics") { 2 } else { 0 };
        assert!(size_of::<Rent<'static, [u64; 9], String>>() <= (4 + noted) * size_of::<usize>());
    }
}

// A future that needs no pinning, whatever it carries.
holds! {
    Completion<'static, PhantomPinned, PhantomPinned>: Unpin;
    Pool<PhantomPinned, PhantomPinned>: Unpin;
    Completer<'static, PhantomPinned, PhantomPinned>: Unpin;
    CompletionSource<u8, u8>: Unpin;
    StaticPool<u8, u8, 2>: Unpin;
    WithDeadline<'static, PhantomPinned, PhantomPinned, u8>: Unpin;
}
// But a timer may need it.
fails! {
    WithDeadline<'static, u8, u8, PhantomPinned>: Unpin;
}

/// What is asserted of one-shot channels, of ours and of tokio's.
macro_rules! channel {
    ($sender:ident, $receiver:ident, $recv:ty, $try_recv:ty) => {
        holds! {
            $sender<OnlySend>: Send, Sync;
            $receiver<OnlySend>: Send, Sync;
            $sender<PhantomPinned>: Unpin;
            $receiver<PhantomPinned>: Unpin;
            $recv: Error, Clone, Eq, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
            $try_recv: Error, Clone, Eq, Send, Sync, Unpin, UnwindSafe, RefUnwindSafe;
        }
        fails! {
            $sender<OnlySync>: Send, Sync;
            $sender<Neither>: Send, Sync;
            $receiver<OnlySync>: Send, Sync;
            $receiver<Neither>: Send, Sync;
            $sender<u8>: Clone;
            $receiver<u8>: Clone;
            $recv: Copy;
            $try_recv: Copy;
        }
        const _: fn() = || {
            fn closed_is_send_and_sync(mut sender: $sender<OnlySend>) {
                fn holds(_: impl Send + Sync) {}
                holds(sender.closed());
            }
            let _ = closed_is_send_and_sync;
        };
    };
}

channel!(Sender, Receiver, RecvError, TryRecvError);
mod of_tokio {
    use super::*;
    use tokio::sync::oneshot::{
        Receiver, Sender,
        error::{RecvError, TryRecvError},
    };
    channel!(Sender, Receiver, RecvError, TryRecvError);
}
// Where ours can do more.
holds! {
    Sender<Neither>: UnwindSafe, RefUnwindSafe, std::fmt::Debug;
    Receiver<Neither>: UnwindSafe, RefUnwindSafe, std::fmt::Debug;
}
fails! {
    tokio::sync::oneshot::Sender<u8>: UnwindSafe, RefUnwindSafe;
    tokio::sync::oneshot::Receiver<u8>: UnwindSafe, RefUnwindSafe;
}

// One winner, one outcome, one handle each.
fails! {
    Completer<'static, u8, u8>: Clone;
    Completion<'static, u8, u8>: Clone;
    CompletionSource<u8, u8>: Clone;
    StaticPool<u8, u8, 2>: Clone;
    WithDeadline<'static, u8, u8, u8>: Clone;
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
    ShrinkError: Error, Send, Sync, UnwindSafe, RefUnwindSafe;
    DeadlineError<std::io::Error>: Error, Send, Sync;
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
    StaticPool<Neither, Neither, 2>: UnwindSafe, RefUnwindSafe;
    WithDeadline<'static, Neither, Neither, u8>: UnwindSafe, RefUnwindSafe;
    DeadlineError<u8>: UnwindSafe, RefUnwindSafe;
    CompletionError<u8>: UnwindSafe, RefUnwindSafe;
    Rejected<u8>: UnwindSafe, RefUnwindSafe;
}
// What is polled beside it is the caller's.
fails! {
    WithDeadline<'static, u8, u8, &'static mut u8>: UnwindSafe;
    WithDeadline<'static, u8, u8, OnlySend>: RefUnwindSafe;
}

#[test]
fn sizes_are_what_they_are_meant_to_be() {
    const WORD: usize = size_of::<usize>();
    // A pointer, and the word with which the round began, where that is no wider than a pointer.
    const IS_WIDER: bool = cfg!(all(target_pointer_width = "32", target_has_atomic = "64"));
    const HANDLE: usize = if IS_WIDER { WORD } else { 2 * WORD };
    assert_eq!(size_of::<Completer<'static, [u64; 9], String>>(), HANDLE);
    assert_eq!(size_of::<Completion<'static, [u64; 9], String>>(), HANDLE);
    assert_eq!(size_of::<Option<Completer<'static, u8, u8>>>(), HANDLE);
    assert_eq!(size_of::<Sender<[u64; 9]>>(), HANDLE);
    assert_eq!(size_of::<Receiver<[u64; 9]>>(), HANDLE);
    assert_eq!(size_of::<Option<Sender<u8>>>(), HANDLE);
    assert_eq!(size_of::<RecvError>(), 0);
    assert_eq!(size_of::<TryRecvError>(), 1);
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
    assert_eq!(size_of::<ShrinkError>(), 1);
    assert_eq!(size_of::<DeadlineError<()>>(), 1);
    assert_eq!(size_of::<DeadlineError<Box<u8>>>(), 2 * WORD);
    assert_eq!(
        size_of::<WithDeadline<'static, u8, u8, ()>>(),
        HANDLE + WORD
    );
    assert_eq!(size_of::<NoToken<Completer<'static, u8, u8>>>(), HANDLE);
    assert_eq!(
        size_of::<StaticPool<u64, usize, 4>>(),
        4 * size_of::<CompletionSource<u64, usize>>()
    );
    let overhead = size_of::<CompletionSource<(), ()>>();
    assert!(overhead <= 7 * 8 + noted, "{overhead}");
    assert_eq!(
        size_of::<CompletionSource<[u64; 100], [u64; 50]>>(),
        overhead.next_multiple_of(8) + 800,
        "value and error share their memory"
    );
}
