//! Finds every atomic ordering in a source, and what can become of it.

use std::fmt;
use std::ops::Range;

/// An ordering, as it stands in a source.
pub(crate) struct Place {
    pub(crate) file: String,
    function: String,
    call: Call,
    /// The ordering's name.
    ordering: String,
    /// The text from `Ordering` on.
    pub(crate) span: Range<usize>,
}

/// What the ordering is given to, and for which part of it.
#[derive(Clone, PartialEq, Eq)]
enum Call {
    Load,
    Store,
    /// `fetch_add` and its like.
    Change(String),
    ExchangeSucceeds,
    ExchangeFails,
}

/// What becomes of a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    Becomes(&'static str),
    Split,
}

impl Mutation {
    /// As the copy's `WEAKEN` has it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Becomes(ordering) => ordering,
            Self::Split => "split",
        }
    }
}

impl Place {
    /// Everything that can be taken from it.
    pub(crate) fn mutations(&self) -> Vec<Mutation> {
        let mut mutations = match self.ordering.as_str() {
            "AcqRel" => vec![Mutation::Becomes("Acquire"), Mutation::Becomes("Release")],
            "Relaxed" => vec![],
            _ => vec![Mutation::Becomes("Relaxed")],
        };
        if matches!(self.call, Call::Change(_) | Call::ExchangeSucceeds) {
            mutations.push(Mutation::Split);
        }
        mutations
    }

    pub(crate) fn describe(&self, mutation: Mutation) -> String {
        match mutation {
            Mutation::Becomes(weaker) => format!("{} → {weaker}", self.ordering),
            Mutation::Split => "load, then store".to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match &self.call {
            Call::Load => "load",
            Call::Store => "store",
            Call::Change(name) => name,
            Call::ExchangeSucceeds => "exchange",
            Call::ExchangeFails => "exchange that fails",
        };
        write!(f, "`{}` `{}`: {call}", self.file, self.function)
    }
}

/// The places of one source, in their order.
pub(crate) fn find(file: &str, source: &str) -> Vec<Place> {
    let code = without_comments(source);
    let marker = "Ordering::";
    code.match_indices(marker)
        .map(|(start, _)| {
            let name = identifier_after(&code[start + marker.len()..]);
            Place {
                file: file.to_owned(),
                function: function_before(&code[..start]),
                call: call_before(&code[..start]),
                ordering: name.to_owned(),
                span: start..start + marker.len() + name.len(),
            }
        })
        .collect()
}

/// The same text, of the same length, with blanks for comments.
fn without_comments(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    for line in source.split_inclusive('\n') {
        let end = line.find("//").unwrap_or(line.len());
        code.push_str(&line[..end]);
        code.extend(
            line[end..]
                .bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
        );
    }
    code
}

fn identifier_after(code: &str) -> &str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_');
    &code[..end.unwrap_or(code.len())]
}

fn identifier_before(code: &str) -> &str {
    let start = code.rfind(|c: char| !c.is_alphanumeric() && c != '_');
    &code[start.map_or(0, |at| at + 1)..]
}

fn function_before(code: &str) -> String {
    let at = code.rfind("fn ").expect("an ordering stands in a function");
    identifier_after(&code[at + 3..]).to_owned()
}

/// The call in whose arguments the text ends.
fn call_before(code: &str) -> Call {
    let (mut depth, mut argument) = (0, 0);
    for (at, c) in code.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth > 0 => depth -= 1,
            ',' if depth == 0 => argument += 1,
            '(' => {
                return match (identifier_before(&code[..at]), argument) {
                    ("load", 0) => Call::Load,
                    ("store", 1) | ("store_locked", 2) => Call::Store,
                    (name, 1) if name.starts_with("fetch_") || name == "swap" => {
                        Call::Change(name.to_owned())
                    }
                    (name, 2) if name.contains("exchange") => Call::ExchangeSucceeds,
                    (name, 3) if name.contains("exchange") => Call::ExchangeFails,
                    (name, argument) => panic!("argument {argument} of {name} is an ordering"),
                };
            }
            _ => {}
        }
    }
    panic!("an ordering stands in a call")
}
