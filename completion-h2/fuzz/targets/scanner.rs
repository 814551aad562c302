//! The tap's frame scanner against a parser that has all bytes at once: the same events, however the
//! bytes are split, and the same places where a foreign frame may go in.

#![no_main]
// The scanner is compiled in as it stands; what only the tap uses of it is not used here.
#![expect(dead_code, reason = "a part of a private module")]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/tap/scanner.rs"]
mod scanner;

use scanner::{Event, GoAway, Head, PREFACE, Scanner, kind};

/// What passes in `bytes`, each with the number of bytes up to and including it.
fn parse(bytes: &[u8], from_client: bool) -> Vec<(usize, Event)> {
    let mut events = Vec::new();
    let mut at = if from_client { PREFACE } else { 0 };
    while let Some(raw) = bytes.get(at..at + 9) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let head = Head {
            length: number(&raw[..3]),
            kind: raw[3],
            flags: raw[4],
            stream: number(&raw[5..]) & 0x7fff_ffff,
        };
        at += 9;
        if head.kind == kind::GOAWAY && head.stream == 0 && head.length >= 8 {
            let Some(fixed) = bytes.get(at..at + 8) else {
                break;
            };
            let go_away = GoAway {
                last_stream_id: number(&fixed[..4]) & 0x7fff_ffff,
                code: number(&fixed[4..]),
            };
            events.push((at + 8, Event::GoAway(go_away)));
        }
        at += head.length as usize;
        if at > bytes.len() {
            break;
        }
        events.push((at, Event::End(head)));
    }
    events
}

/// The numbers of bytes after which a foreign frame may go in.
fn boundaries(events: &[(usize, Event)]) -> Vec<usize> {
    let mut block = false;
    let ends = events.iter().filter_map(|(at, event)| match event {
        Event::End(head) => Some((*at, head)),
        Event::GoAway(_) => None,
    });
    ends.filter_map(|(at, head)| {
        if matches!(head.kind, kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION) {
            block = head.flags & 4 == 0;
        }
        (!block).then_some(at)
    })
    .collect()
}

fn scanner(from_client: bool) -> Scanner {
    if from_client {
        Scanner::of_client()
    } else {
        Scanner::of_server()
    }
}

fuzz_target!(|input: (bool, Vec<(u8, u8, u8, u8, Vec<u8>)>, Vec<u8>, Vec<u8>)| {
    let (from_client, frames, tail, splits) = input;
    // Bytes that are frames more often than random ones are.
    let mut bytes = vec![b'P'; if from_client { PREFACE } else { 0 }];
    for (kind, flags, stream, claimed, payload) in &frames {
        let length = payload.len().saturating_sub(usize::from(claimed & 1)) as u32;
        bytes.extend_from_slice(&length.to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind % 11, *flags, claimed & 0x80, 0, 0, stream % 3]);
        bytes.extend_from_slice(payload);
    }
    bytes.extend_from_slice(&tail);
    bytes.truncate(600);

    let expected = parse(&bytes, from_client);
    let events: Vec<_> = expected.iter().map(|(_, event)| *event).collect();
    let boundaries = boundaries(&expected);

    // Every split into two.
    for cut in 0..=bytes.len() {
        let mut scanner = scanner(from_client);
        let mut seen = Vec::new();
        let next = boundaries.iter().copied().find(|at| *at > 0).unwrap_or(bytes.len());
        if cut == 0 {
            assert_eq!(scanner.until_boundary(&bytes), next);
        }
        scanner.feed(&bytes[..cut], |event| seen.push(event));
        assert_eq!(scanner.at_boundary(), boundaries.contains(&cut));
        let next = boundaries.iter().copied().find(|at| *at >= cut).unwrap_or(bytes.len());
        assert_eq!(scanner.until_boundary(&bytes[cut..]), next - cut);
        scanner.feed(&bytes[cut..], |event| seen.push(event));
        assert_eq!(seen, events);
    }
    // And one into many.
    let (mut scanner, mut seen, mut rest) = (scanner(from_client), Vec::new(), &bytes[..]);
    for size in splits.iter().cycle().take(bytes.len()) {
        let (now, later) = rest.split_at(rest.len().min(usize::from(*size)));
        scanner.feed(now, |event| seen.push(event));
        rest = later;
    }
    scanner.feed(rest, |event| seen.push(event));
    assert_eq!(seen, events);
});
