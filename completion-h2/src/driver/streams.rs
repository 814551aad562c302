//! The streams under way: a slab with a reusable waker per place, of which only those are looked at whose bit is set.
//!
//! A stream holds its place, and so its permit, until both sides have ended: its request body has left, and its response
//! body was read to the end or dropped. What h2 has taken of a body may wait there for the peer's window long after the
//! response; the place's [`Slot`] knows. The stream keeps h2's `SendStream` that long, so that it can be reset at any time.
//! (Trailers are not counted: they need no window, and leave before the data of the request that gets the permit next.)
//!
//! A stream that is reset frees its place, but its RST_STREAM has the permit until it is written: until then h2 may have to
//! keep the request, too.
//!
//! | has | until |
//! |---|---|
//! | `completer`, `response` | the head of the response is there, or the request failed |
//! | `uploading` | h2 has taken the last of the request body, or the peer wants no more of it |
//! | `receiving` | the response body has left ([`Slot::leave`]) |
//! | nothing of these | h2 holds no piece of the request body ([`Slot::awaits_pieces`]) |
//!
//! Completing runs the waiter's waker, hence anything; it is always done last, when the place is in order again.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use h2::{Reason, SendStream};
use http::{Method, Request, Response};
use http_body::Body;

use crate::client::{ResponseBody, announced};
use crate::driver::USUAL;
use crate::driver::slot::{Left, Slot};
use crate::driver::upload::{Piece, Pumped, Upload};
use crate::error::{BoxError, Error, Failure, Returned};
use crate::link::Link;
use crate::queue::{Reply, ReplyCompleter, Submission};

pub(crate) struct Streams<B: Body> {
    link: Arc<Link>,
    places: Vec<Place<B>>,
    free: Vec<usize>,
    /// To be reset once h2 has nothing in hand. Each has a permit.
    doomed: Vec<SendStream<Piece<B::Data>>>,
    /// Resets that h2 may have to write yet. Each has a permit.
    resetting: usize,
    /// The stream opened last, while h2's `SendRequest` may have a handle to it.
    opened: Option<usize>,
}

struct Place<B: Body> {
    slot: Arc<Slot>,
    waker: Waker,
    stream: Option<Stream<B>>,
}

struct Stream<B: Body> {
    completer: Option<ReplyCompleter<B>>,
    response: Option<h2::client::ResponseFuture>,
    send: SendStream<Piece<B::Data>>,
    /// Kept while the request could be sent again.
    upload: Option<Upload<B>>,
    uploading: bool,
    receiving: bool,
    /// The request's method: its response has no body, whatever its content-length says.
    is_head: bool,
    deadline: Option<Instant>,
}

impl<B: Body> Place<B> {
    fn new(link: &Arc<Link>, index: usize) -> Self {
        let slot = Slot::new(Arc::clone(link), index);
        Self {
            waker: Waker::from(Arc::clone(&slot)),
            slot,
            stream: None,
        }
    }

    /// Whether h2 holds nothing of the request body. If it does, the driver is told when that has left.
    fn has_left(&self) -> bool {
        !self.slot.awaits_pieces()
    }
}

impl<B: Body> Stream<B> {
    /// Whether nothing is to come, if h2 holds nothing of the request body.
    fn is_over(&self) -> bool {
        self.completer.is_none() && !self.uploading && !self.receiving
    }

    /// What is left of the request if the peer did not process it.
    fn take_body(&mut self) -> Returned<B> {
        let untouched = self.upload.take().and_then(Upload::into_untouched);
        untouched.map_or(Returned::Nothing, Returned::Body)
    }
}

