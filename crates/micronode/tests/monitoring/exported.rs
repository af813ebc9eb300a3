//! What nodes export once they have had something to do.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Node, Oap, oap, object, wait_until};

/// Values by label.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// Samples of several nodes, put together.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    samples: BTreeMap<String, Labels>,
    families: BTreeSet<String>,
}

impl Exported {
    /// What a node has to say that has been asked a bit of everything, and one that speaks TLS.
    pub(crate) fn gather() -> Self {
        let mut command = Node::command(&["--rps", "0"]);
        command.env("MICRO_ROUTES", "object.put::audit:");
        let node = Node::spawn(command);
        work(&node);
        let secured = Node::with(&["--tls-self-signed"]);

        let mut exported = Self::default();
        for node in [&node, &secured] {
            exported.read(node.ask("GET", "/metrics").text());
        }
        exported
    }

    fn read(&mut self, page: &str) {
        for line in page.lines() {
            if let Some(comment) = line.strip_prefix('#') {
                let mut words = comment.split_whitespace();
                if words.next() == Some("TYPE") {
                    self.families.insert(words.next().unwrap().to_owned());
                }
                continue;
            }
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let sample = self.samples.entry(name.to_owned()).or_default();
            let labels = labels.strip_suffix('}').unwrap();
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once("=\"").unwrap();
                let values = sample.entry(label.to_owned()).or_default();
                values.insert(value.trim_end_matches('"').to_owned());
            }
        }
    }

    /// The labels of all samples of this name, if there are any.
    pub(crate) fn labels(&self, name: &str) -> Option<&Labels> {
        self.samples.get(name)
    }

    /// Every metric, without the endings of its samples.
    pub(crate) fn families(&self) -> impl Iterator<Item = &str> {
        self.families.iter().map(String::as_str)
    }
}

/// Objects and messages over both protocols.
fn work(node: &Node) {
    let path = node.store(&object(100_000));
    assert_eq!(node.get(&path, &[]).status, 200);
    let sent = node.request("POST", "/mbox/jobs/send", &[], b"x");
    assert_eq!(sent.status, 201, "{}", sent.text());
    let mut oap: Oap = node.greet();
    let reply = oap.call(oap::ECHO, b"x");
    assert_eq!(reply.status(), 200);
    // Counted when its last byte is out, which the client may see first.
    let timed = "request_latency_seconds_count{route=\"/echo\",method=\"OAP\"}";
    wait_until("the echo to be timed", || node.metric(timed) == Some(1.0));
}
