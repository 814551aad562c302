//! Frames as they are on the wire (RFC 9113, sections 4 and 6): nothing here stops a test from building nonsense.

/// Frame types.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Frame flags.
pub(crate) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// Parameters of SETTINGS.
pub(crate) mod setting {
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Error codes.
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL_ERROR: u32 = 1;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
}

/// One frame. Its length field is the length of `payload`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Any frame.
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// SETTINGS with the given parameters.
    pub(crate) fn settings(parameters: &[(u16, u32)]) -> Self {
        let payload: Vec<u8> = parameters
            .iter()
            .flat_map(|(id, value)| [id.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()])
            .flatten()
            .collect();
        Self::new(kind::SETTINGS, 0, 0, payload)
    }

    /// The acknowledgment of SETTINGS.
    pub(crate) fn settings_ack() -> Self {
        Self::new(kind::SETTINGS, flag::ACK, 0, [])
    }

    /// HEADERS with a whole header block.
    pub(crate) fn headers(stream: u32, block: impl Into<Vec<u8>>, end_stream: bool) -> Self {
        let end = if end_stream { flag::END_STREAM } else { 0 };
        Self::new(kind::HEADERS, flag::END_HEADERS | end, stream, block)
    }

    /// CONTINUATION of a header block; for its beginning, clear END_HEADERS of [`Frame::headers`].
    pub(crate) fn continuation(
        stream: u32,
        fragment: impl Into<Vec<u8>>,
        end_headers: bool,
    ) -> Self {
        let end = if end_headers { flag::END_HEADERS } else { 0 };
        Self::new(kind::CONTINUATION, end, stream, fragment)
    }

    /// DATA without padding.
    pub(crate) fn data(stream: u32, payload: impl Into<Vec<u8>>, end_stream: bool) -> Self {
        let end = if end_stream { flag::END_STREAM } else { 0 };
        Self::new(kind::DATA, end, stream, payload)
    }

    /// RST_STREAM.
    pub(crate) fn rst(stream: u32, code: u32) -> Self {
        Self::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    /// GOAWAY with debug data.
    pub(crate) fn go_away(last_stream: u32, code: u32, debug: &[u8]) -> Self {
        let payload = [&last_stream.to_be_bytes(), &code.to_be_bytes(), debug].concat();
        Self::new(kind::GOAWAY, 0, 0, payload)
    }

    /// PING, or its answer.
    pub(crate) fn ping(opaque: [u8; 8], ack: bool) -> Self {
        let ack = if ack { flag::ACK } else { 0 };
        Self::new(kind::PING, ack, 0, opaque)
    }

    /// WINDOW_UPDATE; stream 0 is the connection.
    pub(crate) fn window_update(stream: u32, increment: u32) -> Self {
        Self::new(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("payload length fits 24 bits");
        assert!(length < 1 << 24, "payload length fits 24 bits");
        let mut out = length.to_be_bytes()[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend(&self.payload);
        out
    }

    /// Takes the first frame off `bytes`, if it is there to the end.
    pub(crate) fn decode(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut frame = Self::new(
            head[3],
            head[4],
            u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
            [],
        );
        frame.payload = bytes.get(9..9 + length)?.to_vec();
        bytes.drain(..9 + length);
        Some(frame)
    }

    /// Whether the frame has this flag.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the frame ends the sender's side of its stream.
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.has(flag::END_STREAM)
    }

    /// The 32-bit number at `at` in the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        let raw = self.payload.get(at..at + 4).expect("payload is too short");
        u32::from_be_bytes(raw.try_into().expect("four bytes"))
    }
}

/// Asserts that no frame is of this type.
#[track_caller]
pub(crate) fn lacks(frames: &[Frame], kind: u8) {
    assert!(frames.iter().all(|frame| frame.kind != kind), "{frames:?}");
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RST_STREAM",
            "SETTINGS",
            "PUSH_PROMISE",
            "PING",
            "GOAWAY",
            "WINDOW_UPDATE",
            "CONTINUATION",
        ];
        match names.get(usize::from(self.kind)) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "UNKNOWN({})", self.kind)?,
        }
        write!(f, "[stream {}, flags {:#x}, ", self.stream, self.flags)?;
        match &self.payload[..] {
            short if short.len() <= 16 => write!(f, "{short:x?}]"),
            long => write!(f, "{} bytes]", long.len()),
        }
    }
}
