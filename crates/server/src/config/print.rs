//! The effective configuration as text: TOML that loads back to the same, and JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

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
            let text = key.text(&self.config);
            // A path may hold anything.
            let text = if key.is_bare() {
                text
            } else {
                toml::Value::String(text).to_string()
            };
            push(&mut out, format_args!("# {}\n", key.doc));
            push(&mut out, format_args!("{name} = {text} # {origin}"));
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
            let text = key.text(&self.config);
            let value = if key.is_bare() {
                text.parse().expect("numbers and booleans are JSON")
            } else {
                Value::String(text)
            };
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

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("a String takes all that is written");
}
