//! The features `diagnostics` and `tracing`: what is told, where it points to. A process of its own, as the
//! hook and the subscriber are the whole process's.

use std::fmt::Write as _;
use std::future::Future;
use std::panic::{Location, catch_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use completion_core::diagnostics::{self, Origin};
use completion_core::oneshot;
use completion_core::{CompletionError, CompletionSource, Pool, StaticPool};
use completion_core::{KeyedPendingMap, PendingMap, Policy};
use futures_lite::future::{block_on, poll_once};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// The line that calls this.
#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

fn is_at(origin: Origin, line: u32) -> bool {
    let location = origin.location().unwrap();
    location.file() == file!() && location.line() == line
}

#[test]
fn outstanding_rounds_name_where_they_began() {
    let pool = Pool::<u32, ()>::with_capacity(2);
    let (first, at) = (pool.rent(), line());
    let (second, next) = (pool.try_rent().unwrap(), line());
    let out = pool.outstanding();
    assert_eq!(out.len(), 2);
    assert!(
        [at, next]
            .iter()
            .all(|&at| out.iter().any(|&it| is_at(it, at)))
    );
    assert!(is_at(first.0.origin(), at));
    assert!(is_at(second.1.origin().unwrap(), next));
    let (overflow, at) = (pool.rent(), line());
    assert!(is_at(overflow.0.origin(), at));
    drop((first, second));
    assert!(pool.outstanding().is_empty());
}

/// The clock itself says between which two readings the age must be.
#[test]
fn a_round_is_as_old_as_the_clock_says() {
    let tick = Duration::from_millis(1);
    let pool = Pool::<u32, ()>::with_capacity(1);
    let before = Instant::now();
    let (completer, _completion) = pool.rent();
    let begun = Instant::now();
    while begun.elapsed() < 3 * tick {
        std::thread::yield_now();
    }
    let least = begun.elapsed();
    let age = completer.origin().age();
    let most = before.elapsed();
    assert!(
        least <= age + tick && age <= most + tick,
        "{least:?} {age:?} {most:?}"
    );
}

#[test]
fn channels_name_where_they_were_made() {
    let pool = Pool::<u32, ()>::with_capacity(1);
    let (pooled, at) = (pool.channel(), line());
    assert!(is_at(pool.outstanding()[0], at));
    let (boxed, next) = (oneshot::channel::<u32>(), line());
    for ((tx, rx), at) in [(pooled, at), (boxed, next)] {
        for shown in [format!("{tx:?}"), format!("{rx:?}")] {
            assert!(shown.contains(&format!("line: {at}")), "{shown}");
        }
    }
}

/// At once or after waiting, which whoever polls the future is not to blame for.
#[test]
fn what_waits_names_where_it_was_asked_for() {
    let pool = Pool::<u32, ()>::with_capacity(1);
    let (rent, at) = (pool.rent_async(), line());
    let lent = block_on(rent).unwrap();
    assert!(is_at(lent.0.origin(), at));
    let (mut waits, at) = (pool.rent_async(), line());
    assert!(block_on(poll_once(&mut waits)).is_none());
    drop(lent);
    assert!(is_at(block_on(waits).unwrap().0.origin(), at));
}

#[test]
fn pending_requests_name_where_they_were_inserted() {
    let map = PendingMap::<u32, ()>::new(2, Policy::revoke_now());
    let (inserted, at) = (map.insert().unwrap().1, line());
    assert!(is_at(inserted.origin().unwrap(), at));
    let (inserts, at) = (map.insert_async(), line());
    assert!(is_at(block_on(inserts).unwrap().1.origin().unwrap(), at));
    let map = KeyedPendingMap::<u16, u32, ()>::new(2, Policy::revoke_now());
    let (inserted, at) = (map.insert(1).unwrap(), line());
    assert!(is_at(inserted.origin().unwrap(), at));
    let (inserts, at) = (map.insert_async(2), line());
    assert!(is_at(block_on(inserts).unwrap().origin().unwrap(), at));
}

#[test]
fn sources_in_place_name_where_their_rounds_began() {
    let mut source = CompletionSource::<u32, ()>::new();
    let (lent, at) = (source.begin().unwrap(), line());
    assert!(is_at(lent.0.origin(), at));
    drop(lent);
    let (lent, at) = (source.begin_mut().unwrap(), line());
    assert!(is_at(lent.0.origin(), at));
    drop(lent);
    let pool = StaticPool::<u32, (), 2>::new();
    let (_lent, at) = (pool.try_rent().unwrap(), line());
    let out: Vec<_> = pool.outstanding().collect();
    assert!(out.len() == 1 && is_at(out[0], at));
}

#[test]
fn a_forgotten_round_is_found_by_its_place() {
    let pool = Pool::<u32, ()>::with_capacity(1);
    let (lent, at) = (pool.rent(), line());
    std::mem::forget(lent);
    let panic = catch_unwind(|| pool.assert_quiescent()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("diagnostics.rs"), "{message}");
    assert!(message.contains(&format!("line: {at}")), "{message}");
}

#[test]
fn handles_show_where_their_round_began() {
    let pool = Pool::<u32, ()>::with_capacity(1);
    let (lent, at) = (pool.rent(), line());
    for shown in [format!("{:?}", lent.0), format!("{:?}", lent.1)] {
        assert!(shown.contains(&format!("line: {at}")), "{shown}");
    }
    assert!(lent.0.origin().to_string().contains("diagnostics.rs"));
}

static ABANDONED: Mutex<Vec<Origin>> = Mutex::new(Vec::new());

#[test]
fn an_abandoned_round_is_reported_with_its_place() {
    diagnostics::on_abandoned(|origin| ABANDONED.lock().unwrap().push(origin));
    let pool = Pool::<u32, ()>::with_capacity(1);
    let ((completer, mut completion), at) = (pool.rent(), line());
    drop(completer);
    assert_eq!(completion.try_take(), Some(Err(CompletionError::Abandoned)));
    let (lent, used) = (pool.rent(), line());
    lent.0.complete(1).unwrap();
    let ((completer, completion), deserted) = (pool.rent(), line());
    drop(completion);
    drop(completer);
    let seen = ABANDONED.lock().unwrap();
    assert!(seen.iter().any(|&it| is_at(it, at)));
    assert!(
        !seen
            .iter()
            .any(|&it| is_at(it, used) || is_at(it, deserted))
    );
}

/// Who waits for a source waits in a round of the library's own, of which nobody is told.
#[test]
fn closing_a_pool_abandons_nobody_who_waits() {
    diagnostics::on_abandoned(|origin| ABANDONED.lock().unwrap().push(origin));
    let pool = Pool::<u32, ()>::with_capacity(1);
    let _lent = pool.rent();
    let mut waiting = pool.rent_async();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut waiting).poll(&mut cx).is_pending());
    pool.close(());
    assert!(Pin::new(&mut waiting).poll(&mut cx).is_ready());
    let seen = ABANDONED.lock().unwrap();
    let mut files = seen.iter().map(|it| it.location().unwrap().file());
    assert!(files.all(|file| file == file!()));
}

