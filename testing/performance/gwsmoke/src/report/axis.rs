//! From values to places along an axis, and the ticks that are worth a label.

use super::text::number;

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Equal differences are equally far apart. From, to.
    Linear(f64, f64),
    /// Equal ratios are equally far apart; both ends are above 0. From, to.
    Log(f64, f64),
    /// Parts of all requests, as plots of HDR histograms have them: 50 %, 90 %, 99 % and 99.9 % are
    /// apart as the requests that are left become ten times fewer. Up to which power of ten.
    Percentile(f64),
}

/// A place with a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 to 1.
    pub(super) at: f64,
    pub(super) label: String,
}

impl Scale {
    /// A linear scale from 0 to a nice number that has room for all values, none of which is below.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let most = extremes(values).map_or(0.0, |(_, most)| most);
        let most = if most > 0.0 { most } else { 1.0 };
        let step = nice_above(most / 5.0);
        // The highest value is not drawn on the frame.
        Self::Linear(0.0, (most * 1.02 / step).ceil() * step)
    }

    /// A logarithmic scale from and to one of 1, 2 and 5 times a power of ten; values up to 0 have
    /// no place on it.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = extremes(values.filter(|value| *value > 0.0)).unwrap_or((1.0, 10.0));
        let from = nice_below(least);
        // One value alone has a scale too.
        Self::Log(from, nice_above((most * 1.01).max(from * 1.5)))
    }

    /// Where a value is, from 0 to 1; `None` if it has no place.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        let at = match self {
            Self::Linear(from, to) => (value - from) / (to - from),
            Self::Log(from, to) => (value / from).ln() / (to / from).ln(),
            Self::Percentile(decades) => -(1.0 - value / 100.0).log10() / decades,
        };
        (at.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&at)).then(|| at.clamp(0.0, 1.0))
    }

    /// At most `most` ticks, at numbers that are easy to read.
    pub(super) fn ticks(self, most: usize) -> Vec<Tick> {
        let values = match self {
            Self::Linear(from, to) => linear_ticks(from, to, most),
            Self::Log(from, to) => log_ticks(from, to, most),
            Self::Percentile(decades) => percentile_ticks(decades, most),
        };
        let tick = |(value, label): (f64, String)| {
            let at = self.place(value)?;
            Some(Tick { at, label })
        };
        values.into_iter().filter_map(tick).collect()
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |found, value| match found {
            None => Some((value, value)),
            Some((least, most)) => Some((value.min(least), value.max(most))),
        })
}

/// The power of ten that a positive number begins with.
fn power_below(value: f64) -> f64 {
    10_f64.powf(value.log10().floor().clamp(-300.0, 300.0))
}

/// 1, 2, 5 or 10 times a power of ten, and at least `value`.
fn nice_above(value: f64) -> f64 {
    let power = power_below(value);
    let factors = [1.0, 2.0, 5.0].into_iter();
    let found = factors
        .map(|factor| factor * power)
        .find(|nice| *nice >= value);
    found.unwrap_or(10.0 * power)
}

/// 1, 2 or 5 times a power of ten, and at most `value`.
fn nice_below(value: f64) -> f64 {
    let power = power_below(value);
    let factors = [5.0, 2.0].into_iter();
    let found = factors
        .map(|factor| factor * power)
        .find(|nice| *nice <= value);
    found.unwrap_or(power)
}

fn linear_ticks(from: f64, to: f64, most: usize) -> Vec<(f64, String)> {
    let room = most.saturating_sub(1).max(1) as f64;
    let step = nice_above((to - from) / room);
    let values = (0..most).map(|index| from + index as f64 * step);
    let values = values.filter(|value| *value <= to + step * 1e-6);
    values.map(|value| (value, number(value))).collect()
}

