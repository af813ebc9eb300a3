//! Lays the sources over each other and checks the result.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::field::Shape;
use super::file::{self, Entry, Given, Item, SyntaxError};
use super::key::{ENV_PREFIX, KEYS, Key};
use super::nearest::nearest;
use super::problem::{ConfigError, Origin, Problem, Reason};
use super::{Budget, Config, OapListener, memory};

/// Variables with our prefix that tell a client what to talk to, and say nothing to a node.
pub(super) const CLIENT_VARIABLES: [&str; 8] = [
    "MICRO_URL",
    "MICRO_TOKEN",
    "MICRO_GRANT",
    "MICRO_GRANT_FILE",
    "MICRO_CA",
    "MICRO_PIN",
    "MICRO_CLIENT_CERT",
    "MICRO_CLIENT_KEY",
];

/// The runtime's own name for `workers`; `MICRO_WORKERS` wins over it.
const TOKIO_WORKERS: &str = "TOKIO_WORKERS";

/// Where the values come from, weakest first.
#[derive(Debug, Clone)]
pub struct Sources<E> {
    /// The TOML file, which must exist when it is named.
    pub file: Option<PathBuf>,
    /// Environment variables, those of others included (see [`process_environment`]).
    pub env: E,
    /// Values of flags by the path of the key that each sets; the last of several wins.
    pub flags: Vec<(&'static str, String)>,
}

/// A checked configuration, and where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The memory budget in bytes, with `auto` worked out.
    pub memory_bytes: u64,
    /// By position in [`KEYS`].
    origins: Vec<Origin>,
}

impl Loaded {
    /// Each key with the source of its value, in the order of [`KEYS`].
    pub fn origins(&self) -> impl Iterator<Item = (&'static Key, &Origin)> {
        KEYS.iter().zip(&self.origins)
    }
}

/// This process's environment for [`Sources::env`]. A name or value that is not Unicode keeps its
/// readable part, so that it is reported when it is meant for the node.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}

/// Lays `sources` over the defaults and checks every value given, also those that a stronger
/// source overrides. On failure, the error lists all that is wrong.
pub fn load<E>(sources: Sources<E>) -> Result<Loaded, ConfigError>
where
    E: IntoIterator<Item = (String, String)>,
{
    let mut layers = Layers::new();
    if let Some(path) = &sources.file {
        layers.file(path);
    }
    layers.env(sources.env);
    for (path, text) in sources.flags {
        layers.flag(path, &text);
    }
    layers.finish()
}

/// Whether it is a variable of builds with faults.
fn is_fault(name: &str) -> bool {
    #[cfg(feature = "faults")]
    return [
        crate::amnesia::DUMPABLE_VARIABLE,
        crate::worse::SLOWER_VARIABLE,
        crate::worse::FATTER_VARIABLE,
    ]
    .contains(&name);
    #[cfg(not(feature = "faults"))]
    {
        let _ = name;
        false
    }
}

struct Layers {
    config: Config,
    origins: Vec<Origin>,
    problems: Vec<Problem>,
}

