//! Each operation, parked before each of its steps, against its peer in the round and others on the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use crate::gate::{parked_before, within};
use crate::{Completer, Completion, CompletionError, Pool, Rejected, Token};

/// Counted by the clones of one `Arc`.
type Payload = Arc<()>;
type Producer = Completer<'static, Payload, Payload>;
type Consumer = Completion<'static, Payload, Payload>;
type Outcome = Result<Payload, CompletionError<Payload>>;

/// More than any peer or round needs, with its atomic steps and retries.
const STEPS: usize = 200;

/// A waker that is counted by the clones of its `Arc`.
struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

/// A pool, everything that must come back, and what the two sides of the round were told.
struct Stage {
    pool: Pool<Payload, Payload>,
    payload: Payload,
    tasks: [Arc<Silent>; 2],
    /// Payloads that the round accepted.
    accepted: AtomicUsize,
    /// Cancellations that it accepted.
    cancelled: AtomicUsize,
    /// Payloads that its consumer received.
    received: AtomicUsize,
    /// Errors that its consumer received instead.
    failed: AtomicUsize,
}

impl Stage {
    fn new() -> Self {
        Self {
            pool: Pool::with_capacity(2),
            payload: Arc::new(()),
            tasks: [(); 2].map(|()| Arc::new(Silent)),
            accepted: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }

    fn waker(&self, number: usize) -> Waker {
        self.tasks[number].clone().into()
    }

    fn poll(&self, number: usize, consumer: &mut Consumer) -> Poll<Outcome> {
        let waker = self.waker(number);
        Pin::new(consumer).poll(&mut Context::from_waker(&waker))
    }

    fn watch(&self, number: usize, producer: &mut Producer) -> bool {
        let waker = self.waker(number);
        producer
            .poll_closed(&mut Context::from_waker(&waker))
            .is_ready()
    }

    /// Whole rounds, one after the other, on whichever slot is home.
    fn rounds(&self) {
        for _ in 0..3 {
            let (completer, mut completion) = self.pool.try_rent().expect("a slot is home");
            assert!(self.poll(0, &mut completion).is_pending());
            completer.complete(self.payload.clone()).unwrap();
            assert!(matches!(self.poll(1, &mut completion), Poll::Ready(Ok(_))));
        }
    }

    /// What a producer was told of its payload.
    fn told(&self, completed: Result<(), Rejected<Payload>>) {
        self.accepted.fetch_add(completed.is_ok().into(), SeqCst);
    }

    /// What the consumer was told.
    fn took(&self, outcome: Outcome) {
        let counter = if outcome.is_ok() {
            &self.received
        } else {
            &self.failed
        };
        counter.fetch_add(1, SeqCst);
    }

    /// Both sides were told the same of the round. A consumer that leaves before it is told anything may leave what was
    /// accepted.
    fn assert_agreed(&self) {
        let [accepted, cancelled, received, failed] = [
            &self.accepted,
            &self.cancelled,
            &self.received,
            &self.failed,
        ]
        .map(|counter| counter.load(SeqCst));
        assert!(accepted + cancelled <= 1, "ended twice");
        assert!(received + failed <= 1, "taken twice");
        assert!(received <= accepted, "received but not accepted");
        assert!(accepted + failed <= 1, "accepted but failed");
    }

    fn assert_in_order(&self) {
        self.assert_agreed();
        let stats = self.pool.stats();
        assert_eq!((stats.in_use, stats.capacity), (0, 2));
        assert_eq!(stats.rented, stats.returned);
        assert_eq!(Arc::strong_count(&self.payload), 1, "payloads left");
        for task in &self.tasks {
            assert_eq!(Arc::strong_count(task), 1, "wakers left");
        }
    }
}

/// Parks `act` before each of its steps. `begin` makes what it acts on and what its peer has.
fn park_everywhere<A: Send, P>(
    begin: impl Fn(&Stage) -> (A, P),
    act: impl Fn(&Stage, A) + Sync,
    peer: impl Fn(&Stage, P),
) {
    let mut k = 0;
    loop {
        let stage = Stage::new();
        let (its, peers) = begin(&stage);
        let parked = parked_before(
            k,
            || act(&stage, its),
            || {
                within(STEPS, || stage.rounds());
                within(STEPS, || peer(&stage, peers));
                within(STEPS, || stage.rounds());
            },
        );
        stage.assert_in_order();
        // Both slots serve again.
        let both = [(); 2].map(|()| stage.pool.try_rent().unwrap());
        drop(both);
        if !parked {
            break;
        }
        k += 1;
    }
    assert!(k > 0, "no step to be parked before");
}

fn lent(stage: &Stage) -> (Producer, Consumer) {
    stage.pool.try_rent().unwrap()
}

/// A round whose consumer waits already.
fn awaited(stage: &Stage) -> (Producer, Consumer) {
    let (producer, mut consumer) = lent(stage);
    assert!(stage.poll(0, &mut consumer).is_pending());
    (producer, consumer)
}

/// The same, waited for with so many wakers that their generations are used up.
fn saturated(stage: &Stage) -> (Producer, Consumer) {
    let (producer, mut consumer) = lent(stage);
    for turn in 0..5 {
        assert!(stage.poll(turn % 2, &mut consumer).is_pending());
    }
    (producer, consumer)
}

fn watched(stage: &Stage) -> (Producer, Consumer) {
    let (mut producer, consumer) = awaited(stage);
    assert!(!stage.watch(1, &mut producer));
    (producer, consumer)
}

fn shared(stage: &Stage) -> (Token, Consumer) {
    let (producer, consumer) = awaited(stage);
    (producer.into_token().unwrap(), consumer)
}

fn held(stage: &Stage) -> (Token, Consumer) {
    let (producer, consumer) = awaited(stage);
    (producer.into_held_token().unwrap(), consumer)
}

fn flip<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

/// The consumer polls anew and leaves.
fn poll_and_leave(stage: &Stage, mut consumer: Consumer) {
    let outcome = match stage.poll(1, &mut consumer) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => consumer.try_take(),
    };
    if let Some(outcome) = outcome {
        stage.took(outcome);
    }
    drop(consumer);
}

