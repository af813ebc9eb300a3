//! Names over HTTP: pointers that are set, compared, listed, and read as what they point at.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::sync::Barrier;
use std::time::Duration;
use support::{Connection, Node, Response, address, object};

fn set(node: &Node, name: &str, address: &str, fields: &[(&str, &str)]) -> Response {
    let body = json!({ "address": address }).to_string();
    node.request("PUT", &format!("/n/{name}"), fields, body.as_bytes())
}

/// An object that is there, by its address.
#[track_caller]
fn stored(node: &Node, bytes: &[u8]) -> String {
    node.store(bytes).split_off("/o/".len())
}

#[test]
fn a_name_is_read_as_the_object_that_it_points_at() {
    let node = Node::start();
    let bytes = object(200_000);
    let address = stored(&node, &bytes);
    let created = set(&node, "site/index", &address, &[]);
    assert_eq!(created.status, 201, "{}", created.text());
    let expected = json!({ "name": "site/index", "address": address, "revision": 1 });
    assert_eq!(created.json(), expected);

    let whole = node.get("/n/site/index", &[]);
    assert_eq!((whole.status, &whole.body), (200, &bytes));
    let etag = format!("\"{address}\"");
    for (field, value) in [
        ("etag", etag.as_str()),
        ("content-location", &format!("/o/{address}")),
        ("name-revision", "1"),
        ("cache-control", "private, no-cache"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(whole.field(field), Some(value), "{field}");
    }
    let head = node.head("/n/site/index", &[]);
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("200000"))
    );

    let part = node.get("/n/site/index", &[("range", "bytes=65530-65545")]);
    assert_eq!((part.status, &*part.body), (206, &bytes[65_530..65_546]));
    let current = node.get("/n/site/index", &[("if-none-match", &etag)]);
    assert_eq!(current.status, 304);
    // A copy of what it pointed at before is not current, and neither is a part of it.
    let other = object(100_000);
    let moved = set(&node, "site/index", &stored(&node, &other), &[]);
    assert_eq!((moved.status, &moved.json()["revision"]), (200, &json!(2)));
    let fields = [("if-range", etag.as_str()), ("range", "bytes=0-9")];
    let resumed = node.get("/n/site/index", &fields);
    assert_eq!((resumed.status, &resumed.body), (200, &other));

    assert_eq!(
        node.request("DELETE", "/n/site/index", &[], b"").status,
        204
    );
    for method in ["GET", "HEAD", "DELETE"] {
        let gone = node.request(method, "/n/site/index", &[], b"");
        assert_eq!(gone.status, 404, "{method}");
    }
}

#[test]
fn a_change_may_say_what_it_expects() {
    let node = Node::start();
    let (first, second) = (stored(&node, b"first"), stored(&node, b"second"));
    let etag = |address: &str| format!("\"{address}\"");
    for (fields, address, status) in [
        (("if-match", "*"), &first, 412),
        (("if-none-match", "*"), &first, 201), // revision 1
        (("if-none-match", "*"), &second, 412),
        (("if-match", "\"2\""), &second, 412),
        (("if-match", "\"1\""), &second, 200), // 2
        (("if-match", "\"1\""), &first, 412),
        (("if-match", &etag(&first)), &first, 412),
        (("if-match", &etag(&second)), &first, 200),  // 3
        (("if-match", "\"9\", \"3\""), &second, 200), // 4
        (("if-match", "*"), &second, 200),            // 5, of the same
        (("if-none-match", "\"5\""), &second, 400),
    ] {
        let response = set(&node, "n", address, &[fields]);
        assert_eq!(response.status, status, "{fields:?} {}", response.text());
    }
    let delete = |revision| {
        node.request("DELETE", "/n/n", &[("if-match", revision)], b"")
            .status
    };
    assert_eq!((delete("\"4\""), delete("\"5\"")), (412, 204));
    // No revision is given out twice, not even after a name is gone.
    let again = set(&node, "n", &first, &[]);
    assert_eq!((again.status, &again.json()["revision"]), (201, &json!(7)));
}

/// Of many who have read the same revision, one may change it.
#[test]
fn a_race_has_one_winner() {
    const RACERS: usize = 64;
    let node = Node::start();
    let objects: Vec<String> = (0..RACERS)
        .map(|racer| stored(&node, format!("racer {racer}").as_bytes()))
        .collect();
    for round in 0..4 {
        let revision = set(&node, "prize", &objects[0], &[]).json()["revision"].to_string();
        let expected = format!("\"{revision}\"");
        let start = Barrier::new(RACERS);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let racers: Vec<_> = objects
                .iter()
                .map(|address| {
                    let (node, start, expected) = (&node, &start, &expected);
                    scope.spawn(move || {
                        let body = json!({ "address": address }).to_string();
                        let mut connection = node.connect();
                        start.wait();
                        let fields = [("if-match", expected.as_str())];
                        let path = "/n/prize";
                        connection
                            .request("PUT", path, &fields, body.as_bytes())
                            .status
                    })
                })
                .collect();
            racers
                .into_iter()
                .map(|racer| racer.join().unwrap())
                .collect()
        });
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(200), count(412)), (1, RACERS - 1), "round {round}");
    }
}

