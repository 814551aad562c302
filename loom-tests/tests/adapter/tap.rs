//! What the tap has seen and is asked ‖ the handles of other threads. Tap and driver are one task, which loom need not
//! look at; other threads ask for the GOAWAY, and may look at the rest.

use loom::sync::Arc;
use loom::thread;
use loom_tests::{Kind, Witness};

use crate::scanner::GoAway;
use crate::shared::Shared;
use crate::{asleep, explore};

fn received(code: u32) -> GoAway {
    GoAway {
        last_stream_id: code,
        code,
    }
}

/// What is seen is a GOAWAY that came, whole, and later no earlier one.
#[test]
fn receive_and_look() {
    explore(None, || {
        let (tap, last) = Shared::new();
        let handle = last.clone();
        let looker = thread::spawn(move || {
            let [first, second] = [(); 2].map(|()| handle.go_away());
            for seen in [first, second].into_iter().flatten() {
                assert_eq!(seen.last_stream_id, seen.code);
            }
            let code = |seen: Option<GoAway>| seen.map_or(0, |it| it.code);
            assert!(code(first) <= code(second));
        });
        tap.receive(received(1));
        tap.receive(received(2));
        looker.join().unwrap();
        assert_eq!(last.go_away(), Some(received(2)));
    });
}

/// Who sees that the connection drains sees why.
#[test]
fn draining_and_why() {
    explore(None, || {
        let witness = Witness::new(Kind::A);
        let schedule = Arc::new(asleep(&witness));
        let (tap, handle) = Shared::new();
        let client = {
            let schedule = schedule.clone();
            thread::spawn(move || {
                if schedule.marks().draining() {
                    assert_eq!(handle.go_away(), Some(received(1)));
                }
            })
        };
        tap.receive(received(1));
        schedule.mark_draining();
        client.join().unwrap();
    });
}

/// Tap and handle set different flags of one word.
#[test]
fn ask_and_end() {
    explore(None, || {
        let (tap, handle) = Shared::new();
        let asker = {
            let handle = handle.clone();
            thread::spawn(move || {
                handle.send_go_away(5);
                handle.send_go_away(6);
            })
        };
        tap.set_ended();
        if let Some(code) = tap.asked() {
            assert_eq!(code, 5);
            tap.set_sent();
            assert!(handle.go_away_sent());
        } else {
            assert!(!handle.go_away_sent());
        }
        asker.join().unwrap();
        assert!(tap.has_ended() && handle.read_eof());
        assert!(tap.is_asked());
        assert_eq!(tap.asked(), Some(5));
    });
}

/// The counters only grow.
#[test]
fn count_and_look() {
    explore(None, || {
        let (tap, handle) = Shared::new();
        let looker = {
            let handle = handle.clone();
            thread::spawn(move || {
                let [first, second] = [(); 2].map(|()| handle.resets_written());
                assert!(first <= second && second <= 2);
            })
        };
        tap.count_reset();
        tap.count_reset();
        tap.count_settings();
        tap.count_ack();
        looker.join().unwrap();
        let seen = (
            handle.resets_written(),
            handle.settings_written(),
            handle.settings_acked(),
        );
        assert_eq!(seen, (2, 1, 1));
    });
}
