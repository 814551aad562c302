//! What every contestant must be able to do, and the contestants: three forms of ours, and seven peers.

use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use completion_core::{Completer, Completion, CompletionError, CompletionSource, Pool};
use crossbeam_queue::ArrayQueue;
use events_once::{
    Disconnected, EmbeddedEvent, Event, EventPool, PooledReceiver, PooledSender, RawReceiver,
    RawSender,
};

/// What a round carries. `Sync` is asked for by events_once alone, for a pool that threads share.
pub(crate) trait Payload: Send + Sync + 'static {
    const NAME: &'static str;
    fn make(seed: u64) -> Self;
}

impl Payload for u64 {
    const NAME: &'static str = "u64";

    #[inline(always)]
    fn make(seed: u64) -> Self {
        seed
    }
}

impl Payload for [u64; 16] {
    const NAME: &'static str = "128 bytes";

    #[inline(always)]
    fn make(seed: u64) -> Self {
        [seed; 16]
    }
}

/// What an HTTP client answers with.
pub(crate) type Reply = Result<http::Response<()>, Box<dyn Error + Send + Sync>>;

impl Payload for Reply {
    const NAME: &'static str = "Result<http::Response<()>, Box<dyn Error + Send + Sync>>";

    #[inline(always)]
    fn make(_seed: u64) -> Self {
        Ok(http::Response::new(()))
    }
}

/// A one-shot, or something that serves as one.
///
/// Everything is inlined into the rounds, so that a contestant pays for its own calls and for no others.
pub(crate) trait Contestant<P: Payload>: Sync {
    const NAME: &'static str;

    /// What is kept for each round under way, and used again by the next: the memory of what lives in place, nothing
    /// for what is pooled or boxed.
    type Place: Send;
    type Sender<'a>: Send
    where
        Self: 'a;
    type Failure;
    type Receiver<'a>: Future<Output = Result<P, Self::Failure>> + Unpin + Send
    where
        Self: 'a;

    fn new() -> Self;
    fn place(&self) -> Self::Place;
    fn open<'a>(&'a self, place: &'a mut Self::Place) -> (Self::Sender<'a>, Self::Receiver<'a>);
    /// Completes the round. What comes back because nobody waits is dropped.
    fn send(sender: Self::Sender<'_>, payload: P);
    /// The round is over, and both its handles are gone.
    #[inline(always)]
    fn close(&self, _place: &mut Self::Place) {}
}

/// As many sources as any round has under way, and some more.
const CAPACITY: u16 = 256;

/// The error that a round of ours could fail with: one word.
type Failure = usize;

/// Sources of a pool.
pub(crate) struct Pooled<P>(Pool<P, Failure>);

impl<P: Payload> Contestant<P> for Pooled<P> {
    const NAME: &'static str = "completion-core pooled";
    type Place = ();
    type Sender<'a> = Completer<'static, P, Failure>;
    type Failure = CompletionError<Failure>;
    type Receiver<'a> = Completion<'static, P, Failure>;

    fn new() -> Self {
        Self(Pool::with_capacity(CAPACITY))
    }

    fn place(&self) -> Self::Place {}

    #[inline(always)]
    fn open<'a>(&'a self, (): &'a mut ()) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        self.0.rent()
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        let _unheard = sender.complete(payload);
    }
}

/// Channels that are made for each round: nothing is kept between two.
macro_rules! channels {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $channel:path, $sender:ty, $receiver:ty, $failure:ty;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl<P: Payload> Contestant<P> for $name {
            const NAME: &'static str = $text;
            type Place = ();
            type Sender<'a> = $sender;
            type Failure = $failure;
            type Receiver<'a> = $receiver;

            fn new() -> Self {
                Self
            }

            fn place(&self) -> Self::Place {}

            #[inline(always)]
            fn open<'a>(&'a self, (): &'a mut ()) -> (Self::Sender<'a>, Self::Receiver<'a>) {
                $channel()
            }

            #[inline(always)]
            fn send(sender: Self::Sender<'_>, payload: P) {
                let _unheard = sender.send(payload);
            }
        }
    )*};
}

