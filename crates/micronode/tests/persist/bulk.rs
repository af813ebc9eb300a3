//! A client that puts and deletes small objects as fast as it can: so many that a node moves them
//! to packs, and writes packs anew.

use crate::support::{Connection, Node, address};
use std::collections::{BTreeMap, VecDeque};
use std::net::TcpStream;

/// With as many, an older one is deleted.
const OBJECTS: usize = 250;
/// Of each: still a small one.
const BYTES: usize = 28_000;

pub(crate) struct Bulk {
    made: u64,
    /// By number, in the order in which they were put: addresses.
    objects: VecDeque<(u64, String)>,
    deleted: BTreeMap<u64, String>,
    /// What it asked for last, and was not answered.
    unsure: Option<(u64, String)>,
}

fn bytes(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    blake3::Hasher::new()
        .update(b"bulk")
        .update(&number.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

impl Bulk {
    pub(crate) fn new() -> Self {
        Self {
            made: 0,
            objects: VecDeque::new(),
            deleted: BTreeMap::new(),
            unsure: None,
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.objects.len()
    }

    /// Puts and deletes until the node is gone.
    pub(crate) fn work(&mut self, node: &Node) {
        let Ok(stream) = TcpStream::connect(node.http) else {
            return;
        };
        let mut connection = Connection::of(stream, node.http);
        loop {
            let is_put = self.objects.len() < OBJECTS;
            let (number, address) = if is_put {
                self.made += 1;
                (self.made, address(&bytes(self.made)))
            } else {
                // Not the oldest, so that a pack has holes before it is empty.
                self.objects[OBJECTS / 8].clone()
            };
            let path = format!("/o/{address}");
            let asked = if is_put {
                connection.ask("PUT", &path, &[], &bytes(number))
            } else {
                connection.ask("DELETE", &path, &[], b"")
            };
            self.objects.retain(|(other, _)| *other != number);
            match asked {
                Ok(answer) if is_put => {
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    self.objects.push_back((number, address));
                }
                Ok(answer) => {
                    assert_eq!(answer.status, 204, "{}", answer.text());
                    self.deleted.insert(number, address);
                }
                Err(_) => {
                    self.unsure = Some((number, address));
                    return;
                }
            }
        }
    }

    /// As that of a [holder](crate::holder).
    pub(crate) fn check(&mut self, node: &Node) {
        let mut connection = Connection::open(node.http);
        let mut read =
            |address: &str| connection.request("GET", &format!("/o/{address}"), &[], b"");
        if let Some((number, address)) = self.unsure.take() {
            match read(&address).status {
                200 => self.objects.push_back((number, address)),
                _ => drop(self.deleted.insert(number, address)),
            }
        }
        for (number, address) in &self.objects {
            let found = read(address);
            assert_eq!(found.status, 200, "{number}: {}", found.text());
            assert!(found.body == bytes(*number), "{number}");
        }
        for (number, address) in self.deleted.iter().rev().take(OBJECTS) {
            assert_eq!(read(address).status, 404, "{number} is back");
        }
    }
}
