//! Request bodies: pumped from the driver's slab, one frame after the other.
//!
//! The first frame is asked for only when there is room for a byte of it, so a body is untouched, and its request can be
//! sent again, until the peer's window is open. Later frames are asked for ahead and held until there is room: the end
//! and trailers need none (RFC 9113, section 6.9.1), and a peer that gives back its window only at the end must see it.
//! Room is reserved for as much as there is to send: h2 would fill a smaller reservation with a smaller frame. A body that
//! has nothing yet holds none, because the connection's window is everybody's.
//! What h2 buffers of a stream is bounded by one frame of its body; the rest of one that is reset h2 drops under its lock, so
//! the drop of a body's data must not call the client. A body that ends with its last data frame ends the
//! stream in that frame.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use h2::SendStream;
use http_body::{Body, Frame};

use crate::driver::slot::{Hold, Slot};
use crate::error::{BoxError, Error, ErrorKind};

/// Frames pumped for one stream before others get their turn.
const FRAMES: usize = 16;
/// Room reserved at most for a frame of which only the body's size hint is known.
const AHEAD: usize = 1 << 14;
/// The largest flow-control window (RFC 9113, section 6.9.1): to reserve more is of no use.
const MAX_WINDOW: usize = i32::MAX as usize;

/// What h2 sends: a piece of a body, or without data the end of one that did not know its end before.
pub(crate) struct Piece<D> {
    data: Option<D>,
    /// Dropped after the data.
    _hold: Hold,
}

impl<D> Piece<D> {
    fn new(data: Option<D>, slot: &Arc<Slot>) -> Self {
        let _hold = slot.hold();
        Self { data, _hold }
    }
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.as_ref().map_or(0, Buf::remaining)
    }

    fn chunk(&self) -> &[u8] {
        self.data.as_ref().map_or(&[], Buf::chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let data = self.data.as_ref();
        data.map_or(0, |data| data.chunks_vectored(slices))
    }

    fn advance(&mut self, count: usize) {
        match &mut self.data {
            Some(data) => data.advance(count),
            None => assert_eq!(count, 0, "cannot advance past the end"),
        }
    }
}

/// A request body on its way.
pub(crate) struct Upload<B: Body> {
    body: B,
    touched: bool,
    /// Data that waits for room, and whether it is the last.
    held: Option<(B::Data, bool)>,
}

/// What came of pumping.
pub(crate) enum Pumped {
    /// The body, or the window, or the peer will wake us.
    Waiting,
    /// There may be more at once, but it is the others' turn.
    Yielded,
    /// h2 has all there is: the body is over, or the peer wants no more of it.
    Done,
    /// The body failed.
    Failed(Error),
}

impl<B: Body> Upload<B> {
    pub(crate) fn new(body: B) -> Self {
        Self {
            body,
            touched: false,
            held: None,
        }
    }

    /// Whether the body gave something away, so that the request cannot be sent again.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// The body, if it is as good as new.
    pub(crate) fn into_untouched(self) -> Option<B> {
        (!self.touched).then_some(self.body)
    }
}

impl<B> Upload<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// How much room the next step needs; `None` if it needs none.
    fn wanted(&self) -> Option<usize> {
        match &self.held {
            Some((data, _)) => Some(data.remaining()),
            None if self.touched => None,
            None => {
                let least = usize::try_from(self.body.size_hint().lower());
                Some(least.unwrap_or(AHEAD).min(AHEAD))
            }
        }
    }

    pub(crate) fn pump(
        &mut self,
        send: &mut SendStream<Piece<B::Data>>,
        slot: &Arc<Slot>,
        cx: &mut Context<'_>,
    ) -> Pumped {
        if send.poll_reset(cx).is_ready() {
            // The response's future, or its body, tells what there is to tell.
            return Pumped::Done;
        }
        for _ in 0..FRAMES {
            if let Some(size) = self.wanted() {
                match poll_room(send, size, cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Pumped::Done,
                    Poll::Pending => return Pumped::Waiting,
                }
            }
            let sent = if let Some((data, end)) = self.held.take() {
                let piece = Piece::new(Some(data), slot);
                send.send_data(piece, end).map(|()| end)
            } else {
                let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => {
                        send.reserve_capacity(0);
                        return Pumped::Waiting;
                    }
                };
                self.touched = true;
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(data))) => {
                        let end = self.body.is_end_stream();
                        // An empty frame in the middle would be noise to the peer; an empty end needs no room.
                        match (data.has_remaining(), end) {
                            (true, _) => self.held = Some((data, end)),
                            (false, true) => {
                                return end_of(send.send_data(Piece::new(None, slot), true));
                            }
                            (false, false) => {}
                        }
                        Ok(false)
                    }
                    Some(Ok(Err(frame))) => match frame.into_trailers() {
                        Ok(trailers) => return end_of(send.send_trailers(trailers)),
                        // Some later kind of frame, which HTTP/2 knows nothing of.
                        Err(_) => Ok(false),
                    },
                    Some(Err(error)) => {
                        return Pumped::Failed(Error::new(ErrorKind::Body).because(error));
                    }
                    None => return end_of(send.send_data(Piece::new(None, slot), true)),
                }
            };
            match sent {
                Ok(true) => return Pumped::Done,
                Ok(false) => {}
                Err(error) => return end_of(Err(error)),
            }
        }
        Pumped::Yielded
    }
}

/// The upload is over. Errors are trailers with forbidden fields (RFC 9113, section 8.2.2) or a frame beyond h2's limit; a
/// stream that was closed by the peer does not come this far.
fn end_of(sent: Result<(), h2::Error>) -> Pumped {
    match sent {
        Ok(()) => Pumped::Done,
        Err(error) => Pumped::Failed(Error::of_sending(error)),
    }
}

/// Waits for room in the windows, for `size` bytes or less. `false` means that the peer wants no more.
fn poll_room<D: Buf>(
    send: &mut SendStream<Piece<D>>,
    size: usize,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    send.reserve_capacity(size.clamp(1, MAX_WINDOW));
    while send.capacity() == 0 {
        match send.poll_capacity(cx) {
            // This says "it has changed"; only `capacity` says to what.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(true)
}
