//! A C library's callbacks, awaited.
//!
//! The library takes a callback and 64 bits of user data, and calls back from a thread of its own. The
//! user data is the token of a round, so nothing is boxed for the C side, nothing dangles if it calls
//! too late, and a call that comes twice is refused. Do so wherever the foreign side keeps a `uint64_t`
//! for you; where it keeps a pointer of 64 bits, the token fits too, as the number that it is.
//!
//! Two things the bridge has to see to. A callback has nothing but the token, so the pool is a `static`.
//! And a token that the library loses is not noticed, so the library's owner cancels what is left.
//!
//! It is a package of its own because only a package has a build script, and that is where C is compiled.

use std::ffi::{c_int, c_uint};
use std::io;
use std::ptr::NonNull;
use std::sync::LazyLock;

use completion_core::{Completion, CompletionError, Pool, Status, Token};
use futures_lite::future;

/// Results, or the library's error numbers.
static ROUNDS: LazyLock<Pool<u64, c_int>> = LazyLock::new(Pool::new);

/// `struct factorial`, of which only C knows more.
#[repr(C)]
struct Library {
    opaque: [u8; 0],
}

type Done = extern "C" fn(user_data: u64, error: c_int, result: u64);

// As in `factorial.c`.
unsafe extern "C" {
    fn factorial_new() -> *mut Library;
    fn factorial_submit(library: *mut Library, n: c_uint, done: Done, user_data: u64) -> c_int;
    fn factorial_start(library: *mut Library) -> c_int;
    fn factorial_free(library: *mut Library);
}

/// Called by C, on C's thread.
///
/// It may wake the waiter. A waker that panics ends the process here, as no panic may cross into C.
extern "C" fn done(user_data: u64, error: c_int, result: u64) {
    let token = Token::from_bits(user_data);
    let told = if error == 0 {
        ROUNDS.complete(token, result).map_err(|late| late.reason())
    } else {
        ROUNDS.fail(token, error).map_err(|late| late.reason())
    };
    if let Err(reason) = told {
        println!("a callback was refused: {reason}");
    }
}

/// The library, and the rounds that it was given.
struct Factorials {
    library: NonNull<Library>,
    submitted: Vec<Token>,
}

impl Factorials {
    fn new() -> io::Result<Self> {
        // SAFETY: takes nothing, and may be called at any time.
        let library = NonNull::new(unsafe { factorial_new() });
        Ok(Self {
            library: library.ok_or(io::ErrorKind::OutOfMemory)?,
            submitted: Vec::new(),
        })
    }

    /// `&mut` for the library's sake: it wants one thread at a time, and none after the start.
    fn submit(&mut self, n: c_uint) -> io::Result<Completion<'static, u64, c_int>> {
        let (completer, completion) = ROUNDS.try_rent().map_err(io::Error::other)?;
        let token = completer.into_token().expect("no overflow, so it has one");
        // SAFETY: `library` is alive, and not started yet; `done` takes any user data at any time.
        check(unsafe { factorial_submit(self.library.as_ptr(), n, done, token.to_bits()) })?;
        self.submitted.push(token);
        Ok(completion)
    }

    /// Lets the library call back. It takes no more jobs.
    fn start(self) -> io::Result<Started> {
        // SAFETY: `library` is alive, and not started yet, as that uses `self` up.
        check(unsafe { factorial_start(self.library.as_ptr()) })?;
        Ok(Started { _library: self })
    }
}

/// A library at work.
struct Started {
    _library: Factorials,
}

impl Drop for Factorials {
    fn drop(&mut self) {
        // SAFETY: `library` is alive, and used no more.
        unsafe { factorial_free(self.library.as_ptr()) };
        for token in &self.submitted {
            // Refused for each round that is over: these are the ones that the library never answered.
            let _ = ROUNDS.cancel(*token);
        }
    }
}

fn check(error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(error)),
    }
}

fn main() -> io::Result<()> {
    let mut factorials = Factorials::new()?;
    let small = factorials.submit(20)?;
    let large = factorials.submit(21)?;
    let given_up = factorials.submit(3)?;
    let token = factorials.submitted[2];
    drop(given_up);

    let started = factorials.start()?;
    let (small, large) = future::block_on(future::zip(small, large));
    println!("20! = {small:?}, 21! = {large:?}");
    assert_eq!(small, Ok(2_432_902_008_176_640_000));
    let Err(CompletionError::Failed(errno)) = large else {
        panic!("21! does not fit");
    };
    println!("{}", io::Error::from_raw_os_error(errno));

    // When the library's thread has ended, it has called back for the third job too, in vain.
    drop(started);
    assert_eq!(ROUNDS.status(token), Status::Stale);
    // Once by the callback, and three times by the owner, who found nothing left to cancel.
    assert_eq!(ROUNDS.stats().stale, 4);

    // A library that goes away without a word leaves nobody waiting.
    let mut factorials = Factorials::new()?;
    let never_run = factorials.submit(5)?;
    drop(factorials);
    let outcome = never_run.wait();
    println!("5! = {outcome:?}");
    assert_eq!(outcome, Err(CompletionError::Cancelled));
    assert_eq!(ROUNDS.stats().in_use, 0);
    Ok(())
}
