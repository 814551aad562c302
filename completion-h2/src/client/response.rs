//! The future of a response's head.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use completion_core::CompletionError;
use http::Request;

use crate::error::{Error, Failure, Returned};
use crate::queue::places::Ticket;
use crate::queue::{Reply, ReplyCompletion, Shared};

/// Waits for the head of a response. Made by [`Client::request`](super::Client::request).
///
/// # Errors
///
/// An [`Error`] that says what happened, and whether the request may be sent again.
///
/// # Cancel safety
///
/// Dropping it cancels the request: what still waits for a stream is never sent, and a stream under way is reset with
/// CANCEL. A response that was there already is dropped, with its body.
///
/// # Panics
///
/// Polling again after the outcome was returned panics.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::client::Builder;
/// use futures_lite::future::or;
/// use http_body_util::Empty;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (io, _slow) = tokio::io::duplex(4096);
/// let (client, driver) = Builder::new().handshake(io).await?;
/// tokio::spawn(driver);
///
/// let response = client.request(http::Request::new(Empty::<Bytes>::new()));
/// let user_gives_up = async { None };
/// let outcome = or(async { Some(response.await) }, user_gives_up).await;
/// assert!(outcome.is_none()); // and the request was cancelled
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the future cancels the request"]
pub struct ResponseFuture<B> {
    shared: Arc<Shared<B>>,
    state: State<B>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a full queue is no reason to allocate"
)]
enum State<B> {
    /// The queue is full.
    Waiting {
        request: Request<B>,
        deadline: Option<Instant>,
        ticket: Ticket,
    },
    Submitted(ReplyCompletion<B>),
    Done,
}

// Nothing in it is pinned: the request is only moved.
impl<B> Unpin for ResponseFuture<B> {}

impl<B> ResponseFuture<B> {
    /// Submits, or lets the future wait for a place.
    pub(super) fn submit(
        shared: Arc<Shared<B>>,
        request: Request<B>,
        deadline: Option<Instant>,
    ) -> Self {
        if shared.inbox.places.try_take() {
            return Self::submit_in_place(shared, request, deadline);
        }
        // Until it is submitted, the driver does not know of it.
        shared.inbox.add_handle();
        let state = State::Waiting {
            request,
            deadline,
            ticket: Ticket::default(),
        };
        Self { shared, state }
    }

    /// Submits on a place that the caller has taken.
    pub(super) fn submit_in_place(
        shared: Arc<Shared<B>>,
        request: Request<B>,
        deadline: Option<Instant>,
    ) -> Self {
        let state = State::Submitted(shared.submit(request, deadline));
        Self { shared, state }
    }

    /// Like `poll`, with what is left of a failed request.
    #[track_caller]
    pub(super) fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Failure<B>>> {
        if let State::Waiting {
            deadline, ticket, ..
        } = &mut self.state
        {
            let placed = ready!(self.shared.poll_place(ticket, *deadline, cx));
            if let State::Waiting {
                request, deadline, ..
            } = std::mem::replace(&mut self.state, State::Done)
            {
                let failed = match placed {
                    Ok(()) => {
                        self.state = State::Submitted(self.shared.submit(request, deadline));
                        None
                    }
                    Err(error) => Some(Failure::unsent(error, request)),
                };
                self.shared.drop_handle();
                if let Some(failure) = failed {
                    return Poll::Ready(Err(failure));
                }
            }
        }
        let State::Submitted(completion) = &mut self.state else {
            panic!("`ResponseFuture` polled after it returned its outcome");
        };
        let outcome = ready!(Pin::new(completion).poll(cx));
        self.state = State::Done;
        Poll::Ready(outcome.map_err(|error| match error {
            CompletionError::Failed(failure) => failure,
            CompletionError::Cancelled | CompletionError::Abandoned => {
                let error = Error::abandoned("the request was lost with its driver");
                Failure::new(error, Returned::Nothing)
            }
        }))
    }
}

impl<B> Future for ResponseFuture<B> {
    type Output = Result<Reply, Error>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.poll_outcome(cx));
        Poll::Ready(outcome.map_err(|failure| failure.error))
    }
}

impl<B> Drop for ResponseFuture<B> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting { mut ticket, .. } => {
                self.shared.inbox.places.leave(&mut ticket);
                self.shared.drop_handle();
            }
            State::Submitted(completion) => {
                // First close the round, then have the driver look for closed ones.
                drop(completion);
                self.shared.link.schedule.tell_cancel();
            }
            State::Done => {}
        }
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting { .. } => "waiting for a place in the queue",
            State::Submitted(_) => "submitted",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish()
    }
}
