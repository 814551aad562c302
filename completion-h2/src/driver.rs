//! The driver of one connection: the future that does all the work, and the only place that completes.
//!
//! # A poll
//!
//! Several passes, each over what the [link](crate::link) says there is to do:
//!
//! 1. take in submissions, let go of cancelled ones ([`intake`]), reset cancelled streams;
//! 2. look at the alarm ([`alarm`]), and fail what is overdue;
//! 3. hand a SETTINGS change to h2 ([`ack`]);
//! 4. look at the streams whose bit is set ([`streams`]): deliver responses, pump request bodies ([`upload`]);
//! 5. open streams for as many waiting requests as the peer's limit permits;
//! 6. poll h2's connection, see what the tap saw, and do 4 and 5 for what that brought.
//!
//! It sleeps when a pass leaves nothing to do, and yields to the executor when there is still something after
//! [`PASSES`]. Submissions taken, streams opened, frames pumped and reads of the transport in one pass are bounded too.
//!
//! # Admission
//!
//! h2 queues streams beyond the peer's limit, where they cannot be taken back and hold connection window, and its
//! readiness does not prevent it when a `SendRequest` is cloned. So there is one `SendRequest`, and the driver counts: a
//! stream is opened only while fewer are under way than the peer permits ([`Streams`]), starting with
//! [`BEFORE_SETTINGS`] until the peer has spoken.
//!
//! The peer's limit does not bound what h2 keeps for a peer that stops reading: a request that it could not write stays with
//! it when it is reset. So a reset has the permit of its stream until the tap has seen it leave, or h2 has nothing more to
//! write.
//!
//! # The end
//!
//! | what happens | what is done |
//! |---|---|
//! | the peer sent GOAWAY | waiting requests fail, retry-safe; streams go on (h2 fails those above last-stream-id) |
//! | writing fails | no more streams are opened; the connection is read to its end ([`salvage`](crate::salvage)) |
//! | reading ends, or h2 finds a fault | no more streams are opened; h2 writes what it has left |
//! | h2's connection is over | what arrived is delivered, everything else fails with the cause |
//! | SETTINGS was not acknowledged in time | everything fails; the tap writes GOAWAY(SETTINGS_TIMEOUT) |
//! | no handles, nothing waiting, no stream | h2 says GOAWAY(NO_ERROR) and closes |
//! | the driver is dropped, or a poll of it unwinds | everything fails |
//!
//! In each case the cause is recorded and the link closed first, then the queues are drained, then streams fail: so also
//! what is submitted at that very moment fails with the cause. What the other side can hold up
//! (reading after writing has failed, writing what is left, closing) is limited by [`GRACE`].

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use h2::Reason;
use h2::client::{Connection, SendRequest};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::SettingsAck;
use crate::client::builder::Options;
use crate::error::{BoxError, Error};
use crate::link::{ConnectionWaker, Events, Link, MAX_STREAMS};
use crate::queue::Acks;
use crate::salvage::{Salvage, SalvageHandle};
use crate::tap::{Tap, TapHandle};
use crate::timer::{Timer, TokioTimer};
use ack::{Ack, Observed};
use intake::Intake;
use streams::Streams;
use upload::Piece;

mod ack;
mod alarm;
pub(crate) mod intake;
mod pieces;
pub(crate) mod slot;
mod streams;
mod upload;

/// Passes in one poll.
const PASSES: usize = 8;
/// Reads of the transport in one poll of h2's connection: some 8 KiB each.
const READS: u32 = 8;
/// Streams opened in one pass.
const OPENINGS: usize = 128;
/// How many streams a client may open before it knows the server's limit (RFC 9113, section 5.1.2, recommends no less).
pub(crate) const BEFORE_SETTINGS: usize = 100;
/// How many requests there is room for from the beginning, here and there; a connection that is replaced often need not
/// grow each time.
const USUAL: usize = 64;
/// How long a connection that can only end may take for it.
const GRACE: Duration = Duration::from_secs(1);

/// The transport as h2 sees it.
type Transport<IO> = Tap<Salvage<IO>>;

