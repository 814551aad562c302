//! One-shot channels, boxed and pooled. That they behave as tokio's do is shown by `tests/tokio_oneshot`,
//! with tokio's own tests; here is what those do not ask.

use std::error::Error;
use std::task::{Context, Poll, Waker};

use completion_core::Pool;
use completion_core::oneshot::error::{RecvError, TryRecvError};
use completion_core::oneshot::{self, Receiver, Sender};
use futures_lite::future::block_on;

use crate::support::{Ledger, Payload, Probe, caught, poll, unwind};

/// Runs `test` with boxed channels, with those of a pool, and with those beyond a pool's capacity.
fn everywhere<T>(test: impl Fn(&dyn Fn() -> (Sender<T>, Receiver<T>))) {
    test(&oneshot::channel);
    for capacity in [1, 0] {
        let pool = Pool::with_capacity(capacity);
        test(&|| pool.channel());
        let stats = pool.stats();
        assert_eq!(stats.in_use, 0);
        assert_eq!(stats.overflowed == 0, capacity == 1, "{stats:?}");
    }
}

fn watch<T>(tx: &mut Sender<T>, probe: &Probe) -> Poll<()> {
    tx.poll_closed(&mut Context::from_waker(&probe.waker()))
}

#[test]
fn a_value_arrives_and_the_source_serves_again() {
    everywhere(|channel| {
        for value in 0..3 {
            let (tx, rx) = channel();
            assert_eq!(tx.send(value), Ok(()));
            assert_eq!(block_on(rx), Ok(value));
        }
    });
}

#[test]
fn a_value_that_cannot_arrive_comes_back() {
    everywhere(|channel| {
        let (tx, rx) = channel();
        drop(rx);
        assert_eq!(tx.send(7), Err(7));
        for watched in [false, true] {
            let (mut tx, mut rx) = channel();
            if watched {
                assert!(watch(&mut tx, &Probe::new()).is_pending());
            }
            rx.close();
            rx.close();
            assert!(tx.is_closed() && rx.is_empty() && !rx.is_terminated());
            assert_eq!(tx.send(7), Err(7));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
            assert!(rx.is_terminated());
        }
    });
}

/// Each payload is dropped once, by whoever has it last.
#[test]
fn payloads_are_dropped_once() {
    let ledger = Ledger::new();
    type End = fn(Sender<Payload>, Receiver<Payload>, Payload);
    let ends: [End; 7] = [
        |tx, rx, payload| {
            tx.send(payload).unwrap();
            assert_eq!(block_on(rx).unwrap().tag(), 1);
        },
        |tx, mut rx, payload| {
            tx.send(payload).unwrap();
            rx.close();
            assert_eq!(rx.try_recv().unwrap().tag(), 1);
        },
        |tx, rx, payload| {
            tx.send(payload).unwrap();
            drop(rx);
        },
        |tx, rx, payload| {
            drop(rx);
            assert_eq!(tx.send(payload).unwrap_err().tag(), 1);
        },
        |tx, mut rx, payload| {
            rx.close();
            assert_eq!(tx.send(payload).unwrap_err().tag(), 1);
        },
        |mut tx, rx, payload| {
            assert!(watch(&mut tx, &Probe::new()).is_pending());
            tx.send(payload).unwrap();
            drop(rx);
        },
        |tx, rx, _payload| {
            drop(tx);
            block_on(rx).unwrap_err();
        },
    ];
    everywhere(|channel| {
        for end in ends {
            let (tx, rx) = channel();
            end(tx, rx, ledger.payload(1));
            assert_eq!(ledger.live(), 0);
        }
    });
}

/// Both sides' wakers are woken for their own event, and gone the moment that nobody needs them.
#[test]
fn wakers_are_woken_and_freed() {
    type End = fn(Sender<u32>, Receiver<u32>);
    let ends: [(End, [usize; 2]); 3] = [
        (
            |tx, rx| {
                tx.send(7).unwrap();
                std::mem::forget(rx);
            },
            [0, 1],
        ),
        (
            |tx, rx| {
                drop(tx);
                std::mem::forget(rx);
            },
            [0, 1],
        ),
        (
            |tx, rx| {
                drop(rx);
                std::mem::forget(tx);
            },
            [1, 0],
        ),
    ];
    for (end, woken) in ends {
        let (mut tx, mut rx) = oneshot::channel();
        let (watching, waiting) = (Probe::new(), Probe::new());
        assert!(watch(&mut tx, &watching).is_pending());
        assert!(poll(&mut rx, &waiting.waker()).is_pending());
        end(tx, rx);
        assert_eq!([watching.wakes(), waiting.wakes()], woken);
        assert_eq!([watching.live(), waiting.live()], [0, 0]);
    }
}

#[test]
fn closed_resolves_and_may_be_given_up() {
    everywhere::<u32>(|channel| {
        let (mut tx, rx) = channel();
        let probe = Probe::new();
        let waker = probe.waker();
        assert!(poll(&mut Box::pin(tx.closed()), &waker).is_pending());
        drop(rx);
        assert_eq!(probe.wakes(), 1);
        assert!(poll(&mut Box::pin(tx.closed()), &waker).is_ready());
    });
}