fn complete(stage: &Stage, producer: Producer) {
    stage.told(producer.complete(stage.payload.clone()));
}

fn complete_by_token(stage: &Stage, token: Token) {
    stage.told(stage.pool.complete(token, stage.payload.clone()));
}

fn nobody(_: &Stage, (): ()) {}

#[test]
fn rent() {
    let round = |stage: &Stage, ()| {
        let (producer, consumer) = stage.pool.try_rent().expect("a slot is home");
        drop(consumer);
        drop(producer);
    };
    park_everywhere(|_| ((), ()), round, nobody);
}

#[test]
fn take() {
    let begin = |stage: &Stage| {
        let (producer, consumer) = awaited(stage);
        complete(stage, producer);
        (consumer, ())
    };
    let take = |stage: &Stage, mut consumer: Consumer| {
        stage.took(consumer.try_take().expect("the round is over"));
    };
    park_everywhere(begin, take, nobody);
}

#[test]
fn completing() {
    park_everywhere(awaited, complete, poll_and_leave);
    park_everywhere(lent, complete, poll_and_leave);
    park_everywhere(saturated, complete, poll_and_leave);
    park_everywhere(watched, complete, poll_and_leave);
}

#[test]
fn registering() {
    park_everywhere(|stage| flip(lent(stage)), poll_and_leave, complete);
    park_everywhere(
        |stage| flip(shared(stage)),
        poll_and_leave,
        complete_by_token,
    );
}

#[test]
fn registering_anew() {
    park_everywhere(|stage| flip(awaited(stage)), poll_and_leave, complete);
    park_everywhere(|stage| flip(saturated(stage)), poll_and_leave, complete);
    park_everywhere(|stage| flip(watched(stage)), poll_and_leave, complete);
}

#[test]
fn dropping_the_completion() {
    let leave = |_: &Stage, consumer: Consumer| drop(consumer);
    park_everywhere(|stage| flip(awaited(stage)), leave, complete);
    park_everywhere(|stage| flip(watched(stage)), leave, complete);
    park_everywhere(|stage| flip(shared(stage)), leave, complete_by_token);
    park_everywhere(|stage| flip(held(stage)), leave, complete_by_token);
}

#[test]
fn dropping_the_completer() {
    let leave = |_: &Stage, producer: Producer| drop(producer);
    park_everywhere(awaited, leave, poll_and_leave);
    park_everywhere(watched, leave, poll_and_leave);
}