#[test]
fn what_a_name_points_at_stays() {
    let flags = ["--memory", "16MiB", "--eviction", "lru"];
    let node = Node::with_limits(&[], &flags);
    let kept = object(100_000);
    let path = format!("/o/{}", address(&kept));
    let put = node.request("PUT", &path, &[("expires-in", "300ms")], &kept);
    assert_eq!(put.status, 201);
    let address = &path["/o/".len()..];
    for name in ["a", "b"] {
        assert_eq!(set(&node, name, address, &[]).status, 201);
    }
    // It outlives its time, and others that make room.
    std::thread::sleep(Duration::from_millis(600));
    for index in 0..30 {
        node.store(&object(1_000_000 + index));
    }
    assert!(node.metric("evictions_total{reason=\"lru\"}").unwrap() > 0.0);
    for (name, left) in [("a", 1), ("b", 0)] {
        assert_eq!(node.get(&format!("/n/{name}"), &[]).body, kept);
        let pinned = node.request("DELETE", &path, &[], b"");
        pinned.assert_problem("pinned");
        let removed = node.request("DELETE", &format!("/n/{name}"), &[], b"");
        assert_eq!(removed.status, 204, "{left} left");
    }
    // Its time was over long ago.
    support::wait_until("its end", || node.get(&path, &[]).status == 404);
}

#[test]
fn names_are_listed_page_by_page_in_byte_order() {
    let node = Node::start();
    let address = stored(&node, b"x");
    let mut names: Vec<String> = (0..250).map(|index| format!("tiles/{index}")).collect();
    names.extend(["tiles-", "tiles", "tile", "tiles.a/b", "zoo"].map(str::to_owned));
    let mut connection = node.connect();
    let body = json!({ "address": address }).to_string();
    for name in &names {
        let path = format!("/n/{name}");
        let set = connection.request("PUT", &path, &[], body.as_bytes());
        assert_eq!(set.status, 201);
    }
    names.sort();
    let mut list = |query: &str| -> (Vec<String>, Option<String>) {
        let page = connection.request("GET", &format!("/n?{query}"), &[], b"");
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let entries = page["names"].as_array().unwrap().iter();
        let names = entries.map(|entry| {
            assert_eq!(entry["address"], json!(address));
            assert!(entry["revision"].is_u64());
            entry["name"].as_str().unwrap().to_owned()
        });
        (names.collect(), page["next"].as_str().map(str::to_owned))
    };
    for prefix in ["", "tiles/", "tiles", "z", "nothing"] {
        let expected: Vec<String> = names
            .iter()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect();
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let (page, next) = list(&format!("prefix={prefix}&after={after}&limit=100"));
            assert!(page.len() <= 100);
            found.extend(page);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(found, expected, "{prefix}");
    }
    assert_eq!(list("limit=1").0, ["tile"]);
    assert_eq!(list("limit=1000").0.len(), 255);
    assert_eq!(list("").0.len(), 100, "a page unless otherwise asked");
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "prefix=A",
        "page=2",
        "limit=1&limit=1",
    ] {
        assert_eq!(node.get(&format!("/n?{query}"), &[]).status, 400, "{query}");
    }
}

#[test]
fn what_is_no_name_or_no_object_is_told_apart() {
    let node = Node::start();
    let address = stored(&node, b"x");
    let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
    assert_eq!(set(&node, &longest, &address, &[]).status, 201);
    // A client may encode what it need not.
    assert_eq!(set(&node, "a%2Fb%2e1", &address, &[]).status, 201);
    assert_eq!(node.get("/n/a/b.1", &[]).status, 200);
    for name in [
        "",
        "A",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        ".",
        "a%20b",
        "é",
        &format!("{longest}c"),
    ] {
        set(&node, name, &address, &[]).assert_problem("bad_name");
    }
    let absent = support::address(b"absent");
    set(&node, "n", &absent, &[]).assert_problem("not_found");
    set(&node, "n", "b3:00", &[]).assert_problem("bad_address");
    for body in [
        "",
        "{}",
        "[]",
        r#"{"address":1}"#,
        r#"{"address":"b3:","more":1}"#,
    ] {
        let set = node.request("PUT", "/n/n", &[], body.as_bytes());
        assert_eq!(set.status, 400, "{body}");
    }
    assert_eq!(
        node.get("/n/n", &[]).status,
        404,
        "none of that left anything"
    );
    let allow = node.request("POST", "/n/n", &[], b"");
    assert_eq!(
        allow.field("allow"),
        Some("GET, HEAD, PUT, DELETE, OPTIONS")
    );
}

/// Names cost memory, and give it back.
#[test]
fn names_are_paid_for() {
    let node = Node::start();
    let path = node.store(b"x");
    let address = &path["/o/".len()..];
    let mut connection: Connection = node.connect();
    let body = json!({ "address": address }).to_string();
    for index in 0..100 {
        let set = connection.request("PUT", &format!("/n/{index}"), &[], body.as_bytes());
        assert_eq!(set.status, 201);
    }
    assert!(node.memory_of("names") >= 100 * 200);
    for index in 0..100 {
        let gone = connection.request("DELETE", &format!("/n/{index}"), &[], b"");
        assert_eq!(gone.status, 204);
    }
    assert_eq!(node.memory_of("names"), 0);
    assert_eq!(node.request("DELETE", &path, &[], b"").status, 204);
    let list: Value = node.get("/n", &[]).json();
    assert_eq!(list, json!({ "names": [], "next": null }));
}
