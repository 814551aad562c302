//! Tests of the scanner against a plain parser, and of the tap on a scripted transport and under h2 itself.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scanner::{Event, Head, PREFACE, Scanner, kind};
use super::{DRAIN_READS, GoAway, Tap, TapHandle};

const PREFACE_BYTES: &[u8; PREFACE] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_HEADERS: u8 = 0x4;
const DATA: u8 = 0;
const PING: u8 = 6;

// ----- building and reading byte streams -----

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn settings() -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])
}

fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, 1, 0, &[])
}

fn go_away(last_stream_id: u32, code: u32, debug: &[u8]) -> Vec<u8> {
    let mut payload = last_stream_id.to_be_bytes().to_vec();
    payload.extend(code.to_be_bytes());
    payload.extend(debug);
    frame(kind::GOAWAY, 0, 0, &payload)
}

/// Preface and SETTINGS: the least after which a client may write something else.
fn opening() -> Vec<u8> {
    [PREFACE_BYTES.as_slice(), &settings()].concat()
}

/// What the scanner should tell of whole frames, read in the plainest way.
fn reference(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let length = bytes[0] as usize * 65536 + bytes[1] as usize * 256 + bytes[2] as usize;
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let head = Head {
            length: length as u32,
            kind: bytes[3],
            flags: bytes[4],
            stream: word(5) % (1 << 31),
        };
        if head.kind == kind::GOAWAY && head.stream == 0 && length >= 8 {
            events.push(Event::GoAway(GoAway {
                last_stream_id: word(9) % (1 << 31),
                code: word(13),
            }));
        }
        events.push(Event::End(head));
        bytes = &bytes[9 + length..];
    }
    events
}

/// One of each thing that the scanner must tell apart.
fn sample() -> Vec<u8> {
    [
        settings(),
        settings_ack(),
        frame(kind::HEADERS, 0, 1, b"abc"),
        frame(kind::CONTINUATION, 0, 1, b""),
        frame(kind::CONTINUATION, END_HEADERS, 1, b"d"),
        frame(kind::PUSH_PROMISE, 0, 1, &[0, 0, 0, 2]),
        frame(kind::CONTINUATION, END_HEADERS, 1, b""),
        frame(DATA, 1, 1, &[4, 1, 0, 0, 0, 0, 4, 1]),
        go_away(0xffff_fff3, 11, b""),
        go_away(1, 0, b"dbg"),
        frame(kind::GOAWAY, 0, 0, b"short"),
        frame(kind::GOAWAY, 0, 5, b"on a stream"),
        frame(kind::SETTINGS, 1, 0, b"bad ack"),
        frame(200, 255, 0x8000_0007, b""),
        frame(PING, 0, 0, &[0; 8]),
    ]
    .concat()
}

fn feed(scanner: &mut Scanner, bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    scanner.feed(bytes, |event| events.push(event));
    events
}

// ----- the scanner -----

#[test]
fn scanner_agrees_with_the_reference_at_every_split() {
    let bytes = sample();
    let expected = reference(&bytes);
    let step = if cfg!(miri) { 17 } else { 1 };
    for first in (0..=bytes.len()).step_by(step) {
        for second in (first..=bytes.len()).step_by(step) {
            let mut scanner = Scanner::of_server();
            let mut events = feed(&mut scanner, &bytes[..first]);
            events.extend(feed(&mut scanner, &bytes[first..second]));
            events.extend(feed(&mut scanner, &bytes[second..]));
            assert_eq!(events, expected, "split at {first} and {second}");
        }
    }
}

#[test]
fn scanner_takes_single_bytes_and_empty_feeds() {
    let bytes = sample();
    let mut scanner = Scanner::of_server();
    let mut events = Vec::new();
    for byte in &bytes {
        events.extend(feed(&mut scanner, &[]));
        events.extend(feed(&mut scanner, std::slice::from_ref(byte)));
    }
    assert_eq!(events, reference(&bytes));
}

