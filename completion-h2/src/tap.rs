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
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sync::Arc;
use scanner::{Event, Scanner};
use shared::Shared;

pub(crate) use scanner::GoAway;
pub(crate) use shared::TapHandle;

mod scanner;
mod shared;
#[cfg(test)]
mod tests;

/// Reads thrown away in one poll before the task is rescheduled, so that a flood cannot hold the executor.
const DRAIN_READS: usize = 16;
/// Bytes thrown away by one such read.
const DRAIN_BYTES: usize = 4096;

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
        let (shared, handle) = Shared::new();
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
            let Some(code) = self.shared.asked() else {
                return false;
            };
            if !self.outbound.at_boundary() {
                return false;
            }
            self.phase = Phase::Writing { code, done: 0 };
        }
        true
    }

    /// Whether writes must stop at the next boundary. True in every phase but `Open`.
    fn must_cut(&self) -> bool {
        self.shared.is_asked()
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
                    self.shared.set_sent();
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
            if self.shared.has_ended() {
                return Poll::Ready(Ok(()));
            }
            let mut waste = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut waste))?;
            if waste.filled().is_empty() {
                self.shared.set_ended();
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
            if head.is_settings() {
                shared.count_settings();
            } else if head.is_reset() {
                shared.count_reset();
            }
        });
    }

    /// Follows bytes that were read.
    fn read(&mut self, bytes: &[u8]) {
        let shared = &self.shared;
        self.inbound.feed(bytes, |event| match event {
            Event::GoAway(received) => shared.receive(received),
            Event::End(head) if head.is_settings_ack() => shared.count_ack(),
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
            None | Some([]) if room => tap.shared.set_ended(),
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
        let written = Pin::new(&mut tap.io).poll_write(cx, buf);
        tap.shared.set_blocked(written.is_pending());
        let count = ready!(written)?;
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
        let written = Pin::new(&mut tap.io).poll_write_vectored(cx, bufs);
        tap.shared.set_blocked(written.is_pending());
        let count = ready!(written)?;
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
        let flushed = Pin::new(&mut tap.io).poll_flush(cx);
        tap.shared.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.takes_over() {
            return tap.poll_close(cx).map(Err);
        }
        Pin::new(&mut tap.io).poll_shutdown(cx)
    }
}