channels! {
    /// Our one-shot: every round has a box of its own.
    Boxed = "completion-core oneshot": completion_core::oneshot::channel,
        completion_core::oneshot::Sender<P>,
        completion_core::oneshot::Receiver<P>,
        completion_core::oneshot::error::RecvError;
    /// Tokio's one-shot, outside its runtime: no cooperative budget is spent.
    Tokio = "tokio": tokio::sync::oneshot::channel,
        tokio::sync::oneshot::Sender<P>,
        tokio::sync::oneshot::Receiver<P>,
        tokio::sync::oneshot::error::RecvError;
    /// The one-shot of futures-channel.
    Futures = "futures-channel": futures_channel::oneshot::channel,
        futures_channel::oneshot::Sender<P>,
        futures_channel::oneshot::Receiver<P>,
        futures_channel::oneshot::Canceled;
    /// The `oneshot` crate.
    OneShot = "oneshot": oneshot::async_channel,
        oneshot::Sender<P>,
        oneshot::AsyncReceiver<P>,
        oneshot::RecvError;
}

/// A source where the operation lives.
pub(crate) struct InPlace;

impl<P: Payload> Contestant<P> for InPlace {
    const NAME: &'static str = "completion-core in place";
    type Place = CompletionSource<P, Failure>;
    type Sender<'a> = Completer<'a, P, Failure>;
    type Failure = CompletionError<Failure>;
    type Receiver<'a> = Completion<'a, P, Failure>;

    fn new() -> Self {
        Self
    }

    fn place(&self) -> Self::Place {
        CompletionSource::new()
    }

    #[inline(always)]
    fn open<'a>(&'a self, place: &'a mut Self::Place) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        place.begin_mut().expect("versions are not used up")
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        let _unheard = sender.complete(payload);
    }
}

/// Our sources with the free list that comes to mind first.
pub(crate) struct Queued<P>(ArrayQueue<Box<CompletionSource<P, Failure>>>);

impl<P: Payload> Contestant<P> for Queued<P> {
    const NAME: &'static str = "ArrayQueue of our sources";
    type Place = Option<Box<CompletionSource<P, Failure>>>;
    type Sender<'a> = Completer<'a, P, Failure>;
    type Failure = CompletionError<Failure>;
    type Receiver<'a> = Completion<'a, P, Failure>;

    fn new() -> Self {
        let queue = ArrayQueue::new(usize::from(CAPACITY));
        for _ in 0..CAPACITY {
            let _fits = queue.push(Box::new(CompletionSource::new()));
        }
        Self(queue)
    }

    fn place(&self) -> Self::Place {
        None
    }

    #[inline(always)]
    fn open<'a>(&'a self, place: &'a mut Self::Place) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        let source = place.insert(self.0.pop().expect("fewer rounds than sources"));
        source.begin_mut().expect("versions are not used up")
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        let _unheard = sender.complete(payload);
    }

    #[inline(always)]
    fn close(&self, place: &mut Self::Place) {
        if let Some(source) = place.take() {
            let _fits = self.0.push(source);
        }
    }
}

/// A pool of events_once.
pub(crate) struct EventsPooled<P: 'static>(EventPool<P>);

impl<P: Payload> Contestant<P> for EventsPooled<P> {
    const NAME: &'static str = "events_once pool";
    type Place = ();
    type Sender<'a> = PooledSender<P>;
    type Failure = Disconnected;
    type Receiver<'a> = PooledReceiver<P>;

    fn new() -> Self {
        Self(EventPool::new())
    }

    fn place(&self) -> Self::Place {}

    #[inline(always)]
    fn open<'a>(&'a self, (): &'a mut ()) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        self.0.rent()
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        sender.send(payload);
    }
}

/// An event of events_once where the operation lives.
pub(crate) struct EventsPlaced;

/// A handle that borrows the place behind it.
pub(crate) struct Tied<'a, H> {
    handle: H,
    place: PhantomData<&'a mut ()>,
}