#[test]
fn scanner_skips_the_preface_at_every_split() {
    let bytes = [PREFACE_BYTES.as_slice(), &sample()].concat();
    for split in 0..=bytes.len() {
        let mut scanner = Scanner::of_client();
        let mut events = feed(&mut scanner, &bytes[..split]);
        events.extend(feed(&mut scanner, &bytes[split..]));
        assert_eq!(events, reference(&sample()), "split at {split}");
    }
}

#[test]
fn scanner_steps_over_the_largest_frame_without_keeping_it() {
    let mut scanner = Scanner::of_server();
    let head = [0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1];
    assert_eq!(feed(&mut scanner, &head), []);
    let chunk = vec![0xff; 1 << 16];
    for _ in 0..255 {
        assert_eq!(feed(&mut scanner, &chunk), []);
    }
    assert_eq!(feed(&mut scanner, &chunk[..0xfffe]), []);
    assert_eq!(
        feed(&mut scanner, &chunk[..1]),
        [Event::End(Head {
            length: 0xff_ffff,
            kind: DATA,
            flags: 0,
            stream: 1
        })]
    );
}

/// The boundaries of a client's byte stream, in the plainest way: the offsets at which a frame may be put in.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut open, mut found) = (PREFACE, false, Vec::new());
    while at < bytes.len() {
        let head = &bytes[at..at + 9];
        if [kind::HEADERS, kind::PUSH_PROMISE, kind::CONTINUATION].contains(&head[3]) {
            open = head[4] & END_HEADERS == 0;
        }
        at += 9 + head[2] as usize;
        if !open {
            found.push(at);
        }
    }
    found
}

#[test]
fn boundaries_are_where_the_reference_sees_them() {
    let bytes = [PREFACE_BYTES.as_slice(), &sample()].concat();
    let expected = boundaries(&bytes);
    let mut scanner = Scanner::of_client();
    for at in 0..bytes.len() {
        assert_eq!(scanner.at_boundary(), expected.contains(&at), "at {at}");
        let next = expected.iter().find(|&&boundary| boundary >= at).unwrap();
        assert_eq!(scanner.until_boundary(&bytes[at..]), next - at, "at {at}");
        let short = &bytes[at..(at + 3).min(bytes.len())];
        assert_eq!(
            scanner.until_boundary(short),
            (next - at).min(short.len()),
            "at {at}"
        );
        feed(&mut scanner, &bytes[at..at + 1]);
    }
    assert!(scanner.at_boundary());
}

// ----- a scripted transport -----

/// One answer to a read.
enum Incoming {
    Bytes(Vec<u8>),
    Pending,
    Error(io::ErrorKind),
}

/// A transport that does what its script says: reads from `incoming` (then `at_end`), accepts as many bytes per write as
/// `accept` says (then everything).
#[derive(Default)]
struct Mock {
    incoming: VecDeque<Incoming>,
    open_ended: bool,
    /// `None` is a blocked socket.
    accept: VecDeque<Option<usize>>,
    blocked: bool,
    vectored: bool,
    flush_pending: u32,
    shutdown_error: bool,
    written: Vec<u8>,
    flushed: usize,
    shutdowns: usize,
    calls: usize,
}

impl Mock {
    fn quiet() -> Self {
        Self {
            open_ended: true,
            ..Self::default()
        }
    }

    fn allowance(&mut self) -> Option<usize> {
        self.calls += 1;
        if self.blocked {
            return None;
        }
        self.accept.pop_front().unwrap_or(Some(usize::MAX))
    }
}