/// Runs one connection. A future that somebody has to poll: spawn it on an executor, or await it beside other work.
///
/// Made by [`Builder::handshake`](crate::client::Builder::handshake). It needs nothing from its executor but to be polled
/// when woken; the transport and the [`Timer`] may need more.
///
/// It resolves when the connection has ended: to `Ok` if the last [`Client`](crate::client::Client) was dropped and
/// everything under way was finished, or the peer went away with NO_ERROR; otherwise to what ended it. Each request and
/// body learns the cause as well, so the output may be ignored.
///
/// # Closing
///
/// The connection is closed when the last client was dropped and nothing is under way, and that takes a second at most. A
/// request is under way until its response body was read to the end or dropped, and h2 has taken the last piece of its own
/// body. What h2 has taken waits there for the peer's window and for the transport. So long the request keeps its place among
/// [`max_streams`](crate::client::Builder::max_streams), and its deadline, at which it is reset; but the end does not wait
/// for it: if the peer has answered and is slow to take the rest, that is cut off with the connection, and the output is `Ok`
/// all the same.
///
/// While a response body that failed is neither polled nor dropped, h2 says no GOAWAY, and the connection ends without it
/// after that second.
///
/// # Cancel safety
///
/// Dropping it closes the transport at once; everything submitted fails with kind
/// [`Abandoned`](crate::ErrorKind::Abandoned). The same happens if a poll of it panics, which it does when a request body, a
/// waker or the transport does; also if it is then kept, and a further poll returns that error.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use completion_h2::client::Builder;
/// use http_body_util::Empty;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (io, peer) = tokio::io::duplex(4096);
/// let (client, driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
/// let driver = tokio::spawn(driver);
///
/// drop(peer); // as when a cable is pulled
/// let why = driver.await?.unwrap_err();
/// assert!(why.is_connection_lost());
/// assert!(client.is_closed());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent or received unless the driver is polled"]
pub struct Driver<IO, B: Body, T: Timer = TokioTimer> {
    link: Arc<Link>,
    intake: Intake<B, T>,
    streams: Streams<B>,
    ack: Ack,
    first_ack: Option<SettingsAck>,
    tap: TapHandle,
    salvage: SalvageHandle,
    /// Empty when the driver says goodbye.
    send: Option<SendRequest<Piece<B::Data>>>,
    /// Empty when it is over.
    connection: Option<Connection<Transport<IO>, Piece<B::Data>>>,
    waker: Waker,
    reset_budget: u32,
    /// How many resets were written when last looked.
    resets_written: u32,
    /// How many requests were given up in the queue while resets were waiting for the peer.
    held_up: usize,
    max_streams: usize,
    draining: bool,
    /// A SETTINGS change is to be tried after the next poll of h2's connection.
    settings_wait: bool,
    /// It is being closed from this side, which will come to this.
    closing: Option<Result<(), Error>>,
    /// Until when it may end by itself, since it is to end.
    grace: Option<Instant>,
    /// What h2 says is wrong with it, if it says so before its end.
    fault: Option<h2::Error>,
    /// The alarm went off at the end of a pass.
    due: Option<Instant>,
    result: Option<Result<(), Error>>,
}

/// A transport after the handshake.
pub(crate) struct Shaken<IO, D: bytes::Buf> {
    tap: TapHandle,
    salvage: SalvageHandle,
    send: SendRequest<Piece<D>>,
    connection: Connection<Transport<IO>, Piece<D>>,
    ack: Ack,
    first_ack: SettingsAck,
}

/// Writes the preface, and puts SETTINGS in h2's buffer.
pub(crate) async fn handshake<IO, D>(
    h2: &h2::client::Builder,
    options: &Options,
    acks: &Acks,
    io: IO,
) -> Result<Shaken<IO, D>, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    D: bytes::Buf,
{
    let (io, salvage) = Salvage::new(io);
    let (io, tap) = Tap::new(io);
    // Before any byte of SETTINGS is written.
    let (ack, completion) = Ack::new(acks, options.settings_timeout);
    let shaken = h2.handshake::<_, Piece<D>>(io).await;
    let (send, connection) = shaken.map_err(Error::lost)?;
    Ok(Shaken {
        tap,
        salvage,
        send,
        connection,
        ack,
        first_ack: SettingsAck::new(completion),
    })
}

