//! The types of configuration values: how each is read from text, bounded, and written back.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::authority::{Deny, Issuer, check_name};
use super::list::{ItemProblems, check_count, joined};
use super::problem::Reason;
use super::route::Route;
use super::{Budget, Config, OapListener, duration, size};

/// Reads and writes one value of type `T` in a configuration.
pub(super) struct Place<T> {
    pub(super) get: fn(&Config) -> T,
    pub(super) set: fn(&mut Config, T),
}

/// A value's place, by its type. Ranges are what makes sense at all; what an operator may choose
/// within them is the key's rule.
pub(super) enum Field {
    Flag(Place<bool>),
    /// A plain number.
    Count(Place<u64>, RangeInclusive<u64>),
    /// Bytes.
    Size(Place<u64>, RangeInclusive<u64>),
    Duration(Place<Duration>, RangeInclusive<Duration>),
    Address(Place<SocketAddr>),
    /// An address, or `auto` or `off`.
    Oap(Place<OapListener>),
    /// `auto`, or at least these bytes.
    Budget(Place<Budget>, u64),
    /// A file; the empty text is none.
    Path(Place<Option<PathBuf>>),
    /// The index of one of these words.
    Word(Place<usize>, &'static [&'static str]),
    Name(Place<String>),
    /// At most so many.
    Deny(Place<Deny>, usize),
    /// At most so many, no two the same.
    Issuers(Place<Vec<Issuer>>, usize),
    /// At most so many, no two of one name.
    Routes(Place<Vec<Route>>, usize),
}

/// How a value stands in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Bare,
    Quoted,
    /// An array of strings.
    List,
    /// An array of tables with these keys.
    Tables(&'static [&'static str]),
}

/// A value beyond its field's range, with the end that it passed.
pub(super) enum Beyond {
    /// Less than the least.
    Low { given: String, least: String },
    /// More than the most.
    High { given: String, most: String },
}

/// Why a text was not taken.
pub(super) enum Refused {
    Malformed(Reason),
    Beyond(Beyond),
}

impl Field {
    /// Reads `text` into `config`, which is untouched unless the value is in range.
    pub(super) fn set(&self, config: &mut Config, text: &str) -> Result<(), Refused> {
        let given = || text.to_owned();
        let malformed = |reason| Refused::Malformed(reason);
        match self {
            Self::Flag(place) => {
                let value = match text {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(malformed(Reason::Flag { given: given() })),
                };
                (place.set)(config, value);
            }
            Self::Count(place, range) => {
                let value = text
                    .parse()
                    .map_err(|_| malformed(Reason::Count { given: given() }))?;
                (place.set)(config, within(value, range, |value| value.to_string())?);
            }
            Self::Size(place, range) => {
                let value = size::parse(text).map_err(|error| {
                    malformed(Reason::Size {
                        given: given(),
                        error,
                    })
                })?;
                (place.set)(
                    config,
                    within(value, range, |value| size::Text(value).to_string())?,
                );
            }
            Self::Duration(place, range) => {
                let value = duration::parse(text).map_err(|error| {
                    malformed(Reason::Duration {
                        given: given(),
                        error,
                    })
                })?;
                (place.set)(
                    config,
                    within(value, range, |value| duration::Text(value).to_string())?,
                );
            }
            Self::Address(place) => {
                let value = text
                    .parse()
                    .map_err(|_| malformed(Reason::Address { given: given() }))?;
                (place.set)(config, value);
            }
            Self::Oap(place) => {
                let value = match text {
                    "auto" => OapListener::Auto,
                    "off" => OapListener::Off,
                    _ => OapListener::At(
                        text.parse()
                            .map_err(|_| malformed(Reason::Address { given: given() }))?,
                    ),
                };
                (place.set)(config, value);
            }
            Self::Budget(place, least) => {
                let value = if text == "auto" {
                    Budget::Auto
                } else {
                    let bytes = size::parse(text).map_err(|error| {
                        malformed(Reason::Size {
                            given: given(),
                            error,
                        })
                    })?;
                    let range = *least..=u64::MAX;
                    Budget::Bytes(within(bytes, &range, |value| {
                        size::Text(value).to_string()
                    })?)
                };
                (place.set)(config, value);
            }
            Self::Path(place) => (place.set)(config, (!text.is_empty()).then(|| text.into())),
            Self::Word(place, words) => {
                let value = words.iter().position(|word| *word == text).ok_or_else(|| {
                    malformed(Reason::Word {
                        given: given(),
                        words,
                    })
                })?;
                (place.set)(config, value);
            }
            Self::Name(place) => {
                check_name(text).map_err(malformed)?;
                (place.set)(config, given());
            }
            Self::Deny(..) | Self::Issuers(..) | Self::Routes(..) => {
                let items = text.split(',').filter(|_| !text.is_empty());
                let problems = self.set_items(config, &items.collect::<Vec<_>>());
                // One value, one problem: the first.
                if let Some((_, reason)) = problems.err().and_then(|all| all.into_iter().next()) {
                    return Err(malformed(reason));
                }
            }
        }
        Ok(())
    }

