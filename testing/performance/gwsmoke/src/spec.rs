//! What to run: the fields of a scenario file. Data, not code.

use serde::{Deserialize, Serialize};

/// A load: what is asked, how often, over what. Every field has a default, so that a scenario file
/// holds what matters to it, and a flag of `load` overrides any of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadSpec {
    /// Short name, which results are compared by.
    pub name: String,
    /// What it is for, one sentence.
    pub about: String,
    /// The protocol.
    pub proto: Proto,
    /// Over TLS.
    pub tls: bool,
    /// What is asked.
    pub workload: Workload,
    /// Requests per second that are due (open loop); absent: closed loop, a request follows the
    /// answer before.
    pub rate_rps: Option<f64>,
    /// Connections over all threads.
    pub connections: u32,
    /// Requests in flight on each (HTTP/2, OAP).
    pub streams: u32,
    /// Threads of this tool, each with its own connections.
    pub threads: u32,
    /// Seconds measured.
    pub duration_s: f64,
    /// Seconds before that, which do not count.
    pub warm_up_s: f64,
    /// Sizes of objects or messages, and how often each is drawn.
    pub sizes: Vec<Size>,
    /// Part of requests that read; the others write.
    pub read_ratio: f64,
    /// Objects that reads choose among.
    pub objects: u32,
    /// Exponent of the Zipf distribution by which they are chosen; 0: all alike.
    pub zipf: f64,
    /// Round trip in ms that a proxy in between adds; 0: no proxy.
    pub delay_ms: f64,
    /// Seed of all that is drawn.
    pub seed: u64,
    /// Compare every byte of every answer with what it has to be, not of a sample: costs this tool
    /// a hash of all that comes.
    pub verify_all: bool,
    /// It offers as much as the node admits or more, to see what happens: what is refused then is on
    /// nobody's budget.
    pub beyond_cap: bool,
    /// Flags of the node, when it is started for this.
    pub node_flags: Vec<String>,
}

/// A protocol of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// HTTP/1.1 with keep-alive.
    Http1,
    /// HTTP/2.
    Http2,
    /// OAP/1.
    Oap,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Objects: `read_ratio` of gets, otherwise puts of new bytes.
    Objects,
    /// Messages: sends beside takes that are acknowledged.
    Mailbox,
    /// Echo of a body.
    Echo,
}

/// A size, and its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Bytes of a body.
    pub bytes: u64,
    /// How often, beside the other sizes.
    pub weight: f64,
}

impl LoadSpec {
    /// Whether objects are read, which have to be there before.
    pub fn is_read(&self) -> bool {
        self.workload == Workload::Objects && self.read_ratio > 0.0
    }
}

impl Default for LoadSpec {
    fn default() -> Self {
        Self {
            name: "load".to_owned(),
            about: String::new(),
            proto: Proto::Http1,
            tls: false,
            workload: Workload::Objects,
            rate_rps: Some(400.0),
            connections: 16,
            streams: 1,
            threads: 1,
            duration_s: 10.0,
            warm_up_s: 1.0,
            sizes: vec![Size {
                bytes: 1024,
                weight: 1.0,
            }],
            read_ratio: 1.0,
            objects: 64,
            zipf: 0.0,
            delay_ms: 0.0,
            seed: 1,
            verify_all: false,
            beyond_cap: false,
            node_flags: Vec::new(),
        }
    }
}
