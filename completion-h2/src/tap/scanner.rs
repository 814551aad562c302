//! The frame scanner: follows the frame boundaries of one direction of a connection, without I/O.
//!
//! It reads the 9-byte frame headers (RFC 9113, section 4.1) and steps over payloads by their length, so its work grows
//! with the number of frames and its memory is a few words whatever the peer sends. It judges nothing: a malformed frame
//! is the business of h2, which sees the same bytes.

/// Length of a frame header.
const HEAD: usize = 9;
/// How much of a received GOAWAY payload is read: last-stream-id and error code.
const PEEK: usize = 8;
/// Length of the fixed octets that a client writes first (RFC 9113, section 3.4).
pub(super) const PREFACE: usize = 24;

/// Frame types that the tap cares about.
pub(super) mod kind {
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// The ACK flag of SETTINGS.
const ACK: u8 = 0x1;
/// The END_HEADERS flag of HEADERS, PUSH_PROMISE and CONTINUATION.
const END_HEADERS: u8 = 0x4;

/// A decoded frame header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    fn parse(raw: [u8; HEAD]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = raw;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: stream_id([s0, s1, s2, s3]),
        }
    }

    /// A SETTINGS frame that carries parameters, and so asks for an acknowledgment.
    pub(super) fn is_settings(&self) -> bool {
        self.kind == kind::SETTINGS && self.stream == 0 && self.flags & ACK == 0
    }

    /// The end of one stream by force.
    pub(super) fn is_reset(&self) -> bool {
        self.kind == kind::RST_STREAM
    }

    /// A well-formed acknowledgment: one with a payload is a connection error, for h2 to raise.
    pub(super) fn is_settings_ack(&self) -> bool {
        self.kind == kind::SETTINGS && self.stream == 0 && self.flags & ACK != 0 && self.length == 0
    }

    /// A GOAWAY long enough to hold its two fixed fields.
    fn is_go_away(&self) -> bool {
        self.kind == kind::GOAWAY && self.stream == 0 && self.length as usize >= PEEK
    }

    /// Whether a header block is open after this frame, given whether one was open before it.
    fn leaves_block_open(&self, before: bool) -> bool {
        match self.kind {
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                self.flags & END_HEADERS == 0
            }
            _ => before,
        }
    }
}

/// The fixed fields of a GOAWAY frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// The highest stream that the sender may have acted upon.
    pub(crate) last_stream_id: u32,
    /// The error code (RFC 9113, section 7).
    pub(crate) code: u32,
}

impl GoAway {
    /// The whole frame on the wire, without debug data.
    pub(super) fn encode(self) -> [u8; HEAD + PEEK] {
        let mut out = [0; HEAD + PEEK];
        out[2] = PEEK as u8;
        out[3] = kind::GOAWAY;
        out[9..13].copy_from_slice(&self.last_stream_id.to_be_bytes());
        out[13..].copy_from_slice(&self.code.to_be_bytes());
        out
    }
}

/// What the scanner tells about the bytes fed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The eighth payload byte of a GOAWAY passed; its [`Event::End`] follows when its debug data has passed too.
    GoAway(GoAway),
    /// The last byte of a frame passed.
    End(Head),
}

/// Follows one direction of a connection from its first byte.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    /// Bytes of the client preface still to come.
    preface: usize,
    /// Whether a first whole frame has passed. Until then a client may write nothing but its SETTINGS.
    started: bool,
    /// A header that comes in pieces.
    gathered: [u8; HEAD],
    /// The first payload bytes of a GOAWAY.
    peeked: [u8; PEEK],
    /// How many bytes of the current header, and after it of `peeked`, are there; 0 between two frames.
    held: usize,
    /// The parsed header, meaningful once `held >= HEAD`.
    head: Head,
    /// Payload bytes of the current frame still to come, meaningful once `held >= HEAD`.
    rest: usize,
    /// A header block was begun and has not ended.
    block: bool,
}

impl Scanner {
    /// For what a server sends.
    pub(super) fn of_server() -> Self {
        Self {
            preface: 0,
            started: false,
            gathered: [0; HEAD],
            peeked: [0; PEEK],
            held: 0,
            head: Head::default(),
            rest: 0,
            block: false,
        }
    }

    /// For what a client sends: the preface comes first.
    pub(super) fn of_client() -> Self {
        Self {
            preface: PREFACE,
            ..Self::of_server()
        }
    }

    /// Follows `bytes`, telling `on_event` what passes, in order.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(Event)) {
        while let Some(event) = self.step(&mut bytes) {
            on_event(event);
        }
    }

    /// Whether a frame of somebody else may be put in here: the preface and the client's first SETTINGS have passed
    /// (a server answers any other first frame with PROTOCOL_ERROR), no frame is cut and no header block is open.
    pub(super) fn at_boundary(&self) -> bool {
        self.started && self.held == 0 && !self.block
    }

    /// How many of `bytes` may pass before [`at_boundary`](Self::at_boundary) becomes true for the first time; all of
    /// them if it does not.
    pub(super) fn until_boundary(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let mut left = bytes;
        while !ahead.at_boundary() && ahead.step(&mut left).is_some() {}
        bytes.len() - left.len()
    }

    /// Takes bytes up to and including the one that completes an event; all of them when there is none.
    fn step(&mut self, bytes: &mut &[u8]) -> Option<Event> {
        if self.preface > 0 {
            self.preface -= skip(bytes, self.preface);
        }
        if self.held < HEAD {
            let raw = self.next_head(bytes)?;
            self.head = Head::parse(raw);
            self.rest = self.head.length as usize;
        }
        if self.head.is_go_away() && self.held < HEAD + PEEK {
            let count = fill(&mut self.peeked[self.held - HEAD..], bytes);
            self.held += count;
            self.rest -= count;
            if self.held < HEAD + PEEK {
                return None;
            }
            let [i0, i1, i2, i3, c0, c1, c2, c3] = self.peeked;
            return Some(Event::GoAway(GoAway {
                last_stream_id: stream_id([i0, i1, i2, i3]),
                code: u32::from_be_bytes([c0, c1, c2, c3]),
            }));
        }
        self.rest -= skip(bytes, self.rest);
        if self.rest > 0 {
            return None;
        }
        self.held = 0;
        self.started = true;
        self.block = self.head.leaves_block_open(self.block);
        Some(Event::End(self.head))
    }

    /// The bytes of the next header once they are there, in one piece (the usual case, without a copy) or gathered.
    fn next_head(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEAD]> {
        if bytes.is_empty() {
            return None;
        }
        if self.held == 0
            && let Some((&raw, rest)) = bytes.split_first_chunk()
        {
            self.held = HEAD;
            *bytes = rest;
            return Some(raw);
        }
        self.held += fill(&mut self.gathered[self.held..], bytes);
        (self.held == HEAD).then_some(self.gathered)
    }
}

/// Moves bytes from the front of `bytes` into `room`, and returns how many it moved.
fn fill(room: &mut [u8], bytes: &mut &[u8]) -> usize {
    let count = bytes.len().min(room.len());
    let (now, later) = bytes.split_at(count);
    room[..count].copy_from_slice(now);
    *bytes = later;
    count
}

/// Drops up to `count` bytes, and returns how many it dropped.
fn skip(bytes: &mut &[u8], count: usize) -> usize {
    let count = bytes.len().min(count);
    *bytes = &bytes[count..];
    count
}

/// A stream identifier: its highest bit is reserved and ignored.
fn stream_id(raw: [u8; 4]) -> u32 {
    u32::from_be_bytes(raw) & 0x7fff_ffff
}
