//! A transport tap: sits between h2 and the transport (above TLS), sees what h2 does not tell, and can end the connection
//! with a GOAWAY of its own.
//!
//! h2 shows neither when its SETTINGS left nor when their acknowledgment came, and a client of it cannot send
//! GOAWAY(SETTINGS_TIMEOUT). [`Tap`] passes every byte on unchanged and lets a [`scanner`] follow the frame headers of
//! both directions; what it learns stands in the [`TapHandle`].
//!
//! # Taking over
//!
//! After [`TapHandle::send_go_away`] the tap lets h2 write on to the next place where a frame may be put in, then takes the
//! connection over: h2's later bytes are not written, the GOAWAY is written and flushed, the transport's write side is shut
//! down, and what the peer still sends is read and thrown away until its end of stream (closing a socket with unread bytes
//! makes the kernel reset the connection, which may destroy the GOAWAY before the peer has read it). Meanwhile every call
//! of h2 is pending, then each fails with `ConnectionAborted`. An error rather than a pretended success: h2 would take frames
//! for sent that never left; and not `BrokenPipe`, which is what h2 reports when the *peer* went away.
//!
//! | phase | left when | h2's calls meanwhile |
//! |---|---|---|
//! | `Open` | a GOAWAY is asked for, at a boundary | passed on; once asked, writes are cut at the boundary |
//! | `Writing` | the transport accepted its last byte | pending |
//! | `Flushing` | flushed | pending |
//! | `Ending` | write side shut down | pending |
//! | `Draining` | end of stream | pending |
//! | `Closed` (terminal) | | `ConnectionAborted` |
//!
//! A transport error in any phase but `Open` leads to `Closed`, and is returned once.
//!
//! # Reading in portions
//!
//! h2 reads for as long as the transport has something, and keeps what it has read: a peer that is faster than its reader
//! would hold the executor, and fill the memory with whatever h2 keeps of the smallest frames. So the driver says before each
//! poll how many reads it may take ([`TapHandle::allow_reads`]); after those the transport looks empty, and h2's waker is
//! called at once.
//!
//! # Why the handle cannot do I/O
//!
//! The handle asks and the tap acts when h2 next calls it, so the I/O object needs no lock and no `Arc`. That suffices
//! because a poll of h2's `Connection` that makes no other progress always ends in a call of the tap: it reads until the
//! transport is pending, then writes what is buffered and flushes, even with nothing buffered. And it is needed
//! anyway: in the middle of a frame only h2 has the bytes that complete it. So whoever asks must then poll the `Connection`,
//! for a bounded time, since a blocked or silent peer can hold up any phase; dropping it closes the transport.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use scanner::{Event, Scanner};

pub(crate) use scanner::GoAway;

mod scanner;
#[cfg(test)]
mod tests;

/// Reads thrown away in one poll before the task is rescheduled, so that a flood cannot hold the executor.
const DRAIN_READS: usize = 16;
/// Bytes thrown away by one such read.
const DRAIN_BYTES: usize = 4096;

/// [`Shared::flags`]: a GOAWAY was received.
const GO_AWAY: u8 = 1;
/// [`Shared::flags`]: the read side came to its end.
const READ_EOF: u8 = 1 << 1;
/// [`Shared::flags`]: a GOAWAY is to be sent.
const ASKED: u8 = 1 << 2;
/// [`Shared::flags`]: that GOAWAY was written and flushed.
const SENT: u8 = 1 << 3;

/// What the tap and its handles share.
///
/// The counters and flags are plain atomics because they are looked at on every I/O call and every driver poll. The rare
/// facts of more than one word sit in a mutex, which is locked only when a flag says that there is something in it. Nothing
/// foreign runs under it, and since tap and handle are used by the same task nobody ever waits for it.
#[derive(Debug, Default)]
struct Shared {
    settings_written: AtomicU32,
    resets_written: AtomicU32,
    settings_acked: AtomicU32,
    flags: AtomicU8,
    reads_left: AtomicU32,
    rare: Mutex<Rare>,
}

#[derive(Debug, Default)]
struct Rare {
    received: Option<GoAway>,
    asked: Option<u32>,
}

