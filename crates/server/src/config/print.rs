//! The effective configuration as text: TOML that loads back to the same, and JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::field::Shape;
use super::key::Key;
use super::load::Loaded;
use super::{Budget, size};

impl Loaded {
    /// TOML, with what each key means above it and the source of its value behind it.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for (key, origin) in self.origins() {
            let (of, name) = key.section_and_name();
            if of != section {
                section = of;
                push(&mut out, format_args!("\n[{section}]\n"));
            }
            push(&mut out, format_args!("# {}\n", key.doc));
            let value = toml(key, &key.text(&self.config));
            push(&mut out, format_args!("{name} = {value} # {origin}"));
            if key.path == "memory.budget" && self.config.memory.budget == Budget::Auto {
                push(
                    &mut out,
                    format_args!("; {} here", size::Text(self.memory_bytes)),
                );
            }
            out.push('\n');
        }
        out
    }

    /// JSON, nested like the TOML: each key has its `value` (spelled as in the file), its
    /// `source` and whether it can change `live`; `memory.budget` also has its `bytes`.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for (key, origin) in self.origins() {
            let value = json(key, &key.text(&self.config));
            let mut entry = json!({"value": value, "source": origin.to_string(), "live": key.live});
            if key.path == "memory.budget" {
                entry["bytes"] = self.memory_bytes.into();
            }
            let (section, name) = key.section_and_name();
            let table = section.split('.').filter(|part| !part.is_empty()).fold(
                &mut root,
                |table, part| {
                    table
                        .entry(part)
                        .or_insert_with(|| Value::Object(Map::new()))
                        .as_object_mut()
                        .expect("a section is never a key")
                },
            );
            table.insert(name.to_owned(), entry);
        }
        Value::Object(root)
    }
}

/// A value as the file has it. Texts of values hold nothing that TOML would escape.
pub(super) fn toml(key: &Key, text: &str) -> String {
    match key.shape() {
        Shape::Bare => text.to_owned(),
        // A path may hold anything.
        Shape::Quoted => toml::Value::from(text).to_string(),
        Shape::List => array(items(text).map(|item| format!("\"{item}\""))),
        Shape::Tables(names) => array(items(text).map(|item| {
            let fields = fields(names, item).map(|(name, text)| format!("{name} = \"{text}\""));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        })),
    }
}

fn json(key: &Key, text: &str) -> Value {
    match key.shape() {
        Shape::Bare => text.parse().expect("numbers and booleans are JSON"),
        Shape::Quoted => text.into(),
        Shape::List => items(text).collect(),
        Shape::Tables(names) => items(text)
            .map(|item| {
                let fields = fields(names, item);
                fields
                    .map(|(name, text)| (name.to_owned(), text.into()))
                    .collect::<Map<_, Value>>()
            })
            .collect(),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}

/// The fields of an item that are there, with their names.
fn fields<'a>(names: &'a [&'a str], item: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let named = names.iter().copied().zip(item.split(':'));
    named.filter(|(_, text)| !text.is_empty())
}

/// An item a line; none is on the line of its name.
fn array(items: impl Iterator<Item = String>) -> String {
    let lines: String = items.map(|item| format!("    {item},\n")).collect();
    if lines.is_empty() {
        "[]".to_owned()
    } else {
        format!("[\n{lines}]")
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("a String takes all that is written");
}