impl AsyncRead for Mock {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.incoming.pop_front() {
            Some(Incoming::Bytes(mut bytes)) => {
                let count = bytes.len().min(buf.remaining());
                let rest = bytes.split_off(count);
                buf.put_slice(&bytes);
                if !rest.is_empty() {
                    self.incoming.push_front(Incoming::Bytes(rest));
                }
                Poll::Ready(Ok(()))
            }
            Some(Incoming::Pending) => Poll::Pending,
            Some(Incoming::Error(kind)) => Poll::Ready(Err(kind.into())),
            None if self.open_ended => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Mock {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert_eq!(self.shutdowns, 0, "written after shutdown");
        let Some(allowed) = self.allowance() else {
            return Poll::Pending;
        };
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let count = allowed.min(all.len());
        self.written.extend(&all[..count]);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls += 1;
        if self.flush_pending > 0 {
            self.flush_pending -= 1;
            return Poll::Pending;
        }
        self.flushed = self.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shutdown_error {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        self.shutdowns += 1;
        Poll::Ready(Ok(()))
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Counts wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        // ORDERING: Relaxed. The test is single-threaded.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn write(tap: &mut Tap<Mock>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(tap).poll_write(&mut cx(), bytes)
}

fn flush(tap: &mut Tap<Mock>) -> Poll<io::Result<()>> {
    Pin::new(tap).poll_flush(&mut cx())
}

fn shutdown(tap: &mut Tap<Mock>) -> Poll<io::Result<()>> {
    Pin::new(tap).poll_shutdown(&mut cx())
}

fn read(tap: &mut Tap<Mock>) -> Poll<io::Result<Vec<u8>>> {
    let mut space = [0; 64];
    let mut buf = ReadBuf::new(&mut space);
    Pin::new(tap)
        .poll_read(&mut cx(), &mut buf)
        .map_ok(|()| buf.filled().to_vec())
}

/// Writes as h2 does, until all is accepted or the transport is pending or fails; returns how much was accepted.
fn write_all(tap: &mut Tap<Mock>, bytes: &[u8]) -> (usize, Poll<io::Result<()>>) {
    let mut done = 0;
    while done < bytes.len() {
        match write(tap, &bytes[done..]) {
            Poll::Ready(Ok(count)) => {
                assert_ne!(count, 0);
                done += count;
            }
            Poll::Ready(Err(error)) => return (done, Poll::Ready(Err(error))),
            Poll::Pending => return (done, Poll::Pending),
        }
    }
    (done, Poll::Ready(Ok(())))
}

#[track_caller]
fn assert_aborted<T: std::fmt::Debug>(outcome: Poll<io::Result<T>>) {
    match outcome {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted),
        other => panic!("expected the connection to be aborted, got {other:?}"),
    }
}

fn opened(mock: Mock) -> (Tap<Mock>, TapHandle) {
    let (mut tap, handle) = Tap::new(mock);
    let (done, _) = write_all(&mut tap, &opening());
    assert_eq!(done, opening().len());
    (tap, handle)
}

// ----- passing on and counting -----

#[test]
fn settings_count_only_when_their_last_byte_is_accepted() {
    let bytes = [opening(), settings_ack(), settings()].concat();
    let (first, second) = (opening().len(), bytes.len());
    let mut mock = Mock::quiet();
    for _ in 0..bytes.len() {
        mock.accept.extend([Some(1), None]);
    }
    let (mut tap, handle) = Tap::new(mock);
    for at in 0..bytes.len() {
        assert_eq!(
            handle.settings_written(),
            u32::from(at >= first) + u32::from(at >= second)
        );
        assert!(matches!(write(&mut tap, &bytes[at..]), Poll::Ready(Ok(1))));
        assert!(write(&mut tap, &bytes[at + 1..]).is_pending());
    }
    assert_eq!(handle.settings_written(), 2);
    assert_eq!(tap.io.written, bytes);
}

#[test]
fn vectored_writes_count_what_was_accepted() {
    let bytes = [opening(), settings()].concat();
    for accept in 0..=bytes.len() {
        for cut in 0..=bytes.len() {
            let mut mock = Mock::quiet();
            mock.vectored = true;
            mock.accept.push_back(Some(accept));
            let (mut tap, handle) = Tap::new(mock);
            assert!(tap.is_write_vectored());
            let (a, b) = bytes.split_at(cut);
            let bufs = [IoSlice::new(&[]), IoSlice::new(a), IoSlice::new(b)];
            let outcome = Pin::new(&mut tap).poll_write_vectored(&mut cx(), &bufs);
            assert!(matches!(outcome, Poll::Ready(Ok(count)) if count == accept));
            let expected = u32::from(accept >= opening().len()) + u32::from(accept == bytes.len());
            assert_eq!(handle.settings_written(), expected, "{accept} {cut}");
        }
    }
    assert!(!Tap::new(Mock::quiet()).0.is_write_vectored());
}

#[test]
fn received_acks_and_go_aways_are_told_at_every_split() {
    let bytes = [
        settings(),
        settings_ack(),
        go_away(7, 2, b"why"),
        go_away(3, 0, b""),
    ]
    .concat();
    let ack = settings().len() + settings_ack().len();
    let first = ack + 9 + 8;
    for split in 0..=bytes.len() {
        let mut mock = Mock::default();
        mock.incoming.extend([
            Incoming::Bytes(bytes[..split].to_vec()),
            Incoming::Pending,
            Incoming::Bytes(bytes[split..].to_vec()),
        ]);
        if split == 0 {
            mock.incoming.pop_front();
        }
        let (mut tap, handle) = Tap::new(mock);
        let mut seen = Vec::new();
        while let Poll::Ready(Ok(new)) = read(&mut tap) {
            seen.extend(new);
        }
        assert_eq!(handle.settings_acked(), u32::from(split >= ack));
        assert_eq!(handle.go_away().is_some(), split >= first);
        assert!(!handle.read_eof());
        while let Poll::Ready(Ok(new)) = read(&mut tap) {
            if new.is_empty() {
                break;
            }
            seen.extend(new);
        }
        assert_eq!(seen, bytes);
        assert_eq!(handle.settings_acked(), 1);
        assert_eq!(
            handle.go_away(),
            Some(GoAway {
                last_stream_id: 3,
                code: 0
            })
        );
        assert!(handle.read_eof());
        assert_eq!(handle.settings_written(), 0);
    }
}

#[test]
fn a_read_into_a_full_or_used_buffer_is_followed_rightly() {
    let mut mock = Mock::default();
    mock.incoming.push_back(Incoming::Bytes(settings_ack()));
    let (mut tap, handle) = Tap::new(mock);
    let mut buf = ReadBuf::new(&mut []);
    assert!(Pin::new(&mut tap).poll_read(&mut cx(), &mut buf).is_ready());
    assert!(!handle.read_eof(), "no room is no end of stream");

    let mut space = [0; 32];
    let mut buf = ReadBuf::new(&mut space);
    buf.put_slice(b"earlier");
    assert!(Pin::new(&mut tap).poll_read(&mut cx(), &mut buf).is_ready());
    assert_eq!(handle.settings_acked(), 1);
    assert!(Pin::new(&mut tap).poll_read(&mut cx(), &mut buf).is_ready());
    assert!(handle.read_eof());
}

#[test]
fn only_well_formed_acks_on_stream_zero_count() {
    let mut mock = Mock::quiet();
    mock.incoming.push_back(Incoming::Bytes(
        [
            frame(kind::SETTINGS, 1, 0, b"payload"),
            frame(kind::SETTINGS, 1, 3, b""),
            frame(PING, 1, 0, b""),
            settings(),
        ]
        .concat(),
    ));
    let (mut tap, handle) = Tap::new(mock);
    assert!(read(&mut tap).is_ready());
    assert_eq!(handle.settings_acked(), 0);
}

#[test]
fn a_read_error_is_passed_on_and_is_no_end_of_stream() {
    let mut mock = Mock::default();
    mock.incoming
        .push_back(Incoming::Error(io::ErrorKind::ConnectionReset));
    let (mut tap, handle) = Tap::new(mock);
    assert!(matches!(
        read(&mut tap),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset
    ));
    assert!(!handle.read_eof());
}

// ----- taking over -----

#[test]
fn go_away_goes_out_at_the_first_boundary_from_every_offset() {
    let bytes = [PREFACE_BYTES.as_slice(), &sample()].concat();
    let expected = boundaries(&bytes);
    // The request arrives after `at` bytes; then h2 goes on writing, in pieces of `piece` bytes.
    for at in 0..=bytes.len() {
        for piece in [1, 3, 7, usize::MAX] {
            let mut mock = Mock::default();
            mock.accept.push_back(Some(at));
            mock.accept
                .extend(std::iter::repeat_n(Some(piece), 2 * bytes.len()));
            let (mut tap, handle) = Tap::new(mock);
            if at > 0 {
                assert!(matches!(write(&mut tap, &bytes), Poll::Ready(Ok(n)) if n == at));
            } else {
                tap.io.accept.pop_front();
            }
            handle.send_go_away(4);
            assert!(!handle.go_away_sent());

            let (_, outcome) = write_all(&mut tap, &bytes[at..]);
            if let Poll::Ready(Ok(())) = outcome {
                // Everything was written before, or the last boundary is the end: the flush takes over.
                assert_aborted(flush(&mut tap));
            } else {
                assert_aborted(outcome);
            }
            let boundary = *expected.iter().find(|&&boundary| boundary >= at).unwrap();
            let wanted = [&bytes[..boundary], &go_away(0, 4, b"")].concat();
            assert_eq!(tap.io.written, wanted, "asked at {at}, pieces of {piece}");
            assert_eq!(tap.io.flushed, wanted.len());
            assert_eq!(tap.io.shutdowns, 1);
            assert!(handle.go_away_sent());
        }
    }
}

#[test]
fn a_vectored_write_is_cut_at_the_boundary_too() {
    let (mut tap, handle) = opened(Mock::default());
    let data = frame(DATA, 0, 1, b"0123456789");
    assert!(matches!(write(&mut tap, &data[..12]), Poll::Ready(Ok(12))));
    handle.send_go_away(4);
    let rest = [&data[12..], &settings_ack()].concat();
    let bufs = [IoSlice::new(&[]), IoSlice::new(&rest), IoSlice::new(b"x")];
    let outcome = Pin::new(&mut tap).poll_write_vectored(&mut cx(), &bufs);
    assert!(matches!(outcome, Poll::Ready(Ok(7))));
    assert_aborted(Pin::new(&mut tap).poll_write_vectored(&mut cx(), &[IoSlice::new(b"x")]));
    assert_eq!(
        tap.io.written,
        [opening(), data, go_away(0, 4, b"")].concat()
    );
}

#[test]
fn before_a_boundary_reads_and_flushes_are_passed_on() {
    let mut mock = Mock::quiet();
    mock.incoming.push_back(Incoming::Bytes(settings_ack()));
    let (mut tap, handle) = opened(mock);
    let headers = frame(kind::HEADERS, 0, 1, b"open");
    assert!(write(&mut tap, &headers).is_ready());
    handle.send_go_away(4);
    assert!(matches!(flush(&mut tap), Poll::Ready(Ok(()))));
    assert!(matches!(read(&mut tap), Poll::Ready(Ok(_))));
    assert_eq!(handle.settings_acked(), 1);
    assert!(read(&mut tap).is_pending());
    assert_eq!(tap.io.written, [opening(), headers].concat());
}

#[test]
fn reading_alone_flushing_alone_or_shutting_down_alone_pushes_it_out() {
    type Call = fn(&mut Tap<Mock>) -> Poll<io::Result<()>>;
    let calls: [Call; 3] = [|tap| read(tap).map_ok(drop), flush, shutdown];
    for call in calls {
        let (mut tap, handle) = opened(Mock::default());
        handle.send_go_away(4);
        assert_aborted(call(&mut tap));
        assert_eq!(tap.io.written, [opening(), go_away(0, 4, b"")].concat());
        // Once closed, closed for everything; the transport is left alone.
        let calls = tap.io.calls;
        assert_aborted(read(&mut tap));
        assert_aborted(write(&mut tap, b"late"));
        assert_aborted(flush(&mut tap));
        assert_aborted(shutdown(&mut tap));
        assert_eq!((tap.io.calls, tap.io.shutdowns), (calls, 1));
    }
}

#[test]
fn a_blocked_socket_keeps_it_pending_and_a_partial_write_continues() {
    let (mut tap, handle) = opened(Mock::quiet());
    tap.io.blocked = true;
    handle.send_go_away(4);
    for _ in 0..3 {
        assert!(read(&mut tap).is_pending());
        assert!(write(&mut tap, &settings()).is_pending());
        assert!(flush(&mut tap).is_pending());
        assert!(shutdown(&mut tap).is_pending());
    }
    assert_eq!(tap.io.written, opening());
    tap.io.blocked = false;
    tap.io.accept.extend([Some(5), None, Some(11), None]);
    assert!(flush(&mut tap).is_pending());
    assert!(read(&mut tap).is_pending());
    tap.io.flush_pending = 1;
    assert!(read(&mut tap).is_pending());
    assert!(!handle.go_away_sent());
    // Flushed and shut down, then waiting for the peer's end.
    assert!(read(&mut tap).is_pending());
    assert!(handle.go_away_sent());
    assert_eq!(tap.io.shutdowns, 1);
    assert_eq!(tap.io.written, [opening(), go_away(0, 4, b"")].concat());
    assert!(!handle.read_eof());
    tap.io.open_ended = false;
    assert_aborted(read(&mut tap));
    assert!(handle.read_eof());
}

#[test]
fn asking_twice_sends_once_with_the_first_code() {
    let (mut tap, handle) = opened(Mock::default());
    handle.send_go_away(4);
    handle.clone().send_go_away(9);
    assert_aborted(flush(&mut tap));
    handle.send_go_away(9);
    assert_aborted(flush(&mut tap));
    assert_eq!(tap.io.written, [opening(), go_away(0, 4, b"")].concat());
}

#[test]
fn late_bytes_are_thrown_away_in_bounded_portions() {
    let mut mock = Mock::default();
    let portions = DRAIN_READS * 2 + 3;
    for _ in 0..portions {
        mock.incoming.push_back(Incoming::Bytes(settings_ack()));
    }
    let (mut tap, handle) = opened(mock);
    handle.send_go_away(4);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let outcome = Pin::new(&mut tap).poll_flush(&mut Context::from_waker(&waker));
    assert!(outcome.is_pending());
    // ORDERING: Relaxed. The test is single-threaded.
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "it goes on by itself");
    assert_eq!(tap.io.incoming.len(), portions - DRAIN_READS);
    assert!(read(&mut tap).is_pending());
    assert_aborted(read(&mut tap));
    assert_eq!(handle.settings_acked(), 0, "thrown away means unseen");
}

#[test]
fn transport_errors_end_the_closing_and_are_told_once() {
    let (mut tap, handle) = opened(Mock::default());
    tap.io.accept.push_back(Some(0));
    handle.send_go_away(4);
    assert!(matches!(
        flush(&mut tap),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero
    ));
    assert_aborted(flush(&mut tap));
    assert!(!handle.go_away_sent());

    let (mut tap, handle) = opened(Mock::default());
    tap.io.shutdown_error = true;
    handle.send_go_away(4);
    assert!(matches!(
        flush(&mut tap),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected
    ));
    assert_aborted(flush(&mut tap));
    assert!(handle.go_away_sent());

    let mut mock = Mock::default();
    mock.incoming
        .push_back(Incoming::Error(io::ErrorKind::ConnectionReset));
    let (mut tap, handle) = opened(mock);
    handle.send_go_away(4);
    assert!(matches!(
        flush(&mut tap),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset
    ));
    assert_aborted(read(&mut tap));
    assert!(handle.go_away_sent() && !handle.read_eof());
}

#[test]
fn handle_and_tap_have_the_auto_traits_the_driver_needs() {
    fn check<T: Send + Sync + Unpin + 'static>() {}
    check::<TapHandle>();
    check::<Tap<Mock>>();
}

// ----- under h2 itself -----

/// A transport whose other end stays in the test's hands.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Mock>>);

impl Shared {
    fn with<T>(&self, action: impl FnOnce(&mut Mock) -> T) -> T {
        action(&mut self.0.lock().unwrap())
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|mock| Pin::new(mock).poll_read(cx, buf))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|mock| Pin::new(mock).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|mock| Pin::new(mock).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|mock| mock.vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|mock| Pin::new(mock).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|mock| Pin::new(mock).poll_shutdown(cx))
    }
}

