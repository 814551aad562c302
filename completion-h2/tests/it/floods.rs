//! Floods: whatever the peer repeats for ever, or never does, memory stays bounded, those of the tap and the queues included, and what the
//! connection cannot bear ends it as the peer's fault (RUSTSEC-2023-0034, RUSTSEC-2024-0003).

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use completion_h2::ErrorKind;
use completion_h2::client::Builder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::alloc::{begin_peak, peak};
use crate::clock::Clock;
use crate::common::{Fixture, drive, ended, frames, get, idle, opening, pending, settle};
use crate::support::{Frame, code, kind, within};

/// Frames of a flood.
const FRAMES: usize = 20_000;
/// What the transport between the two holds: less than a tenth of a flood.
const BUFFER: usize = 1 << 14;
/// What a flood may make the client hold: both buffers, and what h2 makes of the smallest frames of one portion of reads.
const MOST: usize = 4 << 20;

/// `:status: 100` and `:status: 200`, the former as a literal of an indexed name.
const STATUS_100: [u8; 5] = [0x08, 0x03, b'1', b'0', b'0'];
const STATUS_200: [u8; 1] = [0x88];

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on as if nothing had been.
    Lives,
    /// It ends as the peer's fault.
    Ends,
}

/// Reads and throws away, so that the client can write.
async fn swallow(mut io: impl AsyncRead + Unpin) {
    let mut waste = vec![0; BUFFER];
    while io.read(&mut waste).await.is_ok_and(|count| count > 0) {}
}