/// Whatever is done inside a wake, and also if the waker panics: the value is there.
#[test]
fn hostile_wakers_harm_nobody() {
    everywhere(|channel| {
        let (tx, mut rx) = channel();
        let probe = Probe::new();
        assert!(poll(&mut rx, &probe.waker()).is_pending());
        probe.on_wake.arm(unwind);
        assert!(caught(|| tx.send(7)).is_none());
        assert!(!probe.on_wake.disarm());
        assert_eq!(rx.try_recv(), Ok(7));

        let (mut tx, rx) = channel();
        assert!(watch(&mut tx, &probe).is_pending());
        probe.on_wake.arm(unwind);
        assert!(caught(|| drop(rx)).is_none());
        assert!(!probe.on_wake.disarm());
        assert_eq!(tx.send(7), Err(7));
        assert_eq!(probe.live(), 0);
    });

    let pool = Pool::with_capacity(1);
    let (tx, mut rx) = pool.channel();
    let probe = Probe::new();
    assert!(poll(&mut rx, &probe.waker()).is_pending());
    let (twin, (done, seen)) = (pool.clone(), std::sync::mpsc::channel());
    probe.on_wake.arm(move || {
        let taken = rx.try_recv();
        let (tx, mut rx) = twin.channel();
        tx.send(8).unwrap();
        done.send((taken, rx.try_recv(), twin.stats().overflowed))
            .unwrap();
    });
    tx.send(7).unwrap();
    assert_eq!(seen.recv(), Ok((Ok(7), Ok(8), 0)), "the source was home");
}

/// What the pool does to its channels.
#[test]
fn closing_the_pool_closes_its_channels() {
    let pool = Pool::<u32, ()>::with_capacity(2);
    let (mut tx, rx) = pool.channel();
    let (sent, mut full) = pool.channel();
    sent.send(7).unwrap();
    let probe = Probe::new();
    assert!(watch(&mut tx, &probe).is_pending());
    assert!(!tx.is_closed());
    pool.close(());
    assert_eq!(probe.wakes(), 1);
    assert!(watch(&mut tx, &probe).is_ready());
    assert!(tx.is_closed() && rx.is_empty() && !full.is_empty());
    assert_eq!(tx.send(8), Err(8));
    assert!(block_on(rx).is_err());
    assert_eq!(full.try_recv(), Ok(7), "what was sent before");

    let (tx, mut rx) = pool.channel();
    assert!(tx.is_closed());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

#[test]
fn a_receiver_says_what_there_is() {
    everywhere(|channel| {
        let (tx, mut rx) = channel();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert!(rx.is_empty() && !rx.is_terminated());
        tx.send(7).unwrap();
        assert!(!rx.is_empty() && !rx.is_terminated());
        assert_eq!(poll(&mut rx, Waker::noop()), Poll::Ready(Ok(7)));
        assert!(rx.is_empty() && rx.is_terminated());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
        rx.close();

        let (tx, mut rx) = channel();
        drop(tx);
        assert!(rx.is_empty() && !rx.is_terminated());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
        assert!(rx.is_terminated());
    });
}

#[cfg(feature = "std")]
#[test]
fn a_thread_can_wait() {
    everywhere(|channel| {
        let (tx, rx) = channel();
        let waiter = std::thread::spawn(|| rx.blocking_recv());
        tx.send(7).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(7));

        let (tx, rx) = channel();
        let waiter = std::thread::spawn(|| rx.blocking_recv());
        drop(tx);
        assert!(waiter.join().unwrap().is_err());
    });
}

/// An error as text, in every way, and what it is comparable with.
fn texts<E: Error + Clone + Eq + Send + Sync + 'static>(error: &E) -> [String; 3] {
    assert!(error.source().is_none() && *error == error.clone());
    [
        error.to_string(),
        format!("{error:?}"),
        format!("{error:#?}"),
    ]
}

#[test]
fn errors_read_as_tokios_do() {
    use tokio::sync::oneshot as theirs;

    let ours = || -> (RecvError, [TryRecvError; 2]) {
        let (tx, mut rx) = oneshot::channel::<u8>();
        let empty = rx.try_recv().unwrap_err();
        drop(tx);
        let closed = block_on(&mut rx).unwrap_err();
        (closed, [empty, rx.try_recv().unwrap_err()])
    };
    let theirs = || -> (theirs::error::RecvError, [theirs::error::TryRecvError; 2]) {
        let (tx, mut rx) = theirs::channel::<u8>();
        let empty = rx.try_recv().unwrap_err();
        drop(tx);
        let closed = block_on(&mut rx).unwrap_err();
        (closed, [empty, rx.try_recv().unwrap_err()])
    };
    let ((ours, our_tries), (theirs, their_tries)) = (ours(), theirs());
    assert_eq!(texts(&ours), texts(&theirs));
    for (ours, theirs) in our_tries.iter().zip(&their_tries) {
        assert_eq!(texts(ours), texts(theirs));
    }
}

#[test]
fn handles_print_without_their_value() {
    struct Silent;
    let (tx, rx) = oneshot::channel::<Silent>();
    assert!(format!("{tx:?}").starts_with("Sender {"));
    assert!(format!("{rx:?}").starts_with("Receiver {"));
}
