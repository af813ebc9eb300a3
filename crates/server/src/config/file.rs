//! The TOML file as a flat list of dotted paths, texts and lines.

use crate::regular_file;
use std::io::Read;
use std::path::Path;

use micronode_protocol::limits::CONFIG_BYTES;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Reason;

/// What a path was given in the file.
pub(super) enum Given {
    Boolean(bool),
    /// Decimal digits, with a sign when negative.
    Integer(String),
    String(String),
    Array(Vec<Item>),
    /// In an array; elsewhere a table is its entries.
    Table(Vec<Entry>),
    /// A type that no key has, by its name. An empty table is one too; others are their entries.
    Other(&'static str),
}

impl Given {
    /// The type, for a message that expected another.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

/// One item of an array.
pub(super) struct Item {
    pub(super) given: Given,
    /// Counted from 1.
    pub(super) line: usize,
}

/// One value of the file.
pub(super) struct Entry {
    /// Parts joined by dots; a part that TOML would have to quote is quoted.
    pub(super) path: String,
    pub(super) given: Given,
    /// Counted from 1.
    pub(super) line: usize,
}

/// Reads the file's text, at most [`CONFIG_BYTES`] of it.
pub(super) fn read(path: &Path) -> Result<String, Reason> {
    let mut text = String::new();
    regular_file::open(path)?
        .take(CONFIG_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_BYTES {
        return Err(Reason::FileTooLarge { most: CONFIG_BYTES });
    }
    Ok(text)
}

/// A place where the text is not TOML.
pub(super) struct SyntaxError {
    pub(super) message: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// Every value in `text`, or every syntax error.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Vec<SyntaxError>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    if errors.is_empty() {
        let mut entries = Vec::new();
        flatten(&lines, "", document.get_ref(), &mut entries);
        // The parser sorts by name; people read by line.
        entries.sort_by_key(|entry| entry.line);
        return Ok(entries);
    }
    let syntax_error = |error: toml::de::Error| SyntaxError {
        message: error.message().to_owned(),
        line: lines.at(error.span().map_or(text.len(), |span| span.start)),
    };
    Err(errors.into_iter().map(syntax_error).collect())
}

/// Depth is bounded by the parser.
fn flatten(lines: &Lines, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let part = quoted(name.get_ref());
        let path = if prefix.is_empty() {
            part
        } else {
            format!("{prefix}.{part}")
        };
        if let DeValue::Table(inner) = value.get_ref()
            && !inner.is_empty()
        {
            flatten(lines, &path, inner, entries);
        } else {
            entries.push(Entry {
                path,
                given: given(lines, value),
                line: lines.at(name.span().start),
            });
        }
    }
}

fn given(lines: &Lines, value: &Spanned<DeValue<'_>>) -> Given {
    match value.get_ref() {
        DeValue::Boolean(value) => Given::Boolean(*value),
        DeValue::Integer(value) => match i128::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => Given::Integer(value.to_string()),
            Err(_) => Given::Other("an integer of more than 127 bits"),
        },
        DeValue::String(value) => Given::String(value.clone().into_owned()),
        DeValue::Float(_) => Given::Other("a float"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => {
            let item = |item| Item {
                given: match Spanned::get_ref(item) {
                    DeValue::Table(table) => {
                        let mut entries = Vec::new();
                        flatten(lines, "", table, &mut entries);
                        Given::Table(entries)
                    }
                    _ => given(lines, item),
                },
                line: lines.at(item.span().start),
            };
            Given::Array(items.iter().map(item).collect())
        }
        DeValue::Table(_) => Given::Other("a table"),
    }
}

/// `part` as TOML writes it, so that `"limits.rps" = 1` is not mistaken for `limits.rps = 1`.
fn quoted(part: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !part.is_empty() && part.bytes().all(bare) {
        part.to_owned()
    } else {
        format!("{part:?}")
    }
}

/// Where the lines of a text end: a file full of list items asks for a line at each.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end).collect())
    }

    /// The line of the byte at `offset`, counted from 1.
    fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}