impl<IO, B: Body, T: Timer> Driver<IO, B, T> {
    /// The acknowledgment of the handshake's SETTINGS, once.
    ///
    /// It may be taken at any time; the driver watches for it from the beginning.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use completion_h2::client::Builder;
    /// use http_body_util::Empty;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (io, peer) = tokio::io::duplex(4096);
    /// # tokio::spawn(async move {
    /// #     let mut server = h2::server::handshake(peer).await.unwrap();
    /// #     while server.accept().await.is_some() {}
    /// # });
    /// let (client, mut driver) = Builder::new().handshake::<_, Empty<Bytes>>(io).await?;
    /// let acknowledged = driver.settings_ack().expect("it was not taken yet");
    /// tokio::spawn(driver);
    /// println!("the peer took {:?}", acknowledged.await?);
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn settings_ack(&mut self) -> Option<SettingsAck> {
        self.first_ack.take()
    }
}

impl<IO, B, T> Driver<IO, B, T>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
    T: Timer,
{
    pub(crate) fn new(
        intake: Intake<B, T>,
        shaken: Shaken<IO, B::Data>,
        options: &Options,
    ) -> Self {
        let link = Arc::clone(&intake.shared.link);
        link.set_tap(shaken.tap.clone());
        shaken.salvage.enable();
        // The intake may have taken this event already.
        link.schedule.tell_connection();
        Self {
            streams: Streams::new(Arc::clone(&link)),
            link: Arc::clone(&link),
            intake,
            ack: shaken.ack,
            first_ack: Some(shaken.first_ack),
            tap: shaken.tap,
            salvage: shaken.salvage,
            send: Some(shaken.send),
            connection: Some(shaken.connection),
            waker: Waker::from(Arc::new(ConnectionWaker(link))),
            reset_budget: options.reset_budget,
            resets_written: 0,
            held_up: 0,
            max_streams: options.max_streams.min(MAX_STREAMS),
            draining: false,
            settings_wait: false,
            closing: None,
            grace: None,
            fault: None,
            due: None,
            result: None,
        }
    }

    fn poll_passes(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        for _ in 0..PASSES {
            if let Some(result) = &self.result {
                return Poll::Ready(result.clone());
            }
            self.pass();
            if self.result.is_none() && self.link.schedule.sleep() {
                return Poll::Pending;
            }
        }
        // We are still awake, so nobody else will wake us.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn pass(&mut self) {
        let events = self.link.schedule.take();
        self.intake.handle(events);
        if events.cancel() {
            self.streams.drop_cancelled();
        }
        let due = self.due.take();
        if let Some(now) = due.or_else(|| self.intake.alarm.poll(events.timer())) {
            self.expire(now);
        }
        if events.settings() {
            self.hand_settings();
        }
        // First those that ended: the next ones get their places.
        self.look(events);
        self.admit();
        if events.connection() || self.link.schedule.take_connection() {
            self.poll_connection();
        }
        self.look(self.link.schedule.take_streams());
        // For the permits that came back.
        self.admit();
        self.watch_budget();
        self.say_goodbye();
        // It may have been armed in this pass; then its sleep does not know us yet. What is due already is for the next
        // pass, which then gives away the places that this frees.
        self.due = self.intake.alarm.poll(false);
        if self.due.is_some() {
            self.link.schedule.tell_timer();
        }
    }

    /// Sees what has become of the streams that want to be looked at.
    fn look(&mut self, events: Events) {
        for index in self.link.schedule.ready(events) {
            self.streams.look(index);
        }
    }

    fn expire(&mut self, now: Instant) {
        // What has arrived wins, also if we come late to both.
        self.poll_connection();
        if self.result.is_some() {
            return;
        }
        if self.grace.is_some_and(|until| until <= now) {
            if self.salvage.is_broken() {
                let cause = Error::of_writing(self.salvage.take_error(), &self.link);
                self.finish_with(cause, false);
            } else {
                let fault = self.fault.take();
                self.finish(fault);
            }
            return;
        }
        if self.ack.is_overdue(now) {
            self.give_up();
        }
        self.intake.expire(now);
        self.streams.expire(now);
        self.rearm();
    }

    /// Arms the alarm, which has gone off, at the earliest deadline of all.
    fn rearm(&mut self) {
        self.intake.rearm();
        let rest = [self.streams.earliest(), self.ack.deadline(), self.grace];
        if let Some(deadline) = rest.into_iter().flatten().min() {
            self.intake.alarm.arm(deadline);
        }
    }

    /// The connection can do no more than to end, which the other side may hold up.
    fn await_end(&mut self) {
        self.spend();
        self.begin_grace();
    }

    /// New requests are better sent elsewhere. A connector that waits for a place here looks for one there.
    fn spend(&self) {
        if self.link.schedule.mark_spent() {
            self.intake.shared.inbox.places.wake_all();
        }
    }

    /// From now on the connection has [`GRACE`] to end by itself.
    fn begin_grace(&mut self) {
        if self.grace.is_none() {
            let now = self.intake.alarm.now();
            let until = now.checked_add(GRACE).unwrap_or(now);
            self.intake.alarm.arm(until);
            self.grace = Some(until);
        }
    }

    /// Opens streams for waiting requests, as the peer's limit permits.
    fn admit(&mut self) {
        if self.intake.is_empty() {
            return;
        }
        if self.draining {
            self.refuse_waiting();
            return;
        }
        let Some(send) = &mut self.send else {
            return;
        };
        if self.grace.is_some() {
            // What is not sent is safe to send elsewhere.
            return;
        }
        let limit = self.max_streams.min(send.current_max_send_streams());
        for _ in 0..OPENINGS {
            if self.streams.len() >= limit {
                return;
            }
            // h2 swallows a request that it does not take, so it is asked first. What makes it ready is a poll of its
            // connection, after which we come here again.
            match self.streams.poll_ready(send) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if !error.is_go_away() && !error.is_io() => {
                    // Stream identifiers are used up (RFC 9113, section 5.1.1).
                    self.spend();
                    let what = "the connection has no stream identifiers left";
                    self.intake
                        .fail_waiting(&Error::abandoned(what).because(error));
                    return;
                }
                // The connection is about to end, which will be told to all. First it writes what it has left.
                Poll::Ready(Err(error)) => {
                    self.fault = Some(error);
                    self.await_end();
                    return;
                }
                Poll::Pending => return,
            }
            let Some(submission) = self.intake.next() else {
                return;
            };
            self.streams.open(send, submission);
        }
        if !self.intake.is_empty() {
            let _ = self.link.schedule.tell_queue();
        }
    }

    /// Fails what waits, because the peer went away.
    fn refuse_waiting(&mut self) {
        if let Some(received) = self.tap.go_away() {
            let error = self.link.farewell(received, || None).retriable(true);
            self.intake.fail_waiting(&error);
        }
    }

    fn poll_connection(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let mut cx = Context::from_waker(&self.waker);
        self.tap.allow_reads(READS);
        let ended = Pin::new(connection).poll(&mut cx);
        if ended.is_pending()
            && let Some(send) = &mut self.send
        {
            // h2's connection has our waker: it is polled again if this leaves it something to do.
            self.streams.let_go_of_opened(send);
        }
        self.give_permits_back();
        let intake = &mut self.intake;
        match self.ack.observe(&self.tap, || intake.alarm.now()) {
            Observed::Nothing => {}
            Observed::Written(limit) => intake.alarm.arm(limit),
            Observed::Acked => self.settings_wait = true,
        }
        if std::mem::take(&mut self.settings_wait) {
            self.hand_settings();
        }
        if let Poll::Ready(result) = ended {
            self.finish(result.err());
            return;
        }
        // Over, although h2 does not say so: it wants to read what there is, or to write what it has left.
        if self.salvage.is_broken() || self.tap.read_eof() {
            self.await_end();
        }
        if !self.draining && self.tap.go_away().is_some() {
            self.draining = true;
            self.link.schedule.mark_draining();
            self.refuse_waiting();
            self.intake.shared.inbox.places.wake_all();
        }
    }

    /// Gives back the permits of resets that were written. h2 writes none for a stream that had just ended, which is known
    /// when it has nothing more to write.
    fn give_permits_back(&mut self) {
        let written = self.tap.resets_written();
        let new = written.wrapping_sub(mem::replace(&mut self.resets_written, written));
        if self.tap.is_blocked() {
            self.streams.were_reset(new as usize);
        } else {
            self.streams.are_written();
        }
    }

    /// Marks the connection if its reset budget is spent. A peer that does not read the resets may permit fewer streams than
    /// that; so requests that are given up in the queue behind them count as well, until it reads.
    fn watch_budget(&mut self) {
        let given_up = mem::take(&mut self.intake.given_up);
        let unwritten = self.streams.resetting();
        self.held_up = if unwritten > 0 && self.tap.is_blocked() {
            self.held_up.saturating_add(given_up)
        } else {
            0
        };
        let resets = (self.tap.resets_written() as usize).saturating_add(unwritten);
        if resets.saturating_add(self.held_up) >= self.reset_budget as usize {
            self.spend();
        }
    }

    /// Hands the next SETTINGS change to h2, if none is outstanding.
    fn hand_settings(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if !self.ack.is_settled() || self.closing.is_some() {
            return;
        }
        let Some(change) = self.intake.shared.pop_change() else {
            return;
        };
        match connection.set_initial_window_size(change.initial_window_size) {
            Ok(()) => {
                self.ack.handed(change.completer);
            }
            // The tap has seen the last acknowledgment before h2 has: it is in h2's buffer, behind a blocked write.
            Err(_) => {
                self.intake.shared.unpop_change(change);
                self.settings_wait = true;
                return;
            }
        }
        // h2 does not do so by itself.
        self.link.schedule.tell_connection();
    }

    /// The connection is over: `error` is h2's last word.
    fn finish(&mut self, error: Option<h2::Error>) {
        let graceful = match (&error, self.tap.go_away()) {
            (None, Some(received)) => Reason::from(received.code) == Reason::NO_ERROR,
            _ => false,
        };
        let cause = Error::of_connection(error, &self.link);
        self.finish_with(cause, graceful);
    }

    fn finish_with(&mut self, cause: Error, graceful: bool) {
        self.connection = None;
        let result = self.closing.take().unwrap_or_else(|| {
            let cause = self.end(cause);
            if graceful { Ok(()) } else { Err(cause) }
        });
        self.result = Some(result);
    }

    /// Fails everything with the cause, which is `error` if there is none yet.
    fn end(&mut self, error: Error) -> Error {
        let cause = self.intake.close(error);
        self.ack.fail(&cause);
        self.send = None;
        self.streams.end(&cause);
        cause
    }

    /// The peer did not acknowledge SETTINGS in time.
    fn give_up(&mut self) {
        let cause = self.end(Ack::timeout());
        self.tap.send_go_away(Reason::SETTINGS_TIMEOUT.into());
        self.close(Err(cause));
    }

    /// Closes if nobody can submit any more and nothing is under way.
    fn say_goodbye(&mut self) {
        if self.closing.is_some()
            || self.result.is_some()
            || !self.intake.is_empty()
            || self.intake.shared.inbox.has_handles()
            || !self.streams.are_over()
        {
            return;
        }
        // What was submitted before the last handle was dropped.
        if self.intake.pull() {
            let _ = self.link.schedule.tell_queue();
            return;
        }
        self.end(Error::abandoned("the connection was closed from this side"));
        self.salvage.linger();
        self.close(Ok(()));
    }

    fn close(&mut self, result: Result<(), Error>) {
        self.closing = Some(result);
        self.begin_grace();
        self.link.schedule.tell_connection();
    }
}