impl Shared {
    fn rare(&self) -> MutexGuard<'_, Rare> {
        // Every critical section is one assignment or copy, which cannot unwind half-way.
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, flag: u8) -> bool {
        // ORDERING: Relaxed. A flag publishes nothing by itself: what GO_AWAY and ASKED announce is read under the mutex
        // that was held when they were set, and the two others announce nothing but themselves.
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Whether the transport may be read once more.
    fn take_read(&self) -> bool {
        // ORDERING: Relaxed, both. Tap and handle are used by the same task.
        let left = self.reads_left.load(Ordering::Relaxed);
        self.reads_left
            .store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    fn set(&self, flag: u8) {
        // ORDERING: Relaxed, see `has`; a read-modify-write because tap and handle set different bits.
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }
}

/// What the driver knows of its [`Tap`], and how it asks for a GOAWAY. Clones are one reference count.
#[derive(Clone, Debug)]
pub(crate) struct TapHandle(Arc<Shared>);

impl TapHandle {
    /// How many SETTINGS (not counting acknowledgments) the transport has accepted to the last byte. Wraps at 2^32.
    pub(crate) fn settings_written(&self) -> u32 {
        // ORDERING: Relaxed. The number is all there is to learn; in the driver's own task program order makes it exact,
        // elsewhere it may lag.
        self.0.settings_written.load(Ordering::Relaxed)
    }

    /// How many RST_STREAM the transport has accepted: also those that h2 answers late frames with, of which it tells
    /// nobody. Wraps at 2^32.
    pub(crate) fn resets_written(&self) -> u32 {
        // ORDERING: Relaxed, as in `settings_written`.
        self.0.resets_written.load(Ordering::Relaxed)
    }

    /// How many SETTINGS acknowledgments were read. Wraps at 2^32.
    pub(crate) fn settings_acked(&self) -> u32 {
        // ORDERING: Relaxed, as in `settings_written`.
        self.0.settings_acked.load(Ordering::Relaxed)
    }

    /// The last GOAWAY received, as soon as its fixed fields were read; h2 acts on it when it is complete.
    pub(crate) fn go_away(&self) -> Option<GoAway> {
        if !self.0.has(GO_AWAY) {
            return None;
        }
        self.0.rare().received
    }

    /// Until the next call the transport may be read so many times.
    pub(crate) fn allow_reads(&self, count: u32) {
        // ORDERING: Relaxed. Tap and handle are used by the same task.
        self.0.reads_left.store(count, Ordering::Relaxed);
    }

    /// Whether the peer ended its side. A transport error is not an end.
    pub(crate) fn read_eof(&self) -> bool {
        self.0.has(READ_EOF)
    }

    /// Asks the tap to write GOAWAY(last-stream-id 0, `code`) at the next boundary and to close; see the module's "Taking
    /// over". The caller then polls h2's `Connection`, for a bounded time. Only the first call counts.
    pub(crate) fn send_go_away(&self, code: u32) {
        let mut rare = self.0.rare();
        if rare.asked.is_none() {
            rare.asked = Some(code);
            self.0.set(ASKED);
        }
    }

    /// Whether the GOAWAY asked for was accepted and flushed by the transport. From here on the only thing to wait for is
    /// the peer's end of stream.
    pub(crate) fn go_away_sent(&self) -> bool {
        self.0.has(SENT)
    }
}

/// Where the tap stands between h2 and the end; the table is in the module documentation.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Open,
    Writing { code: u32, done: usize },
    Flushing,
    Ending,
    Draining,
    Closed,
}

