//! The table in the documents: what was tried, and what noticed it. The next run tries that first.

use std::collections::HashMap;
use std::fmt::Write as _;

const BEGIN: &str = "<!-- written by `cargo run -p loom-tests -- --write` -->\n";
const END: &str = "<!-- end -->\n";

/// A line of the table.
pub(crate) struct Row {
    pub(crate) place: String,
    pub(crate) mutation: String,
    /// The model that noticed, or why none can.
    pub(crate) noticed_by: String,
}

/// What noticed each mutation, by place and mutation, says the document.
pub(crate) fn read(document: &str) -> HashMap<(String, String), String> {
    let (_, table, _) = split(document);
    table
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
            let key = (cells.next()?.to_owned(), cells.next()?.to_owned());
            Some((key, cells.next()?.trim_matches('`').to_owned()))
        })
        .collect()
}

/// The document with this table.
pub(crate) fn write(document: &str, rows: &[Row]) -> String {
    let (before, _, after) = split(document);
    let mut table = "| place | becomes | noticed by |\n|---|---|---|\n".to_owned();
    for row in rows {
        let Row {
            place,
            mutation,
            noticed_by,
        } = row;
        let quote = if noticed_by.contains(' ') { "" } else { "`" };
        writeln!(
            table,
            "| {place} | {mutation} | {quote}{noticed_by}{quote} |"
        )
        .expect("a string takes everything");
    }
    [before, &table, after].concat()
}

/// Before, within and after the marks.
fn split(document: &str) -> (&str, &str, &str) {
    let begin = document.find(BEGIN).expect("the table's first mark") + BEGIN.len();
    let end = begin + document[begin..].find(END).expect("the table's last mark");
    (&document[..begin], &document[begin..end], &document[end..])
}
