//! The rows of the grid: every act of a producer, each set against one act of the consumer by a file
//! of its own. One round of a pool of one slot; the consumer is the main thread.
//!
//! Whatever the two do, a cell asserts that both sides agree on the outcome, that every payload and waker is
//! dropped exactly once, that no wake is lost (loom reports a deadlock), and that the slot is home.

use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use loom_tests::{Completer, CompletionError, Kind, Payload, Pool, Rejected, Token, Witness};

use crate::check;

type Unique = Completer<'static, Payload, Payload>;
pub(crate) type Completion = loom_tests::Completion<'static, Payload, Payload>;

/// How a round ended, as one side has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Value(u32),
    Error(u32),
    Cancelled,
    Abandoned,
}

impl From<Result<Payload, CompletionError<Payload>>> for End {
    fn from(outcome: Result<Payload, CompletionError<Payload>>) -> Self {
        match outcome {
            Ok(value) => Self::Value(value.number()),
            Err(CompletionError::Failed(error)) => Self::Error(error.number()),
            Err(CompletionError::Cancelled) => Self::Cancelled,
            Err(CompletionError::Abandoned) => Self::Abandoned,
        }
    }
}

/// What the consumer made of its round.
pub(crate) enum Heard {
    /// It took this.
    Outcome(End),
    /// It ended the round itself.
    Closed,
    /// It left, and did not look.
    Nothing,
}

/// What all parties of a cell share.
pub(crate) struct Stage {
    pub(crate) pool: Pool<Payload, Payload>,
    pub(crate) first: Witness,
    pub(crate) second: Witness,
    watcher: Witness,
}

/// One producer; what it ended the round with, if it was not refused. One that drops its completer cannot
/// tell.
type Producer = Box<dyn FnOnce(&Stage) -> Option<End> + Send>;

/// The producers that are under way.
pub(crate) struct Producers {
    threads: Vec<JoinHandle<Option<End>>>,
    /// A name for the round, whether it is shared or not.
    pub(crate) token: Token,
    /// Whether it is shared from the beginning, so that the token names it.
    pub(crate) named: bool,
    ended: Vec<End>,
}

impl Producers {
    /// Waits until all have done what they do.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            self.ended.extend(thread.join().unwrap());
        }
    }
}

/// Runs one cell, in every interleaving or with so many preemptions; `polled` says whether the consumer waits with its first waker in the beginning.
pub(crate) fn cell(
    preemptions: Option<usize>,
    produce: fn(&Stage, Unique) -> Row,
    polled: bool,
    consume: fn(&Stage, Completion, &mut Producers) -> Heard,
) {
    check(preemptions, move || {
        let stage = Arc::new(Stage {
            pool: Pool::with_capacity(1),
            first: Witness::new(Kind::A),
            second: Witness::new(Kind::B),
            watcher: Witness::new(Kind::A),
        });
        let (completer, mut completion) = stage.pool.try_rent().unwrap();
        if polled {
            assert!(stage.first.poll(&mut completion).is_pending());
        }
        let row = produce(&stage, completer);
        let mut producers = Producers {
            threads: row
                .producers
                .into_iter()
                .map(|produce| {
                    let stage = stage.clone();
                    thread::spawn(move || produce(&stage))
                })
                .collect(),
            token: row.token.unwrap_or(Token::from_bits(0)),
            named: row.token.is_some(),
            ended: Vec::new(),
        };
        let heard = consume(&stage, completion, &mut producers);
        producers.join();
        let ended = producers.ended;
        match heard {
            Heard::Outcome(end) => assert_eq!(ended, [end]),
            Heard::Closed => assert!(ended.iter().all(|end| *end == End::Abandoned)),
            Heard::Nothing => assert!(ended.len() <= 1),
        }
        assert_eq!(stage.pool.stats().in_use, 0);
        for witness in [&stage.first, &stage.second, &stage.watcher] {
            witness.assert_nothing_left();
        }
    });
}

/// A row: its producers, and the token if the round is shared from the beginning.
pub(crate) struct Row {
    token: Option<Token>,
    producers: Vec<Producer>,
}

impl Row {
    fn unique(produce: impl FnOnce(&Stage) -> Option<End> + Send + 'static) -> Self {
        Self {
            token: None,
            producers: vec![Box::new(produce)],
        }
    }

    fn shared(token: Token, produce: impl FnOnce(&Stage) -> Option<End> + Send + 'static) -> Self {
        Self {
            token: Some(token),
            producers: vec![Box::new(produce)],
        }
    }
}