    /// Reads a list into `config`, which is untouched unless all items are good.
    pub(super) fn set_items(
        &self,
        config: &mut Config,
        items: &[&str],
    ) -> Result<(), ItemProblems> {
        match self {
            Self::Deny(place, most) => {
                check_count(items, *most)?;
                (place.set)(config, Deny::parse(items)?);
            }
            Self::Issuers(place, most) => {
                check_count(items, *most)?;
                (place.set)(config, Issuer::parse_all(items)?);
            }
            Self::Routes(place, most) => {
                check_count(items, *most)?;
                (place.set)(config, Route::parse_all(items)?);
            }
            _ => unreachable!("only a list has items"),
        }
        Ok(())
    }

    /// Whether `text` will do for this field of a table in the list.
    pub(super) fn check_item(&self, field: &str, text: &str) -> Result<(), Reason> {
        match self {
            Self::Issuers(..) => Issuer::check_field(field, text),
            Self::Routes(..) => Route::check_field(field, text),
            _ => unreachable!("only a list of tables has fields"),
        }
    }

    /// How the file has it.
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Flag(_) | Self::Count(..) => Shape::Bare,
            Self::Deny(..) => Shape::List,
            Self::Issuers(..) => Shape::Tables(Issuer::FIELDS),
            Self::Routes(..) => Shape::Tables(Route::FIELDS),
            _ => Shape::Quoted,
        }
    }

    /// The value in `config`, in the spelling that [`Field::set`] reads.
    pub(super) fn text(&self, config: &Config) -> String {
        match self {
            Self::Flag(place) => (place.get)(config).to_string(),
            Self::Count(place, _) => (place.get)(config).to_string(),
            Self::Size(place, _) => size::Text((place.get)(config)).to_string(),
            Self::Duration(place, _) => duration::Text((place.get)(config)).to_string(),
            Self::Address(place) => (place.get)(config).to_string(),
            Self::Oap(place) => match (place.get)(config) {
                OapListener::Auto => "auto".to_owned(),
                OapListener::Off => "off".to_owned(),
                OapListener::At(address) => address.to_string(),
            },
            Self::Budget(place, _) => match (place.get)(config) {
                Budget::Auto => "auto".to_owned(),
                Budget::Bytes(bytes) => size::Text(bytes).to_string(),
            },
            Self::Path(place) => {
                (place.get)(config).map_or_else(String::new, |path| path.display().to_string())
            }
            Self::Word(place, words) => words[(place.get)(config)].to_owned(),
            Self::Name(place) => (place.get)(config),
            Self::Deny(place, _) => joined((place.get)(config).texts()),
            Self::Issuers(place, _) => joined((place.get)(config).iter().map(ToString::to_string)),
            Self::Routes(place, _) => joined((place.get)(config).iter().map(ToString::to_string)),
        }
    }

    /// Whether the two configurations differ here.
    pub(super) fn differs(&self, a: &Config, b: &Config) -> bool {
        match self {
            Self::Flag(place) => (place.get)(a) != (place.get)(b),
            Self::Count(place, _) | Self::Size(place, _) => (place.get)(a) != (place.get)(b),
            Self::Duration(place, _) => (place.get)(a) != (place.get)(b),
            Self::Address(place) => (place.get)(a) != (place.get)(b),
            Self::Oap(place) => (place.get)(a) != (place.get)(b),
            Self::Budget(place, _) => (place.get)(a) != (place.get)(b),
            Self::Path(place) => (place.get)(a) != (place.get)(b),
            Self::Word(place, _) => (place.get)(a) != (place.get)(b),
            Self::Name(place) => (place.get)(a) != (place.get)(b),
            Self::Deny(place, _) => (place.get)(a) != (place.get)(b),
            Self::Issuers(place, _) => (place.get)(a) != (place.get)(b),
            Self::Routes(place, _) => (place.get)(a) != (place.get)(b),
        }
    }

    /// The type with an example, for a message that expected it.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Self::Flag(_) => "true or false",
            Self::Count(..) => "a whole number",
            Self::Size(..) => "a size such as \"1MiB\"",
            Self::Duration(..) => "a duration such as \"5s\"",
            Self::Address(_) => "an address such as \"127.0.0.1:8080\"",
            Self::Oap(_) => "\"auto\", \"off\" or an address such as \"127.0.0.1:8081\"",
            Self::Budget(..) => "\"auto\" or a size such as \"1GiB\"",
            Self::Path(_) => "a path in quotes",
            Self::Word(..) => "a word in quotes",
            Self::Name(_) => "a name in quotes",
            Self::Deny(..) => "an array of strings",
            Self::Issuers(..) => "[[issuers]], each with `ed25519` and `mldsa65`",
            Self::Routes(..) => "[[routes]], each with `event` and `queue`",
        }
    }
}

/// `value`, when `range` has it.
fn within<T: Copy + PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    text: impl Fn(T) -> String,
) -> Result<T, Refused> {
    let beyond = if value < *range.start() {
        Beyond::Low {
            given: text(value),
            least: text(*range.start()),
        }
    } else if value > *range.end() {
        Beyond::High {
            given: text(value),
            most: text(*range.end()),
        }
    } else {
        return Ok(value);
    };
    Err(Refused::Beyond(beyond))
}
