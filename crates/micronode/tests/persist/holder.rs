//! A client that knows what a node has acknowledged to it: objects, names and messages that are
//! its own. What it asked for last, and was not answered, may have happened or not.

use crate::support::{Connection, Node, Random, Response, address};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpStream;

/// More are deleted.
const OBJECTS: usize = 24;
/// More are acknowledged.
const MESSAGES: usize = 60;

pub(crate) struct Holder {
    number: u64,
    random: Random,
    /// Counts what it makes, so that no two things are the same.
    made: u64,
    objects: BTreeMap<String, Vec<u8>>,
    deleted: BTreeSet<String>,
    names: BTreeMap<String, Pointer>,
    /// By id: what was sent.
    messages: BTreeMap<String, Vec<u8>>,
    acked: BTreeSet<String>,
    /// Of messages that are leased in this life of the node.
    receipts: BTreeMap<String, String>,
    /// The latest message under a key: its key, body and id.
    keyed: Option<(String, Vec<u8>, String)>,
    unsure: Option<Step>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pointer {
    address: String,
    revision: u64,
}

/// Something that it asks for.
enum Step {
    Put(Vec<u8>),
    Delete(String),
    SetName(String, String),
    DeleteName(String),
    Send(String, Vec<u8>),
    Ack(Vec<String>),
}

impl Holder {
    pub(crate) fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            random: Random::seeded(seed * 97 + number),
            made: 0,
            objects: BTreeMap::new(),
            deleted: BTreeSet::new(),
            names: BTreeMap::new(),
            messages: BTreeMap::new(),
            acked: BTreeSet::new(),
            receipts: BTreeMap::new(),
            keyed: None,
            unsure: None,
        }
    }

    /// Objects, names and messages that it holds for sure.
    pub(crate) fn held(&self) -> [usize; 3] {
        [self.objects.len(), self.names.len(), self.messages.len()]
    }

    /// Asks for one thing after the other until the node is gone; how many were acknowledged.
    pub(crate) fn work(&mut self, node: &Node) -> u64 {
        let mut acknowledged = 0;
        let Ok(stream) = TcpStream::connect(node.http) else {
            return acknowledged;
        };
        let mut connection = Connection::of(stream, node.http);
        loop {
            let step = self.next();
            match self.take(&mut connection, &step) {
                Ok(()) => acknowledged += 1,
                Err(_) => {
                    self.unsure = Some(step);
                    return acknowledged;
                }
            }
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.made += 1;
        // Some in files of their own, some not.
        let size = match self.random.below(10) {
            0 => 0,
            1 | 2 => 30_000 + self.random.below(300_000),
            _ => self.random.below(3000),
        };
        let mut bytes = vec![0; size as usize];
        blake3::Hasher::new()
            .update(&self.number.to_be_bytes())
            .update(&self.made.to_be_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes.extend_from_slice(&self.made.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn next(&mut self) -> Step {
        let pinned: BTreeSet<_> = self.names.values().map(|it| it.address.clone()).collect();
        let free: Vec<String> = self
            .objects
            .keys()
            .filter(|address| !pinned.contains(*address))
            .cloned()
            .collect();
        let any =
            |random: &mut Random, of: &[String]| of[random.below(of.len() as u64) as usize].clone();
        loop {
            match self.random.below(10) {
                0 if free.len() < OBJECTS => return Step::Put(self.bytes()),
                1 | 2 if !free.is_empty() && self.objects.len() >= OBJECTS / 2 => {
                    return Step::Delete(any(&mut self.random, &free));
                }
                3 | 4 if !self.objects.is_empty() => {
                    let name = format!("w{}/{}", self.number, self.random.below(5));
                    let addresses: Vec<_> = self.objects.keys().cloned().collect();
                    return Step::SetName(name, any(&mut self.random, &addresses));
                }
                5 if !self.names.is_empty() => {
                    let names: Vec<_> = self.names.keys().cloned().collect();
                    return Step::DeleteName(any(&mut self.random, &names));
                }
                6 if self.receipts.len() > MESSAGES / 2 => {
                    let count = 1 + self.random.below(8) as usize;
                    return Step::Ack(self.receipts.keys().take(count).cloned().collect());
                }
                7 | 8 if self.messages.len() < MESSAGES => {
                    self.made += 1;
                    let body = format!("{}-{}", self.number, self.made).into_bytes();
                    return Step::Send(format!("key-{}-{}", self.number, self.made), body);
                }
                9 if free.len() < OBJECTS => return Step::Put(self.bytes()),
                _ => {}
            }
        }
    }

    fn take(&mut self, connection: &mut Connection, step: &Step) -> io::Result<()> {
        match step {
            Step::Put(bytes) => {
                let path = format!("/o/{}", address(bytes));
                let put = connection.ask("PUT", &path, &[], bytes)?;
                assert_eq!(put.status, 201, "{}", put.text());
                self.stored(bytes);
            }
            Step::Delete(address) => {
                let deleted = connection.ask("DELETE", &format!("/o/{address}"), &[], b"")?;
                assert_eq!(deleted.status, 204, "{}", deleted.text());
                self.gone(address);
            }
            Step::SetName(name, address) => {
                let body = format!("{{\"address\":\"{address}\"}}");
                let set = connection.ask("PUT", &format!("/n/{name}"), &[], body.as_bytes())?;
                assert!(matches!(set.status, 200 | 201), "{}", set.text());
                self.named(name, address, &set);
            }
            Step::DeleteName(name) => {
                let deleted = connection.ask("DELETE", &format!("/n/{name}"), &[], b"")?;
                assert_eq!(deleted.status, 204, "{}", deleted.text());
                self.names.remove(name);
            }
            Step::Send(key, body) => {
                let (id, _) = self.send(connection, key, body)?;
                self.messages.insert(id.clone(), body.clone());
                self.keyed = Some((key.clone(), body.clone(), id));
                self.lease(connection)?;
            }
            Step::Ack(ids) => {
                let receipts: Vec<&String> = ids.iter().map(|id| &self.receipts[id]).collect();
                let body = serde_json::json!({ "receipts": receipts }).to_string();
                let path = format!("/mbox/w{}/ack", self.number);
                let acked = connection.ask("POST", &path, &[], body.as_bytes())?;
                assert_eq!(acked.status, 200, "{}", acked.text());
                let results = acked.json();
                for result in results["results"].as_array().unwrap() {
                    assert_eq!(result["code"], "ok", "{results}");
                }
                for id in ids {
                    self.receipts.remove(id);
                    self.messages.remove(id);
                    self.acked.insert(id.clone());
                }
            }
        }
        Ok(())
    }

    fn stored(&mut self, bytes: &[u8]) {
        let address = address(bytes);
        self.deleted.remove(&address);
        self.objects.insert(address, bytes.to_vec());
    }

    fn gone(&mut self, address: &str) {
        self.objects.remove(address);
        self.deleted.insert(address.to_owned());
    }

    fn named(&mut self, name: &str, address: &str, answer: &Response) {
        let revision = answer.json()["revision"].as_u64().unwrap();
        let latest = self.names.values().map(|it| it.revision).max();
        assert!(latest < Some(revision), "a revision is used once");
        let address = address.to_owned();
        let pointer = Pointer { address, revision };
        self.names.insert(name.to_owned(), pointer);
    }

    fn send(
        &self,
        connection: &mut Connection,
        key: &str,
        body: &[u8],
    ) -> io::Result<(String, bool)> {
        let path = format!("/mbox/w{}/send", self.number);
        let sent = connection.ask("POST", &path, &[("idempotency-key", key)], body)?;
        assert!(matches!(sent.status, 200 | 201), "{}", sent.text());
        let sent = sent.json();
        let id = sent["id"].as_str().unwrap().to_owned();
        Ok((id, sent["duplicate"].as_bool().unwrap()))
    }

    /// Leases all that is visible, and returns it: by id, the bodies.
    fn lease(&mut self, connection: &mut Connection) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut leased = BTreeMap::new();
        loop {
            let path = format!("/mbox/w{}/recv?max=256&visibility=1h", self.number);
            let received = connection.ask("POST", &path, &[], b"")?;
            assert_eq!(received.status, 200, "{}", received.text());
            let received = received.json();
            let messages = received["messages"].as_array().unwrap();
            if messages.is_empty() {
                return Ok(leased);
            }
            for message in messages {
                let text = |member: &str| message[member].as_str().unwrap().to_owned();
                let id = text("id");
                assert!(!self.acked.contains(&id), "delivered after its ack: {id}");
                self.receipts.insert(id.clone(), text("receipt"));
                leased.insert(id, STANDARD.decode(text("body")).unwrap());
            }
        }
    }

    /// Checks that a node which has come back has everything that it acknowledged, and finds out
    /// what has become of the rest.
    pub(crate) fn check(&mut self, node: &Node) {
        let mut connection = Connection::open(node.http);
        self.receipts.clear();
        let mut leased = self.lease(&mut connection).unwrap();
        match self.unsure.take() {
            Some(Step::Put(bytes)) if read(&mut connection, &address(&bytes)).is_some() => {
                self.stored(&bytes);
            }
            Some(Step::Delete(address)) if read(&mut connection, &address).is_none() => {
                self.gone(&address);
            }
            Some(Step::SetName(name, address)) => {
                if let Some(pointer) = pointer(&mut connection, &name)
                    && self.names.get(&name) != Some(&pointer)
                {
                    assert_eq!(pointer.address, address, "half of a change");
                    self.names.insert(name, pointer);
                }
            }
            Some(Step::DeleteName(name)) if pointer(&mut connection, &name).is_none() => {
                self.names.remove(&name);
            }
            Some(Step::Send(key, body)) => {
                let (id, duplicate) = self.send(&mut connection, &key, &body).unwrap();
                assert_eq!(duplicate, leased.contains_key(&id), "one message for a key");
                leased.extend(self.lease(&mut connection).unwrap());
                self.messages.insert(id, body);
            }
            Some(Step::Ack(ids)) => {
                for id in ids {
                    if !leased.contains_key(&id) {
                        self.messages.remove(&id);
                        self.acked.insert(id);
                    }
                }
            }
            // It has not happened.
            _ => {}
        }
        for (address, bytes) in &self.objects {
            let found = read(&mut connection, address);
            assert_eq!(found.as_ref(), Some(bytes), "{address}");
        }
        for address in &self.deleted {
            assert_eq!(read(&mut connection, address), None, "{address} is back");
        }
        for name in 0..5 {
            let name = format!("w{}/{name}", self.number);
            let found = pointer(&mut connection, &name);
            assert_eq!(found.as_ref(), self.names.get(&name), "{name}");
        }
        assert_eq!(leased, self.messages, "queue w{}", self.number);
        if let Some((key, body, id)) = &self.keyed {
            let again = self.send(&mut connection, key, body).unwrap();
            assert_eq!(again, (id.clone(), true), "a key is remembered");
        }
    }
}

fn read(connection: &mut Connection, address: &str) -> Option<Vec<u8>> {
    let read = connection.request("GET", &format!("/o/{address}"), &[], b"");
    match read.status {
        200 => Some(read.body),
        404 => None,
        status => panic!("{status}: {}", read.text()),
    }
}

fn pointer(connection: &mut Connection, name: &str) -> Option<Pointer> {
    let head = connection.request("HEAD", &format!("/n/{name}"), &[], b"");
    let field = |field: &str| head.field(field).unwrap().to_owned();
    match head.status {
        200 => Some(Pointer {
            address: field("etag").trim_matches('"').to_owned(),
            revision: field("name-revision").parse().unwrap(),
        }),
        404 => None,
        status => panic!("{status}"),
    }
}
