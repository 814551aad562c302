//! As much header compression (RFC 7541) as a test peer needs: plain encoding, and decoding of what a real client sends.

use std::collections::VecDeque;

/// Decoded header fields in order, pseudo-header fields included.
pub(crate) type Fields = Vec<(String, String)>;

/// A response's header block: `:status`, then the fields as literals without indexing and without Huffman coding.
pub(crate) fn response_block(status: u16, fields: &[(&str, &str)]) -> Vec<u8> {
    let indexed = [200, 204, 206, 304, 400, 404, 500];
    let mut block = match indexed.iter().position(|&known| known == status) {
        Some(at) => vec![0x88 + at as u8],
        None => {
            let mut literal = vec![0x08];
            string(&mut literal, &status.to_string());
            literal
        }
    };
    block.extend(field_block(fields));
    block
}

/// A header block without pseudo-header fields, such as trailers.
pub(crate) fn field_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// A string literal without Huffman coding.
fn string(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ ..0x7f => out.push(short as u8),
        long => {
            out.push(0x7f);
            let mut rest = long - 0x7f;
            while rest >= 0x80 {
                out.push(0x80 | (rest & 0x7f) as u8);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }
    out.extend(text.as_bytes());
}

/// Decodes one client's header blocks, in the order in which they came. Panics on a malformed one.
#[derive(Debug)]
pub(crate) struct Decoder {
    dynamic: VecDeque<(String, String)>,
    /// Size of the dynamic table, counted as section 4.1 does, and its limit.
    size: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            dynamic: VecDeque::new(),
            size: 0,
            limit: 4096,
        }
    }
}

impl Decoder {
    /// Decodes a whole header block.
    pub(crate) fn decode(&mut self, mut block: &[u8]) -> Fields {
        let mut fields = Fields::new();
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7);
                fields.push(self.entry(index));
            } else if first & 0xe0 == 0x20 {
                self.limit = integer(&mut block, 5);
                self.evict();
            } else {
                let kept = first & 0x40 != 0;
                let index = integer(&mut block, if kept { 6 } else { 4 });
                let name = match index {
                    0 => text(&mut block),
                    index => self.entry(index).0,
                };
                let field = (name, text(&mut block));
                if kept {
                    self.size += cost(&field);
                    self.dynamic.push_front(field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        fields
    }

    fn entry(&self, index: usize) -> (String, String) {
        let at = index.checked_sub(1).expect("index 0 is not used");
        match STATIC.get(at) {
            Some(&(name, value)) => (name.to_owned(), value.to_owned()),
            None => self.dynamic[at - STATIC.len()].clone(),
        }
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let field = self.dynamic.pop_back().expect("a non-empty table");
            self.size -= cost(&field);
        }
    }
}

fn cost((name, value): &(String, String)) -> usize {
    name.len() + value.len() + 32
}

/// An integer with a prefix of so many bits (section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> usize {
    let full = (1 << prefix) - 1;
    let mut value = usize::from(byte(block)) & full;
    if value == full {
        for shift in (0..).step_by(7) {
            let next = byte(block);
            value += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    value
}

/// A string literal (section 5.2).
fn text(block: &mut &[u8]) -> String {
    let huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7);
    let (raw, rest) = block.split_at(length);
    *block = rest;
    let raw = if huffman { unpack(raw) } else { raw.to_vec() };
    String::from_utf8(raw).expect("tests use UTF-8 in header fields")
}

fn byte(block: &mut &[u8]) -> u8 {
    let (&first, rest) = block.split_first().expect("header block ends too early");
    *block = rest;
    first
}

/// Undoes the Huffman coding. The code is canonical: codes of one length are consecutive numbers, in the order of the symbols,
/// and follow the shorter ones; so the code lengths are all that is needed.
fn unpack(raw: &[u8]) -> Vec<u8> {
    let mut symbols: Vec<u8> = (0..=u8::MAX).collect();
    symbols.sort_by_key(|&symbol| LENGTHS[usize::from(symbol)]);
    let mut counts = [0; 31];
    for length in LENGTHS {
        counts[usize::from(length)] += 1;
    }
    let bits = raw
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| usize::from(byte >> at & 1)));
    // `first` is the first code of the current length, `shorter` the number of symbols with shorter codes.
    let (mut out, mut code, mut first, mut shorter, mut length) = (Vec::new(), 0, 0, 0, 0);
    for bit in bits {
        length += 1;
        code = code << 1 | bit;
        first <<= 1;
        let count = *counts.get(length).expect("no code is that long");
        if code - first < count {
            out.push(symbols[shorter + code - first]);
            (code, first, shorter, length) = (0, 0, 0, 0);
        } else {
            first += count;
            shorter += count;
        }
    }
    assert!(length < 8 && code == (1 << length) - 1, "bad padding");
    out
}

/// Lengths of the codes of the 256 octets (RFC 7541, appendix B); the end-of-string symbol has 30 bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// The static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];