impl<IO, B, T> Future for Driver<IO, B, T>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Not by the drop of a guard: what is failed wakes others, and a panic in a panic would abort.
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            if this.intake.is_polling() {
                // The poll before panicked. If somebody who was woken for that panicked as well, there is a rest.
                this.abandon();
            }
            this.intake.begin(cx.waker());
            this.poll_passes(cx)
        }));
        let result = result.unwrap_or_else(|panicked| {
            this.abandon();
            panic::resume_unwind(panicked)
        });
        this.intake.end();
        Poll::Ready(ready!(result))
    }
}

// Nothing in it is pinned but the sleep, which is boxed.
impl<IO, B: Body, T: Timer> Unpin for Driver<IO, B, T> {}

impl<IO, B: Body, T: Timer> Driver<IO, B, T> {
    /// Fails everything that has not ended, because nobody will poll us any more, or a poll panicked.
    fn abandon(&mut self) {
        if self.result.is_some() {
            return;
        }
        let cause = self.intake.close_dropped();
        self.ack.fail(&cause);
        if self.link.is_unwound() {
            self.streams.forget(&cause);
            mem::forget(self.send.take());
        }
        // h2 ends all streams here. This survives a poisoned lock.
        self.connection = None;
        self.send = None;
        self.streams.end(&cause);
        self.result = Some(Err(cause));
    }
}

impl<IO, B: Body, T: Timer> Drop for Driver<IO, B, T> {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl<IO, B: Body, T: Timer> fmt::Debug for Driver<IO, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("waiting", &self.intake.len())
            .field("streams", &self.streams.len())
            .field("draining", &self.draining)
            .field("peer_ended", &self.tap.read_eof())
            .field("closing", &self.closing.is_some())
            .field("go_away_sent", &self.tap.go_away_sent())
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}
