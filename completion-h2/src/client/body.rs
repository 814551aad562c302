//! The body of a response.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

use crate::driver::slot::{Left, Slot};
use crate::error::Error;

/// The body of a response: data as it arrives, then trailers if there are any.
///
/// Flow control is by use: the peer may send as much again as was taken out of here (RFC 9113, section 5.2). A body that is
/// neither read nor dropped holds its part of the connection's window, and its stream counts against the peer's limit of
/// concurrent streams until it was read to its end or dropped. So do not keep many unread bodies while sending more
/// requests on the same connection.
///
/// # Errors
///
/// A body that was cut off by a reset, a GOAWAY, the loss of the connection or the request's deadline ends in an
/// [`Error`] of that kind, never in a clean end. RST_STREAM(NO_ERROR) after the end of the response is a clean end
/// (RFC 9113, section 8.1). Errors of a body are never retry-safe.
///
/// # Cancel safety
///
/// Dropping it before its end resets the stream with CANCEL.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::client::Builder;
/// use http_body_util::{BodyExt, Empty};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (io, peer) = tokio::io::duplex(4096);
/// # tokio::spawn(async move {
/// #     let mut server = h2::server::handshake(peer).await.unwrap();
/// #     while let Some(Ok((_, mut respond))) = server.accept().await {
/// #         let mut body = respond.send_response(http::Response::new(()), false).unwrap();
/// #         body.send_data("hello".into(), true).unwrap();
/// #     }
/// # });
/// # let (client, driver) = Builder::new().handshake(io).await?;
/// # tokio::spawn(driver);
/// let request = http::Request::get("http://localhost/").body(Empty::<Bytes>::new())?;
/// let mut body = client.request(request).await?.into_body();
/// let mut length = 0;
/// while let Some(frame) = body.frame().await {
///     if let Ok(data) = frame?.into_data() {
///         length += data.len(); // the peer may send as much again
///     }
/// }
/// assert_eq!(length, 5);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping a body before its end resets the stream"]
pub struct ResponseBody {
    state: State,
    /// By content-length; `None` if it did not say.
    left: Option<u64>,
}

enum State {
    Open(Open),
    Ended,
    Failed,
}

/// A stream that may still bring something. Its slot, and with it a stream's permit, is held until it is dropped.
struct Open {
    /// Empty only in `drop`.
    recv: Option<RecvStream>,
    slot: Arc<Slot>,
    /// The waker that h2 gets: the slot's, not the caller's. See the module documentation of `driver::slot`.
    waker: Waker,
    data_ended: bool,
}

impl ResponseBody {
    /// Of a response that ended with its head.
    pub(crate) fn empty() -> Self {
        Self {
            state: State::Ended,
            left: Some(0),
        }
    }

    /// Of a response of which `left` bytes are announced. Ends the slot's stream.
    pub(crate) fn new(recv: RecvStream, slot: Arc<Slot>, left: Option<u64>) -> Self {
        let waker = Waker::from(Arc::clone(&slot));
        Self {
            state: State::Open(Open {
                recv: Some(recv),
                slot,
                waker,
                data_ended: false,
            }),
            left,
        }
    }
}

impl Open {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self {
            recv: Some(recv),
            slot,
            waker,
            data_ended,
        } = self
        else {
            return Poll::Ready(None);
        };
        if let Some(error) = slot.gone() {
            return Poll::Ready(Some(Err(error)));
        }
        slot.register(cx.waker());
        let polled = slot.link().schedule.quietly(|| {
            let mut cx = Context::from_waker(waker);
            if !*data_ended {
                match ready!(recv.poll_data(&mut cx)) {
                    Some(Ok(data)) => {
                        // An error means that the stream is closed, and wants no more.
                        let _ = recv.flow_control().release_capacity(data.len());
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => *data_ended = true,
                }
            }
            let trailers = ready!(recv.poll_trailers(&mut cx));
            Poll::Ready(trailers.transpose().map(|it| it.map(Frame::trailers)))
        });
        match polled {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    let ours = slot.failure();
                    ours.unwrap_or_else(|| Error::of_stream(error, slot.link()))
                })
            })),
            // Whoever fails the slot or closes the link wakes us afterwards; who did it before our registration is seen here.
            Poll::Pending => match slot.failure().or_else(|| slot.link().end()) {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => Poll::Pending,
            },
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let State::Open(open) = &mut self.state else {
            return Poll::Ready(None);
        };
        let frame = ready!(open.poll(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
                    *left = left.saturating_sub(data.len() as u64);
                }
                if frame.is_trailers() {
                    self.state = State::Ended;
                }
            }
            Some(Err(_)) => self.state = State::Failed,
            None => self.state = State::Ended,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Open(open) => {
                open.slot.gone().is_none()
                    && open.recv.as_ref().is_some_and(RecvStream::is_end_stream)
            }
            State::Ended => true,
            State::Failed => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.state, self.left) {
            (State::Ended, _) => SizeHint::with_exact(0),
            (_, Some(left)) => SizeHint::with_exact(left),
            (_, None) => SizeHint::default(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(recv) = self.recv.take() else {
            return;
        };
        if self.slot.link().is_unwound() {
            // h2's lock may be poisoned, on which its handles panic. The driver is gone, so only memory is lost.
            mem::forget(recv);
        } else {
            let left = self.slot.link().schedule.quietly(|| leave(recv));
            self.slot.leave(left);
        }
    }
}

/// Lets go of a stream, and finds out whether that cuts it off.
fn leave(mut recv: RecvStream) -> Left {
    // What came in already stands between us and the answer. It is bounded by the stream's window.
    let mut cx = Context::from_waker(Waker::noop());
    let mut length = 0;
    let left = loop {
        match recv.poll_data(&mut cx) {
            Poll::Ready(Some(Ok(data))) => length += data.len(),
            Poll::Ready(None | Some(Err(_))) => break Left::Ended,
            Poll::Pending => break Left::Early,
        }
    };
    // h2 would give the connection's window back only with the last handle, which an upload may hold for long. Not piece by
    // piece, which would let more come in meanwhile.
    let _ = recv.flow_control().release_capacity(length);
    left
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Open(_) => "open",
            State::Ended => "ended",
            State::Failed => "failed",
        };
        f.debug_struct("ResponseBody")
            .field("state", &state)
            .field("left", &self.left)
            .finish()
    }
}

/// How many bytes the head of a response announces.
pub(crate) fn announced(head: &http::response::Parts) -> Option<u64> {
    if matches!(
        head.status,
        http::StatusCode::NO_CONTENT | http::StatusCode::NOT_MODIFIED
    ) {
        return None;
    }
    let length = head.headers.get(http::header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}