type Connection = h2::client::Connection<Tap<Shared>, bytes::Bytes>;

fn handshake(transport: &Shared) -> (h2::client::SendRequest<bytes::Bytes>, Connection, TapHandle) {
    let (tap, handle) = Tap::new(transport.clone());
    let mut shake = pin!(h2::client::handshake(tap));
    let Poll::Ready(Ok((send, connection))) = shake.as_mut().poll(&mut cx()) else {
        panic!("the transport takes the preface at once");
    };
    (send, connection, handle)
}

fn poll(connection: &mut Connection) -> Poll<Result<(), h2::Error>> {
    Pin::new(connection).poll(&mut cx())
}

#[track_caller]
fn assert_connection_aborted(outcome: Poll<Result<(), h2::Error>>) {
    match outcome {
        Poll::Ready(Err(error)) => {
            let kind = error.get_io().map(io::Error::kind);
            assert_eq!(kind, Some(io::ErrorKind::ConnectionAborted), "{error:?}");
        }
        other => panic!("expected an error, got {other:?}"),
    }
}

/// The frames of what a client wrote, by their events.
fn frames_of(written: &[u8]) -> Vec<Event> {
    assert_eq!(written[..PREFACE], *PREFACE_BYTES);
    reference(&written[PREFACE..])
}

