//! Reads on after writing has failed.
//!
//! A server that goes away says so, closes its socket, and thereby resets the connection if the client was still sending.
//! The client's next write fails then, while the GOAWAY, and responses before it, wait unread in its own receive buffer.
//! h2 gives up at the first error: everything under way would be lost with a broken pipe for a cause, also what was
//! answered and what the GOAWAY makes safe to send again.
//!
//! So [`Salvage`] keeps the error of a write for itself, takes and throws away whatever h2 still wants to write, and lets it
//! read to the end, where it gets the error after all. The driver is told at once ([`SalvageHandle::is_broken`]): it
//! opens no more streams, and ends the wait for the end after a short time, as not every transport ends its read side
//! when its write side has failed.
//!
//! Not before the driver says so ([`SalvageHandle::enable`]): a handshake that cannot write has failed.
//!
//! The same thing seen from the other side is why a client that closes reads on too ([`SalvageHandle::linger`]): a socket
//! that is closed with unread bytes in it is reset, and what it had not yet delivered, the end of an upload perhaps, is
//! lost.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sync::{Arc, AtomicBool, AtomicU8, Mutex, Ordering};

/// Errors are passed on.
const STRICT: u8 = 0;
/// The error of a write will be kept.
const ENABLED: u8 = 1;
/// It was.
const BROKEN: u8 = 2;

/// Reads thrown away in one poll before the task is rescheduled.
const DRAIN_READS: usize = 16;
/// Bytes thrown away by one such read.
const DRAIN_BYTES: usize = 4096;

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    lingers: AtomicBool,
    error: Mutex<Option<io::Error>>,
}

impl Shared {
    fn is(&self, state: u8) -> bool {
        // ORDERING: Relaxed. Transport and handle are used by the same task; the error is read under its mutex.
        self.state.load(Ordering::Relaxed) == state
    }

    fn set(&self, state: u8) {
        // ORDERING: Relaxed, as in `is`.
        self.state.store(state, Ordering::Relaxed);
    }
}

/// What the driver knows of its [`Salvage`].
#[derive(Debug)]
pub(crate) struct SalvageHandle(Arc<Shared>);

impl SalvageHandle {
    /// From now on the error of a write is kept back.
    pub(crate) fn enable(&self) {
        self.0.set(ENABLED);
    }

    /// Whether a write has failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.is(BROKEN)
    }

    /// From now on the transport's shutdown is over when the peer has ended its side too. The caller sees to it that this
    /// does not take for ever.
    pub(crate) fn linger(&self) {
        // ORDERING: Relaxed, as in `Shared::is`.
        self.0.lingers.store(true, Ordering::Relaxed);
    }

    /// The error of that write, unless it was passed on already.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.0.error.lock().take()
    }
}

/// The transport under the tap.
#[derive(Debug)]
pub(crate) struct Salvage<IO> {
    io: IO,
    shared: Arc<Shared>,
    /// The write side was shut down.
    shut: bool,
}

impl<IO> Salvage<IO> {
    pub(crate) fn new(io: IO) -> (Self, SalvageHandle) {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(STRICT),
            lingers: AtomicBool::new(false),
            error: Mutex::default(),
        });
        let handle = SalvageHandle(Arc::clone(&shared));
        let salvage = Self {
            io,
            shared,
            shut: false,
        };
        (salvage, handle)
    }

    /// Keeps an error back, and pretends `success`.
    fn keep<R>(&self, result: io::Result<R>, success: R) -> io::Result<R> {
        match result {
            Err(error) if self.shared.is(ENABLED) => {
                *self.shared.error.lock() = Some(error);
                self.shared.set(BROKEN);
                Ok(success)
            }
            result => result,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Salvage<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() == before
            && buf.remaining() > 0
            && self.shared.is(BROKEN)
            && let Some(error) = self.shared.error.lock().take()
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Salvage<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.shared.is(BROKEN) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.keep(written, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if self.shared.is(BROKEN) {
            return Poll::Ready(Ok(len));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        Poll::Ready(self.keep(written, len))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.is(BROKEN) {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(self.keep(flushed, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.is(BROKEN) {
            return Poll::Ready(Ok(()));
        }
        if !self.shut {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.shut = true;
        }
        // ORDERING: Relaxed, as in `Shared::is`.
        if !self.shared.lingers.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; DRAIN_BYTES];
        for _ in 0..DRAIN_READS {
            let mut waste = ReadBuf::new(&mut space);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut waste));
            // A connection that the peer has reset is over as well.
            if read.is_err() || waste.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
