//! Any sequence of operations, held against the reference model of the tests.

#![no_main]
// The model and its wakers are compiled in as they stand; what other tests use of them is not used here.
#![expect(dead_code, reason = "parts of modules of the tests")]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/model.rs"]
mod model;
#[path = "../../tests/it/support.rs"]
mod support;

fuzz_target!(|input: (u8, Vec<[u8; 3]>)| {
    let (place, steps) = input;
    let place = match place % 8 {
        0 => model::Place::Source,
        1 => model::Place::Static,
        7 => model::Place::Pool(70),
        capacity => model::Place::Pool(u16::from(capacity) - 2),
    };
    model::run(place, &steps);
});