impl Layers {
    fn new() -> Self {
        Self {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, name: impl Into<String>, origin: Origin, reason: Reason) {
        self.problems.push(Problem {
            name: name.into(),
            origin,
            reason,
        });
    }

    /// `name` is what the operator called `key`.
    fn set(&mut self, (index, key): (usize, &Key), name: &str, text: &str, origin: Origin) {
        match key.set(&mut self.config, text) {
            Ok(()) => self.origins[index] = origin,
            Err(reason) => self.problem(name, origin, reason),
        }
    }

    fn file(&mut self, path: &Path) {
        let text = match file::read(path) {
            Ok(text) => text,
            Err(reason) => {
                return self.problem(path.display().to_string(), Origin::Default, reason);
            }
        };
        match file::parse(&text) {
            Ok(entries) => entries
                .into_iter()
                .for_each(|entry| self.entry(path, entry)),
            // What could be read of it would be judged by guesses.
            Err(errors) => {
                for SyntaxError { message, line } in errors {
                    let origin = Origin::File {
                        path: path.to_owned(),
                        line,
                    };
                    self.problem("syntax", origin, Reason::Syntax(message));
                }
            }
        }
    }

    fn entry(&mut self, file: &Path, entry: Entry) {
        let Entry { path, given, line } = entry;
        let origin = Origin::File {
            path: file.to_owned(),
            line,
        };
        let Some((index, key)) = Key::find(&path) else {
            let is_section = sections().contains(path.as_str());
            return match given {
                // An empty section says nothing.
                Given::Other("a table") if is_section => {}
                _ if is_section => self.problem(path, origin, Reason::Section),
                // `[issuers]` for `[[issuers]]`.
                _ if let Some((_, list)) =
                    path.split_once('.').and_then(|(key, _)| Key::find(key)) =>
                {
                    let (expected, found) = (list.expected(), "a table");
                    self.problem(path, origin, Reason::Type { expected, found });
                }
                _ => {
                    let known = KEYS.iter().map(|key| key.path).chain(sections());
                    let nearest = nearest(&path, known).unwrap_or_default().to_owned();
                    self.problem(path, origin, Reason::Unknown { nearest });
                }
            };
        };
        let (text, found) = match given {
            Given::Array(items) if key.is_list() => {
                return self.items(file, (index, key), origin, items);
            }
            Given::Boolean(value) if key.takes_boolean() => (Some(value.to_string()), ""),
            Given::Integer(value) if key.takes_integer() => (Some(value), ""),
            Given::String(value) if key.shape() == Shape::Quoted => (Some(value), ""),
            other => (None, other.name()),
        };
        match text {
            Some(text) => self.set((index, key), &path, &text, origin),
            None => {
                let expected = key.expected();
                self.problem(path, origin, Reason::Type { expected, found });
            }
        }
    }

    /// A list: whatever is wrong with its items is told with the line that it is in.
    fn items(
        &mut self,
        file: &Path,
        (index, key): (usize, &Key),
        origin: Origin,
        items: Vec<Item>,
    ) {
        let at = |line| Origin::File {
            path: file.to_owned(),
            line,
        };
        let told = self.problems.len();
        let (mut texts, mut lines) = (Vec::new(), Vec::new());
        for Item { given, line } in items {
            match (given, key.shape()) {
                (Given::String(text), Shape::List) => texts.push(text),
                (Given::Table(entries), Shape::Tables(fields)) => {
                    texts.push(self.table(file, key, fields, entries));
                }
                (other, _) => {
                    let (expected, found) = (key.expected(), other.name());
                    self.problem(key.path, at(line), Reason::Type { expected, found });
                }
            }
            lines.push(line);
        }
        if self.problems.len() > told {
            return;
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        match key.set_items(&mut self.config, &texts) {
            Ok(()) => self.origins[index] = origin,
            Err(problems) => {
                for (item, reason) in problems {
                    self.problem(key.path, at(lines[item]), reason);
                }
            }
        }
    }

    /// A table of a list as one text: its fields in order.
    fn table(&mut self, file: &Path, key: &Key, fields: &[&str], entries: Vec<Entry>) -> String {
        let mut texts = vec![String::new(); fields.len()];
        for Entry { path, given, line } in entries {
            let field = fields.iter().position(|field| *field == path);
            let result = match (field, given) {
                (Some(field), Given::String(text)) => {
                    let checked = key.check_item(fields[field], &text);
                    texts[field] = text;
                    checked
                }
                (Some(_), other) => Err(Reason::Type {
                    expected: "a string",
                    found: other.name(),
                }),
                (None, _) => {
                    let nearest = nearest(&path, fields.iter().copied()).unwrap_or_default();
                    let nearest = format!("{}.{nearest}", key.path);
                    Err(Reason::Unknown { nearest })
                }
            };
            if let Err(reason) = result {
                let origin = Origin::File {
                    path: file.to_owned(),
                    line,
                };
                self.problem(format!("{}.{path}", key.path), origin, reason);
            }
        }
        texts.join(":")
    }

    fn env(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let (ours, tokio): (Vec<_>, Vec<_>) = env
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX) || name == TOKIO_WORKERS)
            .filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()))
            .filter(|(name, _)| !is_fault(name))
            .partition(|(name, _)| name != TOKIO_WORKERS);
        // Ours come last, so that they win.
        for (name, text) in tokio.into_iter().chain(ours) {
            let path = if name == TOKIO_WORKERS {
                "workers".to_owned()
            } else {
                path_of(&name)
            };
            let origin = Origin::Env(name.clone());
            match Key::find(&path) {
                Some(found) => self.set(found, &name, &text, origin),
                None => {
                    let nearest = nearest(&path, KEYS.iter().map(|key| key.path))
                        .and_then(Key::find)
                        .map(|(_, key)| key.env())
                        .unwrap_or_default();
                    self.problem(name, origin, Reason::Unknown { nearest });
                }
            }
        }
    }

    fn flag(&mut self, path: &'static str, text: &str) {
        let Some(found) = Key::find(path) else {
            // The command line's own parser knows the flags; this is a mistake in the binary.
            panic!("a flag sets {path}, which is not a key");
        };
        let flag = found.1.flag.unwrap_or(path);
        self.set(found, path, text, Origin::Flag(flag.to_owned()));
    }

    /// What no single value shows.
    fn finish(mut self) -> Result<Loaded, ConfigError> {
        let origin_of = |origins: &[Origin], path| {
            let (index, _) = Key::find(path).expect("a path from the table");
            origins[index].clone()
        };
        let Config { bind, admin, .. } = self.config;
        let oap = match self.config.oap {
            OapListener::At(address) => Some(address),
            OapListener::Auto | OapListener::Off => None,
        };
        let listeners = [("bind", Some(bind)), ("admin", Some(admin)), ("oap", oap)];
        let [bind, admin, oap] = listeners;
        for ((other, taken), (key, address)) in [(bind, admin), (bind, oap), (admin, oap)] {
            if let Some(address) = address.filter(|address| address.port() != 0)
                && Some(address) == taken
            {
                let origin = origin_of(&self.origins, key);
                self.problem(key, origin, Reason::SameAddress { address, other });
            }
        }
        let memory_bytes = match self.config.memory.budget {
            Budget::Bytes(bytes) => bytes,
            Budget::Auto => memory::auto_budget(Path::new("/")).unwrap_or_else(|error| {
                let origin = origin_of(&self.origins, "memory.budget");
                self.problem("memory.budget", origin, error.into());
                0
            }),
        };
        if self.problems.is_empty() {
            Ok(Loaded {
                config: self.config,
                memory_bytes,
                origins: self.origins,
            })
        } else {
            Err(ConfigError {
                problems: self.problems,
            })
        }
    }
}

/// `MICRO_LIMITS__RPS` → `limits.rps`. A name in another case than upper is no key of ours, so
/// that one key has one variable.
fn path_of(name: &str) -> String {
    let rest = name.strip_prefix(ENV_PREFIX).unwrap_or(name);
    if rest.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return name.to_owned();
    }
    rest.replace("__", ".").to_ascii_lowercase()
}

/// The paths of all sections: every proper prefix of a key's path.
fn sections() -> BTreeSet<&'static str> {
    KEYS.iter()
        .flat_map(|key| key.path.match_indices('.').map(|(end, _)| &key.path[..end]))
        .collect()
}