const OWN_GO_AWAY: Event = Event::GoAway(GoAway {
    last_stream_id: 0,
    code: 4,
});

/// A transport whose peer exchanges SETTINGS, and then is silent.
fn agreeing(vectored: bool) -> Shared {
    let transport = Shared::default();
    transport.with(|mock| {
        mock.open_ended = true;
        mock.vectored = vectored;
        mock.incoming
            .push_back(Incoming::Bytes([settings(), settings_ack()].concat()));
    });
    transport
}

#[test]
fn h2_idle_pushes_the_go_away_out() {
    let transport = agreeing(false);
    let (_send, mut connection, handle) = handshake(&transport);
    assert_eq!(handle.settings_written(), 0, "handshake only buffers");
    assert!(poll(&mut connection).is_pending());
    assert_eq!((handle.settings_written(), handle.settings_acked()), (1, 1));

    let before = transport.with(|mock| mock.written.len());
    handle.send_go_away(4);
    assert!(poll(&mut connection).is_pending());
    assert!(handle.go_away_sent());
    transport.with(|mock| {
        assert_eq!(mock.written[before..], go_away(0, 4, b""));
        assert_eq!(mock.shutdowns, 1);
        mock.open_ended = false;
    });
    assert_connection_aborted(poll(&mut connection));
}