/// What a producer says that sent payload `number`: if it was refused, it must have it back.
fn sent(produced: Result<(), Rejected<Payload>>, number: u32, end: fn(u32) -> End) -> Option<End> {
    match produced {
        Ok(()) => Some(end(number)),
        Err(rejected) => {
            assert_eq!(rejected.into_payload().number(), number);
            None
        }
    }
}

pub(crate) fn complete(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    Row::unique(|_| sent(completer.complete(payload), 1, End::Value))
}

pub(crate) fn fail(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    Row::unique(|_| sent(completer.fail(payload), 1, End::Error))
}

pub(crate) fn cancel(_: &Stage, completer: Unique) -> Row {
    Row::unique(|_| completer.cancel().ok().map(|()| End::Cancelled))
}

pub(crate) fn abandon(_: &Stage, completer: Unique) -> Row {
    Row::unique(|_| {
        drop(completer);
        Some(End::Abandoned)
    })
}

/// The completer watches, then completes.
pub(crate) fn watch(stage: &Stage, mut completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    Row::unique(|stage| {
        let closed = stage.watcher.poll(&mut completer.closed()).is_ready();
        let ended = sent(completer.complete(payload), 1, End::Value);
        assert!(!closed || ended.is_none());
        if ended.is_some() {
            assert_eq!(stage.watcher.wakes(), 0);
            stage.watcher.assert_no_wakers();
        }
        ended
    })
}

/// The completer becomes a token, which then completes.
pub(crate) fn share(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    Row::unique(|stage| {
        let token = completer.into_token().unwrap();
        sent(stage.pool.complete(token, payload), 1, End::Value)
    })
}

/// The same, and the slot stays out until that token has answered.
pub(crate) fn hold(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    Row::unique(|stage| {
        let token = completer.into_held_token().unwrap();
        sent(stage.pool.complete(token, payload), 1, End::Value)
    })
}

pub(crate) fn token_completes(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    let token = completer.into_token().unwrap();
    Row::shared(token, move |stage| {
        sent(stage.pool.complete(token, payload), 1, End::Value)
    })
}

pub(crate) fn token_fails(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    let token = completer.into_token().unwrap();
    Row::shared(token, move |stage| {
        sent(stage.pool.fail(token, payload), 1, End::Error)
    })
}

pub(crate) fn token_cancels(_: &Stage, completer: Unique) -> Row {
    let token = completer.into_token().unwrap();
    Row::shared(token, move |stage| {
        stage.pool.cancel(token).ok().map(|()| End::Cancelled)
    })
}

/// The slot stays out until this token has answered.
pub(crate) fn held_token_completes(stage: &Stage, completer: Unique) -> Row {
    let payload = stage.first.payload(1);
    let token = completer.into_held_token().unwrap();
    Row::shared(token, move |stage| {
        assert_eq!(stage.pool.stats().in_use, 1);
        sent(stage.pool.complete(token, payload), 1, End::Value)
    })
}

/// A second token races the first.
pub(crate) fn two_tokens(stage: &Stage, completer: Unique) -> Row {
    let token = completer.into_token().unwrap();
    let [first, second] = [1, 2].map(|number| stage.first.payload(number));
    let mut row = Row::shared(token, move |stage| {
        sent(stage.pool.complete(token, first), 1, End::Value)
    });
    row.producers.push(Box::new(move |stage| {
        sent(stage.pool.fail(token, second), 2, End::Error)
    }));
    row
}

/// A token of no round of this slot comes before the one that counts.
pub(crate) fn stale_token(stage: &Stage, completer: Unique) -> Row {
    let token = completer.into_token().unwrap();
    let stale = Token::from_bits(token.to_bits() + 1);
    let [late, payload] = [1, 2].map(|number| stage.first.payload(number));
    Row::shared(token, move |stage| {
        assert_eq!(sent(stage.pool.complete(stale, late), 1, End::Value), None);
        assert!(stage.pool.cancel(stale).is_err());
        sent(stage.pool.complete(token, payload), 2, End::Value)
    })
}

/// A column: one model for each row, named after it. Where three threads act, they are preempted three
/// times at most.
macro_rules! column {
    ($polled:literal, $consume:ident) => {
        $crate::grid::column! {
            @bound None, $polled, $consume:
            complete fail cancel abandon watch share hold
            token_completes token_fails token_cancels held_token_completes stale_token
        }
        $crate::grid::column! { @bound Some(3), $polled, $consume: two_tokens }
    };
    (@bound $bound:expr, $polled:literal, $consume:ident: $($row:ident)*) => {$(
        #[test]
        fn $row() {
            $crate::grid::cell($bound, $crate::grid::$row, $polled, $consume);
        }
    )*};
}
pub(crate) use column;