fn log_ticks(from: f64, to: f64, most: usize) -> Vec<(f64, String)> {
    let first = from.log10().floor() as i32;
    let last = to.log10().ceil() as i32;
    let within = |value: &f64| (from * 0.999..=to * 1.001).contains(value);
    // The finest of these that has few enough of them.
    for factors in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
        let powers = (first..=last).flat_map(|power| {
            let factors = factors.iter();
            factors.map(move |factor| factor * 10_f64.powi(power))
        });
        let values: Vec<f64> = powers.filter(within).collect();
        if values.len() <= most && values.len() >= 2 {
            return values
                .into_iter()
                .map(|value| (value, number(value)))
                .collect();
        }
    }
    let powers = (first..=last).map(|power| 10_f64.powi(power));
    let powers: Vec<f64> = powers.filter(within).collect();
    let step = powers.len().div_ceil(most.max(1)).max(1);
    let values = powers.into_iter().step_by(step);
    values.map(|value| (value, number(value))).collect()
}

fn percentile_ticks(decades: f64, most: usize) -> Vec<(f64, String)> {
    let mut values = vec![(0.0, "0".to_owned()), (50.0, "50".to_owned())];
    let mut text = "90".to_owned();
    for power in 1..=decades.floor() as i32 {
        values.push((100.0 - 10_f64.powi(2 - power), text.clone()));
        text = match power {
            1 => "99".to_owned(),
            2 => "99.9".to_owned(),
            _ => text + "9",
        };
    }
    // The first ones say least.
    let surplus = values.len().saturating_sub(most);
    values.split_off(surplus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: Scale, most: usize) -> Vec<String> {
        let ticks = scale.ticks(most).into_iter();
        ticks.map(|tick| tick.label).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_nought_and_has_room_for_the_highest() {
        let scale = Scale::linear([12.0, 97.0].into_iter());
        assert_eq!(scale, Scale::Linear(0.0, 100.0));
        assert_eq!(labels(scale, 6), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(scale, 3), ["0", "50", "100"]);
        assert_eq!(scale.place(25.0), Some(0.25));
        assert_eq!(scale.place(101.0), None);
    }

    #[test]
    fn values_that_are_all_the_same_or_missing_still_have_an_axis() {
        for value in [0.0, 7.0] {
            let scale = Scale::linear([value, value].into_iter());
            assert!(scale.place(value).is_some(), "{scale:?}");
        }
        assert!(!Scale::linear([].into_iter()).ticks(5).is_empty());
        assert!(!Scale::log([0.0, -1.0].into_iter()).ticks(5).is_empty());
    }

    #[test]
    fn a_log_axis_has_its_ticks_at_powers_or_between_them() {
        let scale = Scale::log([0.3, 250.0].into_iter());
        assert_eq!(scale, Scale::Log(0.2, 500.0));
        assert_eq!(labels(scale, 6), ["1", "10", "100"]);
        assert_eq!(labels(scale, 12).len(), 11);
        assert_eq!(
            labels(Scale::log([1.2, 4.0].into_iter()), 6),
            ["1", "2", "5"]
        );
        assert_eq!(scale.place(0.0), None);
    }

    #[test]
    fn each_nine_of_a_percentile_is_as_far_from_the_one_before() {
        let scale = Scale::Percentile(4.0);
        assert_eq!(labels(scale, 9), ["0", "50", "90", "99", "99.9", "99.99"]);
        let place = |value| scale.place(value).unwrap_or(f64::NAN);
        for (value, at) in [
            (0.0, 0.0),
            (90.0, 0.25),
            (99.0, 0.5),
            (99.9, 0.75),
            (99.99, 1.0),
        ] {
            assert!((place(value) - at).abs() < 1e-9, "{value}");
        }
        assert_eq!(scale.place(100.0), None);
    }

    proptest! {
        /// Whatever was measured has a place, and ticks are few, rising and on the axis.
        #[test]
        fn every_value_has_a_place(
            values in prop::collection::vec(1e-6..1e12_f64, 1..20), most in 2..12_usize,
        ) {
            let scales = [
                Scale::linear(values.iter().copied()),
                Scale::log(values.iter().copied()),
            ];
            for scale in scales {
                for value in &values {
                    prop_assert!(scale.place(*value).is_some(), "{scale:?} {value}");
                }
                let ticks = scale.ticks(most);
                prop_assert!((1..=most).contains(&ticks.len()), "{scale:?}: {ticks:?}");
                prop_assert!(ticks.windows(2).all(|two| two[0].at < two[1].at), "{ticks:?}");
            }
        }
    }
}