#[test]
fn h2_asked_before_its_first_poll_still_sends_settings_first() {
    let transport = Shared::default();
    transport.with(|mock| mock.open_ended = true);
    let (_send, mut connection, handle) = handshake(&transport);
    handle.send_go_away(4);
    assert!(poll(&mut connection).is_pending());
    assert!(handle.go_away_sent());
    assert_eq!(handle.settings_written(), 1);
    let events = transport.with(|mock| frames_of(&mock.written));
    assert!(
        matches!(events[..], [Event::End(head), OWN_GO_AWAY, Event::End(_)] if head.is_settings())
    );
}

#[test]
fn h2_with_a_cut_data_frame_completes_it_then_goes_away() {
    for vectored in [false, true] {
        for cut in [0, 1, 8, 9, 10, 1500, 4008, 4009] {
            let transport = agreeing(vectored);
            let (mut send, mut connection, handle) = handshake(&transport);
            assert!(poll(&mut connection).is_pending());
            let request = http::Request::post("http://a/").body(()).unwrap();
            let (_response, mut body) = send.send_request(request, false).unwrap();
            assert!(poll(&mut connection).is_pending());
            // Two DATA frames wait; the transport takes `cut` bytes of the first, then blocks.
            body.send_data(vec![7; 4000].into(), false).unwrap();
            body.send_data(vec![7; 4000].into(), true).unwrap();
            transport.with(|mock| {
                mock.accept.extend([Some(cut), None]);
                if cut == 0 {
                    mock.accept.pop_front();
                }
            });
            assert!(poll(&mut connection).is_pending());
            handle.send_go_away(4);
            assert!(poll(&mut connection).is_pending());
            assert!(handle.go_away_sent(), "vectored {vectored}, cut {cut}");
            let events = transport.with(|mock| frames_of(&mock.written));
            let data = |event: &&Event| matches!(event, Event::End(head) if head.kind == DATA);
            let whole = usize::from(cut > 0);
            assert_eq!(
                events.iter().filter(data).count(),
                whole,
                "{vectored} {cut}"
            );
            assert_eq!(events[events.len() - 2], OWN_GO_AWAY);
        }
    }
}

