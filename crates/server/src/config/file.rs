//! The TOML file as a flat list of dotted paths, texts and lines.

use std::fs::File;
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
    /// A type that no key has, by its name. An empty table is one too; others are their entries.
    Other(&'static str),
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
    File::open(path)?
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
    if errors.is_empty() {
        let mut entries = Vec::new();
        flatten(text, "", document.get_ref(), &mut entries);
        // The parser sorts by name; people read by line.
        entries.sort_by_key(|entry| entry.line);
        return Ok(entries);
    }
    let syntax_error = |error: toml::de::Error| SyntaxError {
        message: error.message().to_owned(),
        line: line_at(text, error.span().map_or(text.len(), |span| span.start)),
    };
    Err(errors.into_iter().map(syntax_error).collect())
}

/// Depth is bounded by the parser.
fn flatten(text: &str, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
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
            flatten(text, &path, inner, entries);
        } else {
            entries.push(Entry {
                path,
                given: given(value),
                line: line_at(text, name.span().start),
            });
        }
    }
}

fn given(value: &Spanned<DeValue<'_>>) -> Given {
    match value.get_ref() {
        DeValue::Boolean(value) => Given::Boolean(*value),
        DeValue::Integer(value) => match i128::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => Given::Integer(value.to_string()),
            Err(_) => Given::Other("an integer of more than 127 bits"),
        },
        DeValue::String(value) => Given::String(value.clone().into_owned()),
        DeValue::Float(_) => Given::Other("a float"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(_) => Given::Other("an array"),
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

fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
}