impl<B: Body> Streams<B> {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            places: Vec::with_capacity(USUAL),
            free: Vec::with_capacity(USUAL),
            doomed: Vec::new(),
            resetting: 0,
            opened: None,
        }
    }

    /// How many permits are taken.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len() + self.resetting()
    }

    /// How many of them are taken by resets that have to be written yet.
    pub(crate) fn resetting(&self) -> usize {
        self.resetting + self.doomed.len()
    }

    /// So many resets were written.
    pub(crate) fn were_reset(&mut self, count: usize) {
        self.resetting = self.resetting.saturating_sub(count);
    }

    /// h2 has written all it could: no reset waits to be written, and no piece is in its hands.
    pub(crate) fn are_written(&mut self) {
        self.resetting = 0;
        for send in mem::take(&mut self.doomed) {
            self.reset(send);
        }
    }

    /// Whether nothing is to come but that h2 lets go of what it has.
    pub(crate) fn are_over(&self) -> bool {
        let mut streams = self.places.iter().filter_map(|it| it.stream.as_ref());
        streams.all(Stream::is_over)
    }

    /// Whether h2 takes another request.
    pub(crate) fn poll_ready(
        &mut self,
        send: &mut h2::client::SendRequest<Piece<B::Data>>,
    ) -> Poll<Result<(), h2::Error>> {
        // If it is not ready, the waker takes the place of the one that the last stream's upload left.
        let waker = match self.opened {
            Some(index) => &self.places[index].waker,
            None => Waker::noop(),
        };
        let ready = send.poll_ready(&mut Context::from_waker(waker));
        if let Poll::Ready(outcome) = &ready {
            self.opened = None;
            if outcome.is_err() {
                // It still has the handle then, and a clone has none.
                *send = send.clone();
            }
        }
        ready
    }

    /// Has h2's `SendRequest` drop its handle to the stream opened last, once that is sent. To one that fills the peer's
    /// limit it keeps a handle until it is asked whether there is room for another; and a stream with a handle is not
    /// reset when its others are dropped, and what it has received holds the connection's window.
    pub(crate) fn let_go_of_opened(&mut self, send: &mut h2::client::SendRequest<Piece<B::Data>>) {
        if self.opened.is_some() {
            // What else it says is asked again where it matters.
            let _ = self.poll_ready(send);
        }
    }

    fn stream(&mut self, index: usize) -> Option<&mut Stream<B>> {
        self.places.get_mut(index)?.stream.as_mut()
    }

    fn look_at_body(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let Some(stream) = &mut place.stream else {
            return;
        };
        if !stream.receiving {
            return;
        }
        match place.slot.take_left() {
            None => place.slot.wake_body(),
            Some(Left::Ended) => stream.receiving = false,
            Some(Left::Early) => self.cancel(index),
        }
    }

    fn look_at_response(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let Some(stream) = &mut place.stream else {
            return;
        };
        let Some(response) = &mut stream.response else {
            return;
        };
        let mut cx = Context::from_waker(&place.waker);
        match Pin::new(response).poll(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(response)) => self.deliver(index, response),
            Poll::Ready(Err(error)) => {
                let id = stream.send.stream_id().as_u32();
                let error = Error::of_request(error, &self.link, id);
                let returned = if error.is_retry_safe() {
                    stream.take_body()
                } else {
                    Returned::Nothing
                };
                let completer = stream.completer.take();
                self.remove(index);
                if let Some(completer) = completer {
                    let _ = completer.fail(Failure::new(error, returned));
                }
            }
        }
    }

    fn deliver(&mut self, index: usize, response: Response<h2::RecvStream>) {
        let place = &mut self.places[index];
        let Some(stream) = &mut place.stream else {
            return;
        };
        stream.response = None;
        let (head, recv) = response.into_parts();
        let body = if recv.is_end_stream() {
            drop(recv);
            ResponseBody::empty()
        } else {
            stream.receiving = true;
            let announced = announced(&head).filter(|_| !stream.is_head);
            ResponseBody::new(recv, Arc::clone(&place.slot), announced)
        };
        let completer = stream.completer.take();
        if !stream.uploading {
            stream.upload = None;
        }
        self.remove_if_over(index);
        if let Some(completer) = completer {
            complete(completer, Response::from_parts(head, body));
        }
    }

    /// Resets a stream, and fails what waits for it.
    fn fail(&mut self, index: usize, error: Error) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let has_left = place.has_left();
        let Some(mut stream) = place.stream.take() else {
            return;
        };
        self.free.push(index);
        // The body may live on for as long as its owner likes, so the place gets another slot.
        let orphan = stream.receiving.then(|| {
            let new = Place::new(&self.link, index);
            mem::replace(place, new).slot
        });
        // Before a body that is read just now can see the reset, and take it for the peer's doing.
        if let Some(slot) = &orphan {
            slot.fail(error.clone());
        }
        let completer = stream.completer.take();
        self.doom(stream, has_left);
        if let Some(slot) = orphan {
            slot.wake_body();
        }
        if let Some(completer) = completer {
            let _ = completer.fail(Failure::new(error, Returned::Nothing));
        }
    }

    /// Resets those whose response nobody waits for.
    pub(crate) fn drop_cancelled(&mut self) {
        for index in 0..self.places.len() {
            if let Some(stream) = self.stream(index)
                && let Some(completer) = &stream.completer
                && completer.is_closed()
            {
                self.cancel(index);
            }
        }
    }

    fn is_overdue(&mut self, index: usize, now: Instant) -> bool {
        let deadline = self.stream(index).and_then(|stream| stream.deadline);
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The earliest deadline.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        let streams = self.places.iter().filter_map(|it| it.stream.as_ref());
        streams.filter_map(|stream| stream.deadline).min()
    }

    /// The connection is over, and the link closed: hands out what had arrived, and fails the rest.
    pub(crate) fn end(&mut self, cause: &Error) {
        for index in 0..self.places.len() {
            self.look_at_response(index);
            let Some(place) = self.places.get_mut(index) else {
                continue;
            };
            let Some(mut stream) = place.stream.take() else {
                continue;
            };
            self.free.push(index);
            let receiving = stream.receiving.then(|| Arc::clone(&place.slot));
            let completer = stream.completer.take();
            drop(stream);
            finish(receiving, completer, cause);
        }
        self.doomed.clear();
    }

    /// Like `end`, without touching h2: its lock may be poisoned, on which its handles panic, also when dropped.
    pub(crate) fn forget(&mut self, cause: &Error) {
        for place in &mut self.places {
            let Some(mut stream) = place.stream.take() else {
                continue;
            };
            let receiving = stream.receiving.then(|| Arc::clone(&place.slot));
            let completer = stream.completer.take();
            mem::forget(stream.response.take());
            mem::forget(stream.send);
            finish(receiving, completer, cause);
        }
        self.free = (0..self.places.len()).collect();
        mem::take(&mut self.doomed)
            .into_iter()
            .for_each(mem::forget);
    }

    /// Resets a stream for which nobody waits. The drop of its handles would do, but for one that both sides have ended of
    /// which h2 holds a piece: that would stay until the connection ends.
    fn cancel(&mut self, index: usize) {
        let place = &mut self.places[index];
        let has_left = place.has_left();
        if let Some(stream) = place.stream.take() {
            self.free.push(index);
            self.doom(stream, has_left);
        }
    }

    /// Resets a stream that was taken from its place. If h2 has all of its upload, that must wait until it is known to have
    /// no piece in hand: of a stream that both sides have ended it forgets a reset that comes while it writes the last one.
    fn doom(&mut self, stream: Stream<B>, has_left: bool) {
        if stream.uploading || has_left {
            self.reset(stream.send);
        } else {
            self.doomed.push(stream.send);
            self.link.schedule.tell_connection();
        }
    }

    /// h2 does not write a reset if the stream had just ended: a poll of its connection will tell.
    fn reset(&mut self, mut send: SendStream<Piece<B::Data>>) {
        send.send_reset(Reason::CANCEL);
        self.resetting += 1;
        self.link.schedule.tell_connection();
    }

    fn remove_if_over(&mut self, index: usize) {
        if let Some(place) = self.places.get(index)
            && let Some(stream) = &place.stream
            && stream.is_over()
            && place.has_left()
        {
            self.remove(index);
        }
    }

    /// Drops h2's handles.
    fn remove(&mut self, index: usize) {
        self.places[index].stream = None;
        self.free.push(index);
    }
}