#[test]
fn h2_has_written_all_it_could_unless_the_tap_is_blocked() {
    for vectored in [false, true] {
        let transport = agreeing(vectored);
        let (mut send, mut connection, handle) = handshake(&transport);
        assert!(poll(&mut connection).is_pending());
        assert!(!handle.is_blocked());
        let request = http::Request::post("http://a/").body(()).unwrap();
        let (_response, mut body) = send.send_request(request, false).unwrap();
        body.send_data(vec![7; 4000].into(), true).unwrap();
        transport.with(|mock| mock.accept.extend([Some(10), None]));
        assert!(poll(&mut connection).is_pending());
        assert!(handle.is_blocked(), "vectored {vectored}");
        assert!(poll(&mut connection).is_pending());
        assert!(!handle.is_blocked(), "vectored {vectored}");
    }
}

#[test]
fn h2_with_an_open_header_block_completes_it_then_goes_away() {
    let transport = agreeing(false);
    let (mut send, mut connection, handle) = handshake(&transport);
    assert!(poll(&mut connection).is_pending());
    // A header block of more than one frame: HEADERS and CONTINUATIONs.
    let mut request = http::Request::get("http://a/");
    for index in 0..60 {
        request = request.header(format!("x-{index}"), "~".repeat(500));
    }
    let request = request.body(()).unwrap();
    let (_response, _body) = send.send_request(request, true).unwrap();
    transport.with(|mock| mock.accept.extend([Some(20_000), None]));
    assert!(poll(&mut connection).is_pending());
    handle.send_go_away(4);
    assert!(poll(&mut connection).is_pending());
    assert!(handle.go_away_sent());
    let events = transport.with(|mock| frames_of(&mock.written));
    let kinds: Vec<u8> = events
        .iter()
        .filter_map(|event| match event {
            Event::End(head) => Some(head.kind),
            Event::GoAway(_) => None,
        })
        .collect();
    assert!(kinds.contains(&kind::CONTINUATION), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&kind::GOAWAY));
    let Event::End(last) = events[events.len() - 3] else {
        panic!("a frame precedes the GOAWAY: {events:?}");
    };
    assert_eq!(last.kind, kind::CONTINUATION);
    assert_ne!(last.flags & END_HEADERS, 0);
}