#[test]
fn completing_by_token() {
    let peer = |stage: &Stage, (token, consumer)| {
        complete_by_token(stage, token);
        assert!(stage.pool.cancel(token).is_err());
        poll_and_leave(stage, consumer);
    };
    let begin = |stage: &Stage| {
        let (token, consumer) = shared(stage);
        (token, (token, consumer))
    };
    park_everywhere(begin, complete_by_token, peer);
    // Held, so that the second answer may be the one that lets go.
    let begin = |stage: &Stage| {
        let (token, consumer) = held(stage);
        (token, (token, consumer))
    };
    park_everywhere(begin, complete_by_token, peer);
}

#[test]
fn cancelling_by_token() {
    let cancel = |stage: &Stage, token| {
        let cancelled = stage.pool.cancel(token).is_ok();
        stage.cancelled.fetch_add(cancelled.into(), SeqCst);
    };
    let begin = |stage: &Stage| {
        let (token, consumer) = shared(stage);
        (token, (token, consumer))
    };
    let peer = |stage: &Stage, (token, consumer)| {
        complete_by_token(stage, token);
        poll_and_leave(stage, consumer);
    };
    park_everywhere(begin, cancel, peer);
}

#[test]
fn sharing() {
    let share = |stage: &Stage, producer: Producer| {
        let token = producer.into_token().unwrap();
        complete_by_token(stage, token);
    };
    park_everywhere(awaited, share, poll_and_leave);
    park_everywhere(watched, share, poll_and_leave);
    let hold = |stage: &Stage, producer: Producer| {
        let token = producer.into_held_token().unwrap();
        complete_by_token(stage, token);
    };
    park_everywhere(awaited, hold, poll_and_leave);
    park_everywhere(watched, hold, poll_and_leave);
}

#[test]
fn watching() {
    let watch = |stage: &Stage, mut producer: Producer| {
        stage.watch(0, &mut producer);
    };
    park_everywhere(awaited, watch, poll_and_leave);
    park_everywhere(watched, watch, poll_and_leave);
}

#[test]
fn closing_a_completion() {
    let close = |stage: &Stage, mut consumer: Consumer| {
        consumer.close();
        stage.took(consumer.try_take().expect("the round is over"));
    };
    park_everywhere(|stage| flip(awaited(stage)), close, complete);
    park_everywhere(|stage| flip(watched(stage)), close, complete);
    park_everywhere(|stage| flip(shared(stage)), close, complete_by_token);
    park_everywhere(|stage| flip(held(stage)), close, complete_by_token);
}

/// A pool that is just closing may refuse a rent; nobody waits for it all the same.
#[test]
fn closing_a_pool() {
    for begin in [awaited, saturated, watched] {
        let mut k = 0;
        loop {
            let stage = Stage::new();
            let [(one, other), (producer, consumer)] = [(); 2].map(|()| begin(&stage));
            let parked = parked_before(
                k,
                || {
                    let cause = stage.payload.clone();
                    assert!(stage.pool.close_with(move || cause.clone()));
                },
                || {
                    within(STEPS, || complete(&stage, producer));
                    within(STEPS, || poll_and_leave(&stage, consumer));
                    within(STEPS, || drop(stage.pool.try_rent()));
                    within(STEPS, || drop(other));
                    within(STEPS, || complete(&stage, one));
                },
            );
            stage.assert_agreed();
            assert!(stage.pool.try_rent().is_err());
            assert_eq!(stage.pool.stats().in_use, 0);
            let Stage {
                pool,
                payload,
                tasks,
                ..
            } = stage;
            drop(pool);
            assert_eq!(Arc::strong_count(&payload), 1, "payloads left");
            assert_eq!(tasks.map(|task| Arc::strong_count(&task)), [1, 1]);
            if !parked {
                break;
            }
            k += 1;
        }
        assert!(k > 0, "no step to be parked before");
    }
}

/// One handle of two goes: the other serves on.
#[test]
fn dropping_a_handle() {
    let begin = |stage: &Stage| (stage.pool.clone(), ());
    park_everywhere(begin, |_, pool| drop(pool), nobody);
}

/// There is a lock for those who wait for a slot, and none on the way of this one, for whom a slot is home.
#[test]
fn renting_async() {
    let begin = |stage: &Stage| (stage.pool.clone(), ());
    let rent = |stage: &Stage, pool: Pool<Payload, Payload>| {
        let waker = stage.waker(0);
        let mut rent = pool.rent_async();
        match Pin::new(&mut rent).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(round) => drop(round.unwrap()),
            Poll::Pending => panic!("a slot is home"),
        }
    };
    park_everywhere(begin, rent, nobody);
}
