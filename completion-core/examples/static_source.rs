//! A source in a `static`, completed in the style of an interrupt handler.
//!
//! The handler takes no argument and owns nothing: all it knows is two statics. `main` arms the source
//! before each conversion and awaits the sample. Nothing here needs a heap but the thread that plays
//! the interrupt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use completion_core::{CompletionError, CompletionSource, Status, Token};
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

/// The interrupt handler: the conversion is done. Neither blocks nor allocates.
fn on_conversion(register: u32) {
    let token = Token::from_bits(ARMED.swap(UNARMED, Ordering::AcqRel));
    let told = match Sample::try_from(register) {
        Ok(sample) if sample < 1 << 12 => CONVERSION.complete(token, sample).is_ok(),
        _ => CONVERSION.fail(token, OutOfRange).is_ok(),
    };
    if !told {
        println!("{register}: a spurious interrupt, or nobody waits any more");
    }
}

async fn convert(start: impl FnOnce()) -> Result<Sample, CompletionError<OutOfRange>> {
    let (completer, completion) = CONVERSION.begin().expect("one conversion at a time");
    let token = completer.into_token().expect("a source always has one");
    ARMED.store(token.to_bits(), Ordering::Release);
    start();
    completion.await
}

fn main() {
    // The converter: each number that goes in comes out as an interrupt on another thread.
    let (input, registers) = channel();
    let converter = thread::spawn(move || registers.into_iter().for_each(on_conversion));
    let start = |register: u32| {
        let input = input.clone();
        move || input.send(register).expect("the converter runs")
    };

    for register in [17, 4095, 0] {
        let sample = future::block_on(convert(start(register)));
        println!("{register} -> {sample:?}");
        assert_eq!(sample.map(u32::from), Ok(register));
    }
    let overrange = future::block_on(convert(start(70_000)));
    println!("70000 -> {overrange:?}");
    assert_eq!(overrange, Err(CompletionError::Failed(OutOfRange)));

    // Given up before the interrupt: the source is free at once, and the interrupt finds nobody.
    let token = {
        let (completer, _completion) = CONVERSION.begin().expect("idle again");
        let token = completer.into_token().expect("a source always has one");
        ARMED.store(token.to_bits(), Ordering::Release);
        token
    };
    assert_eq!(CONVERSION.status(token), Status::Stale);
    start(1)();

    drop(input);
    converter.join().expect("the handler does not panic");
    assert!(CONVERSION.begin().is_ok());
}