impl<B> Streams<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// Opens a stream.
    pub(crate) fn open(
        &mut self,
        send: &mut h2::client::SendRequest<Piece<B::Data>>,
        submission: Submission<B>,
    ) {
        let Submission {
            request,
            deadline,
            completer,
        } = submission;
        let (head, body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        let uploading = !body.is_end_stream();
        let (response, send) = match send.send_request(Request::from_parts(head, ()), !uploading) {
            Ok(stream) => stream,
            Err(error) => {
                let error = Error::of_sending(error);
                let _ = completer.fail(Failure::new(error, Returned::Nothing));
                return;
            }
        };
        let stream = Stream {
            completer: Some(completer),
            response: Some(response),
            send,
            upload: Some(Upload::new(body)),
            uploading,
            receiving: false,
            is_head,
            deadline,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::new(&self.link, self.places.len()));
            self.places.len() - 1
        });
        self.places[index].stream = Some(stream);
        self.opened = Some(index);
        // Registers our waker.
        self.look(index);
    }

    /// Sees what has become of a stream.
    pub(crate) fn look(&mut self, index: usize) {
        self.look_at_body(index);
        self.look_at_response(index);
        self.look_at_upload(index);
        self.remove_if_over(index);
    }

    fn look_at_upload(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let Some(stream) = &mut place.stream else {
            return;
        };
        let (true, Some(upload)) = (stream.uploading, &mut stream.upload) else {
            return;
        };
        let mut cx = Context::from_waker(&place.waker);
        match upload.pump(&mut stream.send, &place.slot, &mut cx) {
            Pumped::Waiting => {}
            Pumped::Yielded => self.link.schedule.tell_slot(index),
            Pumped::Done => {
                let resendable = !upload.is_touched() && stream.completer.is_some();
                stream.uploading = false;
                if !resendable {
                    stream.upload = None;
                }
            }
            Pumped::Failed(error) => self.fail(index, error),
        }
    }

    /// Fails those whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        for index in 0..self.places.len() {
            if self.is_overdue(index, now) {
                // What has arrived wins.
                self.look(index);
                if self.is_overdue(index, now) {
                    self.fail(index, Error::timeout());
                }
            }
        }
    }
}

/// The call that all responses go through: without it, no request ever gets its answer.
fn complete<B>(completer: ReplyCompleter<B>, reply: Reply) {
    // Rejected means that nobody waits any more; the drop of the body says so to the stream.
    drop(completer.complete(reply));
}

/// Tells whoever waits for an ended stream.
fn finish<B>(receiving: Option<Arc<Slot>>, completer: Option<ReplyCompleter<B>>, cause: &Error) {
    if let Some(slot) = receiving {
        slot.wake_body();
    }
    if let Some(completer) = completer {
        let _ = completer.fail(Failure::new(cause.clone(), Returned::Nothing));
    }
}