impl<H> Tied<'_, H> {
    #[inline(always)]
    fn new(handle: H) -> Self {
        Self {
            handle,
            place: PhantomData,
        }
    }
}

impl<F: Future + Unpin> Future for Tied<'_, F> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context)
    }
}

impl<P: Payload> Contestant<P> for EventsPlaced {
    const NAME: &'static str = "events_once placed";
    type Place = Pin<Box<EmbeddedEvent<P>>>;
    type Sender<'a> = Tied<'a, RawSender<P>>;
    type Failure = Disconnected;
    type Receiver<'a> = Tied<'a, RawReceiver<P>>;

    fn new() -> Self {
        Self
    }

    fn place(&self) -> Self::Place {
        Box::pin(EmbeddedEvent::new())
    }

    #[inline(always)]
    fn open<'a>(&'a self, place: &'a mut Self::Place) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        // SAFETY: both endpoints borrow the place, so it outlives them; the next event is placed when they are gone.
        let (sender, receiver) = unsafe { Event::placed(place.as_mut()) };
        (Tied::new(sender), Tied::new(receiver))
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        sender.handle.send(payload);
    }
}

/// The reusable channel of multishot. A wait that is given up is not told to its sender.
pub(crate) struct MultiShot;

impl<P: Payload> Contestant<P> for MultiShot {
    const NAME: &'static str = "multishot";
    type Place = multishot::Receiver<P>;
    type Sender<'a> = multishot::Sender<P>;
    type Failure = multishot::RecvError;
    type Receiver<'a> = multishot::Recv<'a, P>;

    fn new() -> Self {
        Self
    }

    fn place(&self) -> Self::Place {
        multishot::Receiver::new()
    }

    #[inline(always)]
    fn open<'a>(&'a self, place: &'a mut Self::Place) -> (Self::Sender<'a>, Self::Receiver<'a>) {
        let sender = place.sender().expect("the last round is over");
        (sender, place.recv())
    }

    #[inline(always)]
    fn send(sender: Self::Sender<'_>, payload: P) {
        sender.send(payload);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            // ORDERING: Relaxed; one thread.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A round that is completed and one that is abandoned, each awaited with two wakers: the outcome is the right one,
    /// and only the waker of the last poll is woken.
    fn serves_as_a_one_shot<C: Contestant<u64>>() {
        let contestant = C::new();
        let mut place = contestant.place();
        for payload in [Some(7), None] {
            let [early, late] = [Arc::<Wakes>::default(), Arc::<Wakes>::default()];
            let (sender, mut receiver) = contestant.open(&mut place);
            for wakes in [&early, &late] {
                let waker = Waker::from(Arc::clone(wakes));
                let polled = Pin::new(&mut receiver).poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "{}", C::NAME);
            }
            match payload {
                Some(payload) => C::send(sender, payload),
                None => drop(sender),
            }
            // ORDERING: Relaxed; one thread.
            let woken = [early, late].map(|wakes| wakes.0.load(Ordering::Relaxed));
            assert_eq!(woken, [0, 1], "{}", C::NAME);
            match Pin::new(&mut receiver).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => assert_eq!(outcome.ok(), payload, "{}", C::NAME),
                Poll::Pending => panic!("{}", C::NAME),
            }
            drop(receiver);
            contestant.close(&mut place);
        }
    }

    #[test]
    fn every_contestant_serves_as_a_one_shot() {
        serves_as_a_one_shot::<Tokio>();
        serves_as_a_one_shot::<Pooled<u64>>();
        serves_as_a_one_shot::<EventsPooled<u64>>();
        serves_as_a_one_shot::<Queued<u64>>();
        serves_as_a_one_shot::<InPlace>();
        serves_as_a_one_shot::<EventsPlaced>();
        serves_as_a_one_shot::<MultiShot>();
        serves_as_a_one_shot::<Boxed>();
        serves_as_a_one_shot::<OneShot>();
        serves_as_a_one_shot::<Futures>();
    }
}
