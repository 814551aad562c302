//! A source in a `static`, completed in the style of an interrupt handler.
//!
//! The handler takes no argument and owns nothing: all it knows is two statics, the source and the token
//! of the conversion that is under way. `main` arms the source before each conversion and awaits the
//! sample. Do so in firmware, and wherever a callback has no room for user data: the source needs no
//! heap, and neither side ever masks interrupts or waits for the other.
//!
//! Here a thread plays the interrupt, and is all that needs an operating system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use completion_core::{Completion, CompletionError, CompletionSource, Token};
use futures_lite::future;

/// A sample of twelve bits.
type Sample = u16;

#[derive(Debug, PartialEq)]
struct OutOfRange;

static CONVERSION: CompletionSource<Sample, OutOfRange> = CompletionSource::new();

/// The token of the conversion that is under way.
static ARMED: AtomicU64 = AtomicU64::new(UNARMED);
/// No token of this source: its index is not 0.
const UNARMED: u64 = u64::MAX;

/// Interrupts that found nobody waiting.
static SPURIOUS: AtomicU64 = AtomicU64::new(0);

/// The interrupt handler: the conversion is done. Neither blocks nor allocates.
fn on_conversion(register: u32) {
    let token = Token::from_bits(ARMED.swap(UNARMED, Ordering::AcqRel));
    let told = match Sample::try_from(register) {
        Ok(sample) if sample < 1 << 12 => CONVERSION.complete(token, sample).is_ok(),
        _ => CONVERSION.fail(token, OutOfRange).is_ok(),
    };
    if !told {
        SPURIOUS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins a conversion; `start` tells the hardware.
fn convert(start: impl FnOnce()) -> Completion<'static, Sample, OutOfRange> {
    let (completer, completion) = CONVERSION.begin().expect("one conversion at a time");
    let token = completer.into_token().expect("a source always has one");
    ARMED.store(token.to_bits(), Ordering::Release);
    start();
    completion
}

fn main() {
    // The converter: each number that goes in comes out as an interrupt on another thread.
    let (input, registers) = channel();
    let converter = thread::spawn(move || registers.into_iter().for_each(on_conversion));
    let apply = |register: u32| input.send(register).expect("the converter runs");

    let sample = future::block_on(convert(|| apply(4095)));
    println!("4095: {sample:?}");
    assert_eq!(sample, Ok(4095));
    let overrange = future::block_on(convert(|| apply(4096)));
    println!("4096: {overrange:?}");
    assert_eq!(overrange, Err(CompletionError::Failed(OutOfRange)));

    // Given up before the interrupt, which then finds a token whose round is over.
    drop(convert(|| {}));
    apply(1);
    // Not armed at all.
    apply(2);

    drop(input);
    converter.join().expect("the handler does not panic");
    assert_eq!(SPURIOUS.load(Ordering::Relaxed), 2);
}