/// Writes down every event of the library.
struct Log;

static LOG: Mutex<String> = Mutex::new(String::new());

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "completion_core"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Fields<'a>(&'a mut String);
        impl Visit for Fields<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                write!(self.0, " {field}={value:?}").unwrap();
            }
        }
        let mut log = LOG.lock().unwrap();
        write!(log, "{}", event.metadata().level()).unwrap();
        event.record(&mut Fields(&mut log));
        log.push('\n');
    }
}

#[test]
fn events_tell_of_what_users_should_know() {
    let _log = tracing::subscriber::set_default(Log);
    let pool = Pool::<u32, ()>::with_capacity(1);
    let ((completer, _completion), at) = (pool.rent(), line());
    drop(completer);
    drop(pool.rent());
    let _ = pool.complete(completion_core::Token::from_bits(0), 1);
    pool.close(());
    let log = LOG.lock().unwrap();
    for expected in [
        format!("diagnostics.rs:{at}:"),
        "WARN message=a round was abandoned".to_owned(),
        "DEBUG message=a pool is exhausted".to_owned(),
        "DEBUG message=a call by a stale token".to_owned(),
        "DEBUG message=a pool was closed".to_owned(),
    ] {
        assert!(log.contains(&expected), "{expected}: {log}");
    }
}