/// The transport as h2 sees it.
#[derive(Debug)]
pub(crate) struct Tap<IO> {
    io: IO,
    shared: Arc<Shared>,
    inbound: Scanner,
    outbound: Scanner,
    phase: Phase,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Tap<IO> {
    /// Wraps a fresh transport, of which nothing was read and to which nothing was written.
    pub(crate) fn new(io: IO) -> (Self, TapHandle) {
        let shared = Arc::new(Shared {
            reads_left: AtomicU32::new(u32::MAX),
            ..Shared::default()
        });
        let handle = TapHandle(Arc::clone(&shared));
        let tap = Self {
            io,
            shared,
            inbound: Scanner::of_server(),
            outbound: Scanner::of_client(),
            phase: Phase::Open,
        };
        (tap, handle)
    }

    /// Takes over when that was asked for and a boundary is reached. True means that h2's call is not to be passed on.
    fn takes_over(&mut self) -> bool {
        if let Phase::Open = self.phase {
            if !self.shared.has(ASKED) || !self.outbound.at_boundary() {
                return false;
            }
            let Some(code) = self.shared.rare().asked else {
                return false;
            };
            self.phase = Phase::Writing { code, done: 0 };
        }
        true
    }

    /// Whether writes must stop at the next boundary. True in every phase but `Open`.
    fn must_cut(&self) -> bool {
        self.shared.has(ASKED)
    }

    /// Runs the phases after `Open` as far as the transport lets them, and ends in the error that h2 is told.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let error = match ready!(self.poll_close_phases(cx)) {
            Ok(()) => io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "connection closed by its own side after sending GOAWAY",
            ),
            Err(error) => error,
        };
        self.phase = Phase::Closed;
        Poll::Ready(error)
    }

    fn poll_close_phases(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.phase = match self.phase {
                Phase::Open | Phase::Closed => return Poll::Ready(Ok(())),
                Phase::Writing { code, done } => {
                    let frame = GoAway {
                        last_stream_id: 0,
                        code,
                    }
                    .encode();
                    match frame.get(done..) {
                        None | Some([]) => Phase::Flushing,
                        Some(rest) => match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                            n => Phase::Writing {
                                code,
                                done: done + n,
                            },
                        },
                    }
                }
                Phase::Flushing => {
                    ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                    self.shared.set(SENT);
                    Phase::Ending
                }
                Phase::Ending => {
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    Phase::Draining
                }
                Phase::Draining => {
                    ready!(self.poll_drain(cx))?;
                    Phase::Closed
                }
            };
        }
    }

    /// Reads and throws away until the end of the stream.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; DRAIN_BYTES];
        for _ in 0..DRAIN_READS {
            if self.shared.has(READ_EOF) {
                return Poll::Ready(Ok(()));
            }
            let mut waste = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut waste))?;
            if waste.filled().is_empty() {
                self.shared.set(READ_EOF);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Follows bytes that the transport has accepted.
    fn wrote(&mut self, bytes: &[u8]) {
        let shared = &self.shared;
        self.outbound.feed(bytes, |event| {
            let Event::End(head) = event else {
                return;
            };
            let written = if head.is_settings() {
                &shared.settings_written
            } else if head.is_reset() {
                &shared.resets_written
            } else {
                return;
            };
            // ORDERING: Relaxed. Nothing else is published with the number; the tap is its only writer.
            written.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Follows bytes that were read.
    fn read(&mut self, bytes: &[u8]) {
        let shared = &self.shared;
        self.inbound.feed(bytes, |event| match event {
            Event::GoAway(received) => {
                let mut rare = shared.rare();
                rare.received = Some(received);
                shared.set(GO_AWAY);
            }
            Event::End(head) if head.is_settings_ack() => {
                // ORDERING: Relaxed. Nothing else is published with the number; the tap is its only writer.
                shared.settings_acked.fetch_add(1, Ordering::Relaxed);
            }
            Event::End(_) => {}
        });
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tap<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.takes_over() {
            return tap.poll_close(cx).map(Err);
        }
        if !tap.shared.take_read() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        ready!(Pin::new(&mut tap.io).poll_read(cx, buf))?;
        match buf.filled().get(before..) {
            None | Some([]) if room => tap.shared.set(READ_EOF),
            None | Some([]) => {}
            Some(new) => tap.read(new),
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tap<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        if tap.takes_over() {
            return tap.poll_close(cx).map(Err);
        }
        let buf = if tap.must_cut() {
            &buf[..tap.outbound.until_boundary(buf)]
        } else {
            buf
        };
        let count = ready!(Pin::new(&mut tap.io).poll_write(cx, buf))?;
        tap.wrote(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.must_cut() {
            // Writing less than was given is always allowed, and simpler than cutting a list of slices.
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[], |buf| buf));
        }
        let tap = self.get_mut();
        let count = ready!(Pin::new(&mut tap.io).poll_write_vectored(cx, bufs))?;
        let mut left = count;
        for buf in bufs {
            let accepted = left.min(buf.len());
            tap.wrote(&buf[..accepted]);
            left -= accepted;
            if left == 0 {
                break;
            }
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.takes_over() {
            return tap.poll_close(cx).map(Err);
        }
        Pin::new(&mut tap.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.takes_over() {
            return tap.poll_close(cx).map(Err);
        }
        Pin::new(&mut tap.io).poll_shutdown(cx)
    }
}