/// Sends `first`, then `again` so many times, while a request on stream 1 is under way whose body nobody reads. Returns the
/// peak of what was held.
async fn flood(first: &[Frame], again: &Frame, frames: usize, fate: Fate) -> usize {
    let (io, peer) = tokio::io::duplex(BUFFER);
    let (read, mut write) = tokio::io::split(peer);
    let swallow = tokio::spawn(swallow(read));
    let Fixture { client, driver, .. } = drive(io, Builder::new()).await;
    let mut first_request = client.request(get("/flooded"));
    pending(&mut first_request).await;
    write.write_all(&opening(&[])).await.unwrap();
    settle().await;
    let first: Vec<_> = first.iter().flat_map(Frame::encode).collect();
    let portion = again.encode().repeat(100);
    begin_peak();
    let flood = async {
        write.write_all(&first).await?;
        for _ in 0..frames / 100 {
            write.write_all(&portion).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let flooded = within("the flood", flood).await;
    settle().await;
    let peak = peak();
    let what = format!("{again:?}");
    match fate {
        Fate::Lives => {
            flooded.unwrap();
            let request = client.request(get("/after"));
            // The next stream of the client.
            let response = Frame::headers(3, STATUS_200, true).encode();
            settle().await;
            write.write_all(&response).await.unwrap();
            within(&what, request).await.unwrap();
        }
        Fate::Ends => {
            let ended = within(&what, driver).await.unwrap();
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Protocol, "{what}");
            assert!(client.is_closed(), "{what}");
        }
    }
    drop(first_request);
    idle(|| client.pool_stats()).await;
    swallow.abort();
    peak
}

#[tokio::test]
async fn a_flood_of_small_frames_is_read_without_keeping_any() {
    let opaque = *b"flooding";
    let ignored = Frame::new(0xbb, 0, 0, opaque);
    // PRIORITY, which nobody heeds any more.
    let priority = Frame::new(2, 0, 5, [0, 0, 0, 0, 9]);
    let floods = [
        Frame::ping(opaque, false),
        Frame::ping(opaque, true),
        Frame::settings(&[]),
        Frame::window_update(0, 1),
        Frame::window_update(1, 1),
        Frame::headers(1, STATUS_100, false),
        Frame::rst(1, code::CANCEL),
        priority,
        ignored,
    ];
    for again in floods {
        let few = flood(&[], &again, FRAMES / 10, Fate::Lives).await;
        let many = flood(&[], &again, FRAMES, Fate::Lives).await;
        assert!(many < MOST, "{again:?}: {many} bytes");
        // Less than a byte more for each frame more.
        assert!(many < few + FRAMES * 9 / 10, "{again:?}: {few}, {many}");
    }
}

#[tokio::test]
async fn a_flood_that_would_be_kept_ends_the_connection() {
    let head = Frame::headers(1, STATUS_200, false);
    let open = Frame::new(kind::HEADERS, 0, 1, STATUS_200);
    let piece = Frame::continuation(1, *b"", false);
    let floods = [
        // Each small frame costs h2 more than the window says.
        (vec![head.clone()], Frame::data(1, *b"x", false)),
        (vec![head], Frame::data(1, *b"", false)),
        (vec![open], piece),
    ];
    for (first, again) in floods {
        let peak = flood(&first, &again, FRAMES, Fate::Ends).await;
        assert!(peak < MOST, "{again:?}: {peak} bytes");
    }
}

/// A peer that wants answers and does not read them is not read either.
#[tokio::test]
async fn a_flood_that_wants_answers_stops_with_them() {
    for again in [Frame::ping(*b"flooding", false), Frame::settings(&[])] {
        let (io, mut peer) = tokio::io::duplex(BUFFER);
        let Fixture { client, driver, .. } = drive(io, Builder::new()).await;
        peer.write_all(&opening(&[])).await.unwrap();
        settle().await;
        begin_peak();
        let portion = again.encode().repeat(100);
        let (mut written, mut refused) = (0, 0);
        // Until nothing more is taken although everybody else had many turns.
        while refused < 10 {
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(&mut peer).poll_write(&mut cx, &portion) {
                Poll::Ready(count) => (written, refused) = (written + count.unwrap(), 0),
                Poll::Pending => refused += 1,
            }
            settle().await;
            assert!(written < 8 * BUFFER, "{again:?}: still taken");
        }
        assert!(peak() < MOST, "{again:?}: {} bytes", peak());
        drop((client, peer));
        let _ = ended(driver).await;
    }
}

/// How requests are given up that a peer does not read.
#[derive(Clone, Copy, Debug)]
enum GivenUp {
    TimedOut,
    Dropped,
}

/// A peer that stops reading holds up what was given up since, so no more of it is made; and its connection is better
/// replaced, however few requests it permits at once.
#[tokio::test]
async fn requests_that_a_peer_does_not_read_are_not_piled_up() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    const STREAMS: usize = 20;
    for how in [GivenUp::TimedOut, GivenUp::Dropped] {
        let (io, mut peer) = tokio::io::duplex(1000);
        let clock = Clock::new();
        let builder = clock.builder().max_streams(STREAMS).reset_budget(200);
        let Fixture { client, driver, .. } = drive(io, builder.timeout(TIMEOUT)).await;
        let mut preface = [0; 24];
        peer.read_exact(&mut preface).await.unwrap();
        peer.write_all(&opening(&[])).await.unwrap();
        settle().await;
        for round in 1..=100 {
            let requests: Vec<_> = (0..10)
                .map(|_| {
                    let mut request = get("/");
                    let large = "x".repeat(1000).parse().unwrap();
                    request.headers_mut().insert("large", large);
                    client.request(request)
                })
                .collect();
            settle().await;
            match how {
                GivenUp::TimedOut => clock.advance(TIMEOUT),
                GivenUp::Dropped => {}
            }
            settle().await;
            drop(requests);
            settle().await;
            if round == 10 {
                begin_peak();
            }
        }
        let peak = peak();
        assert!(peak < 100_000, "{how:?}: {peak} bytes");
        assert!(client.is_unusable(), "{how:?}");

        let mut bytes = Vec::new();
        let seen = frames(&mut peer, &mut bytes).await;
        let count = |of| seen.iter().filter(|frame| frame.kind == of).count();
        assert_eq!(count(kind::HEADERS), STREAMS, "{how:?}");
        assert_eq!(count(kind::RST_STREAM), STREAMS, "{how:?}");

        // Then it goes on.
        let request = client.request(get("/after"));
        let seen = frames(&mut peer, &mut bytes).await;
        assert_eq!(seen.len(), 1, "{how:?}: {seen:?}");
        let response = Frame::headers(seen[0].stream, STATUS_200, true).encode();
        peer.write_all(&response).await.unwrap();
        within("a response", request).await.unwrap();
        drop((client, peer));
        let _ = ended(driver).await;
    }
}
