//! What a node counts, in the text that its admin plane gives.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::fetch;

/// Every sample of a scrape by its name and labels, as they are written:
/// `rejected_total{reason="overloaded"}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// Asks an admin plane for them.
    ///
    /// # Errors
    ///
    /// If there is no answer, or another one than metrics.
    pub fn scrape(admin: SocketAddr) -> io::Result<Self> {
        let (status, body) = fetch::get(admin, "/metrics")?;
        let text = String::from_utf8(body).map_err(io::Error::other)?;
        match status {
            200 => Ok(Self::parse(&text)),
            status => Err(io::Error::other(format!("/metrics: {status}"))),
        }
    }

    /// Reads the text. Lines that are no samples are passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let name_end = line
                .rfind('}')
                .map_or_else(|| line.find(' '), |end| Some(end + 1))?;
            let (name, value) = line.split_at(name_end);
            let value = value.split_whitespace().next()?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// What counters have risen by since `before`, those that have. The buckets of histograms are
    /// left out, their counts and sums are not.
    pub fn risen_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let counters = self.0.iter().filter(|(name, _)| is_counter(name));
        let risen = counters.map(|(name, value)| {
            let before = before.0.get(name).copied().unwrap_or(0.0);
            (name.clone(), value - before)
        });
        risen.filter(|(_, rise)| *rise > 0.0).collect()
    }

    /// A sample by its name and labels.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

fn is_counter(name: &str) -> bool {
    let family = name.split('{').next().unwrap_or_default();
    ["_total", "_count", "_sum"]
        .iter()
        .any(|end| family.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE objects gauge\nobjects 3\n\
        http_requests_total{route=\"/o/{addr}\",method=\"GET\",status=\"200\"} 7\n\
        bus_published_total 5\n\
        request_latency_seconds_sum{route=\"x\"} 0.5\n\
        request_latency_seconds_bucket{le=\"0.1\",route=\"x\"} 9\n# EOF\n";

    #[test]
    fn samples_are_read_with_their_labels() {
        let metrics = Metrics::parse("a_total 5 1234\nb{x=\"y z\"} 0.25\n\nbroken\n# EOF");
        assert_eq!(metrics.0.len(), 2);
        assert_eq!(metrics.get("a_total"), Some(5.0));
        assert_eq!(metrics.get("b{x=\"y z\"}"), Some(0.25));
    }

    #[test]
    fn counters_tell_what_they_rose_by() {
        let before = Metrics::parse("bus_published_total 5\n");
        let risen = Metrics::parse(TEXT).risen_since(&before);
        let names: Vec<&str> = risen.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "http_requests_total{route=\"/o/{addr}\",method=\"GET\",status=\"200\"}",
                "request_latency_seconds_sum{route=\"x\"}"
            ]
        );
    }
}
