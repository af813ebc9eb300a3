//! What a token may do with names, queues and events, over both protocols.

use crate::narrowed;
use crate::oap::{self, Oap};
use crate::support::{Connection, Node, address};
use micronode_protocol::capability::base64url;
use serde_json::json;

const OBJECT: &[u8] = b"an object with names";
const ANY: u64 = u64::MAX;

/// What is asked about a name, a queue, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Set(&'static str),
    Resolve(&'static str),
    Read(&'static str),
    Unset(&'static str),
    List,
    Watch,
    Send(&'static str),
    Receive(&'static str),
    Ack(&'static str),
    Nack(&'static str),
    Extend(&'static str),
    Stats(&'static str),
    Subscribe(&'static str),
    Purge(&'static str),
    Redrive(&'static str),
    Events,
}
use Ask::{
    Ack, Events, Extend, List, Nack, Purge, Read, Receive, Redrive, Resolve, Send, Set, Stats,
    Subscribe, Unset, Watch,
};

/// Everything, about two names and two queues.
const ALL: [Ask; 29] = [
    Set("this/x"),
    Set("that"),
    Resolve("this/x"),
    Resolve("that"),
    Read("this/x"),
    Read("that"),
    List,
    Watch,
    Send("this"),
    Send("that"),
    Receive("this"),
    Receive("that"),
    Ack("this"),
    Ack("that"),
    Nack("this"),
    Nack("that"),
    Extend("this"),
    Extend("that"),
    Stats("this"),
    Stats("that"),
    Subscribe("this"),
    Subscribe("that"),
    Redrive("this"),
    Redrive("that"),
    Purge("this"),
    Purge("that"),
    Unset("this/x"),
    Unset("that"),
    Events,
];

/// A node with an object, two names of it, and two queues.
fn stocked() -> Node {
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    let mut client = Oap::greet_as(node.oap(), &operator);
    let put = [&oap::plain_put()[..], OBJECT].concat();
    assert_eq!(client.call(oap::PUT, &put).status(), 201);
    for name in ["this/x", "that"] {
        let set = oap::name_set(name, &oap::hash(OBJECT), ANY);
        assert_eq!(client.call(oap::NAME_SET, &set).status(), 201);
    }
    for queue in ["this", "that"] {
        let send = oap::send(queue, "", 0, b"x");
        assert_eq!(client.call(oap::SEND, &send).status(), 201);
    }
    node
}

/// The status of the answer; `None` for what HTTP has not.
fn over_http(node: &Node, token: &[u8], ask: Ask) -> Option<u16> {
    let receipts = || json!({ "receipts": ["x"] }).to_string();
    let (method, path, body) = match ask {
        Set(name) => {
            let body = json!({ "address": address(OBJECT) }).to_string();
            ("PUT", format!("/n/{name}"), body)
        }
        Read(name) => ("GET", format!("/n/{name}"), String::new()),
        Unset(name) => ("DELETE", format!("/n/{name}"), String::new()),
        List => ("GET", "/n".to_owned(), String::new()),
        Send(queue) => ("POST", format!("/mbox/{queue}/send"), "x".to_owned()),
        Receive(queue) => ("POST", format!("/mbox/{queue}/recv?max=1"), String::new()),
        Ack(queue) => ("POST", format!("/mbox/{queue}/ack"), receipts()),
        Nack(queue) => ("POST", format!("/mbox/{queue}/nack"), receipts()),
        Extend(queue) => {
            let body = json!({ "receipts": ["x"], "visibility": "1s" }).to_string();
            ("POST", format!("/mbox/{queue}/extend"), body)
        }
        Stats(queue) => ("GET", format!("/mbox/{queue}"), String::new()),
        Purge(queue) => ("DELETE", format!("/mbox/{queue}"), String::new()),
        Redrive(queue) => ("POST", format!("/mbox/{queue}/redrive"), String::new()),
        Events => ("GET", "/events".to_owned(), String::new()),
        Resolve(_) | Watch | Subscribe(_) => return None,
    };
    let bearer = format!("Bearer {}", base64url::encode(token));
    let length = body.len().to_string();
    let fields = [("authorization", &*bearer), ("content-length", &length)];
    let mut connection = Connection::open(node.http);
    connection.send_head(method, &path, &fields);
    connection.send(body.as_bytes());
    Some(connection.response_head().unwrap().status)
}

/// The status of the answer; 200 for what is not answered, but told of what happens.
fn over_oap(node: &Node, token: &[u8], ask: Ask) -> u16 {
    let receipts = |queue, time| oap::settle(queue, time, &["x"]);
    let (operation, payload) = match ask {
        Set(name) => (oap::NAME_SET, oap::name_set(name, &oap::hash(OBJECT), ANY)),
        Resolve(name) => (oap::NAME_GET, oap::str16(name)),
        Read(name) => (oap::NAME_READ, oap::name_read(name, 0, 0)),
        Unset(name) => {
            let payload = [&oap::str16(name)[..], &ANY.to_be_bytes()].concat();
            (oap::NAME_DELETE, payload)
        }
        List => (oap::NAME_LIST, oap::name_list("", "", 0)),
        Watch => (oap::NAME_WATCH, oap::str16("")),
        Send(queue) => (oap::SEND, oap::send(queue, "", 0, b"x")),
        Receive(queue) => (oap::RECEIVE, oap::receive(queue, 1, 0, 1000)),
        Ack(queue) => (oap::ACK, receipts(queue, None)),
        Nack(queue) => (oap::NACK, receipts(queue, Some(0))),
        Extend(queue) => (oap::EXTEND, receipts(queue, Some(1000))),
        Stats(queue) => (oap::STATS, oap::str16(queue)),
        Subscribe(queue) => (oap::SUBSCRIBE, oap::subscribe(queue, 1, 1000)),
        Purge(queue) => (oap::PURGE, oap::str16(queue)),
        Redrive(queue) => (oap::REDRIVE, [&oap::str16(queue)[..], &[0; 4]].concat()),
        Events => (oap::EVENTS, oap::str16("")),
    };
    let mut client = Oap::greet_as(node.oap(), token);
    let id = client.ask(operation, &payload);
    let ping = client.ask(oap::PING, b"");
    let first = client.frame().expect("an answer");
    match (first.corr_id == ping, ask) {
        // Silence, as long as nothing happens.
        (true, Watch | Subscribe(_) | Events) => 200,
        // What takes turns may be overtaken.
        (true, _) => client.reply(id).status(),
        (false, _) => first.code,
    }
}

/// Checks that a token with these caveats is allowed this and nothing else.
#[track_caller]
fn assert_allows(caveats: &[&str], allowed: impl Fn(Ask) -> bool) {
    let node = stocked();
    let token = narrowed(node.token(), caveats);
    for ask in ALL {
        let told = [
            over_http(&node, &token, ask),
            Some(over_oap(&node, &token, ask)),
        ];
        for status in told.into_iter().flatten() {
            let is_allowed = status != 403;
            assert_ne!(status, 401);
            assert_eq!(is_allowed, allowed(ask), "{caveats:?}, {ask:?}: {told:?}");
        }
    }
}

#[test]
fn an_operation_of_names_queues_and_events_is_allowed_by_its_name() {
    assert_allows(&[], |_| true);
    assert_allows(&["op = name-read"], |ask| {
        matches!(ask, Resolve(_) | Read(_) | List | Watch)
    });
    assert_allows(&["op = send"], |ask| matches!(ask, Send(_)));
    assert_allows(&["op = recv"], |ask| {
        matches!(
            ask,
            Receive(_) | Ack(_) | Nack(_) | Extend(_) | Stats(_) | Subscribe(_)
        )
    });
    assert_allows(&["op = admin"], |ask| matches!(ask, Purge(_) | Redrive(_)));
    assert_allows(&["op = events"], |ask| ask == Events);
    // What a name points at is read with it, so it has to be readable for who sets it.
    assert_allows(&["op = name-write"], |ask| matches!(ask, Unset(_)));
    assert_allows(
        &["op = name-write,get", "op = name-write,get,admin"],
        |ask| matches!(ask, Set(_) | Unset(_) | Read(_)),
    );
    assert_allows(&["op = put,delete,head"], |_| false);
}

#[test]
fn names_under_a_prefix_are_no_others_and_no_queues() {
    assert_allows(&["name ^ this/"], |ask| {
        matches!(
            ask,
            Set("this/x") | Resolve("this/x") | Read("this/x") | Unset("this/x")
        ) || matches!(ask, List | Watch | Events)
    });
    assert_allows(&["name ^ this/", "op = name-read"], |ask| {
        matches!(ask, Resolve("this/x") | Read("this/x") | List | Watch)
    });
    assert_allows(&["name ^ this/", "name ^ that"], |ask| {
        matches!(ask, List | Watch | Events)
    });
}

#[test]
fn a_queue_is_no_other_and_no_name() {
    assert_allows(&["queue = this"], |ask| match ask {
        Send(queue) | Receive(queue) | Ack(queue) | Nack(queue) | Extend(queue) | Stats(queue)
        | Subscribe(queue) | Purge(queue) | Redrive(queue) => queue == "this",
        // Filtered, until nothing is left.
        List | Watch | Events => true,
        _ => false,
    });
    assert_allows(&["queue = this", "op = recv", "op = recv,send"], |ask| {
        matches!(
            ask,
            Receive("this")
                | Ack("this")
                | Nack("this")
                | Extend("this")
                | Stats("this")
                | Subscribe("this")
        )
    });
}

#[test]
fn a_list_has_the_names_that_are_allowed() {
    let node = stocked();
    for (caveat, listed) in [
        ("name ^ this/", &["this/x"][..]),
        ("name ^ th", &["that", "this/x"]),
        ("name ^ other/", &[]),
        ("queue = this", &[]),
        ("op = name-read", &["that", "this/x"]),
    ] {
        let token = narrowed(node.token(), &[caveat]);
        let bearer = format!("Bearer {}", base64url::encode(&token));
        let list = node.get("/n", &[("authorization", &bearer)]).json();
        let names = list["names"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, listed, "{caveat}");

        let mut client = Oap::greet_as(node.oap(), &token);
        let payload = client
            .call(oap::NAME_LIST, &oap::name_list("", "", 0))
            .payload();
        let mut rest = &payload[..];
        for name in listed {
            assert_eq!(oap::text(&mut rest), *name, "{caveat}");
            rest = &rest[40..];
        }
        assert!(rest.is_empty(), "{caveat}");
    }
}

/// Deletions were judged by their name alone, where names are watched: a token of one object was
/// told of every name that went. A name that moved on to another object was not told of at all, so
/// that to its watcher it pointed at the old one for ever.
#[test]
fn who_may_see_one_object_is_told_when_names_come_to_it_and_leave_it() {
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    let [seen, other] = [&b"seen"[..], b"other"];
    let mut client = Oap::greet_as(node.oap(), &operator);
    for bytes in [seen, other] {
        let put = [&oap::plain_put()[..], bytes].concat();
        assert_eq!(client.call(oap::PUT, &put).status(), 201);
    }
    let mut point = |name: &str, at: Option<&[u8]>| match at {
        Some(bytes) => {
            let set = oap::name_set(name, &oap::hash(bytes), ANY);
            assert!(client.call(oap::NAME_SET, &set).status() < 300);
        }
        None => {
            let delete = [&oap::str16(name)[..], &ANY.to_be_bytes()].concat();
            assert_eq!(client.call(oap::NAME_DELETE, &delete).status(), 204);
        }
    };
    let token = narrowed(node.token(), &[&format!("obj = {}", address(seen))]);
    let bearer = format!("Bearer {}", base64url::encode(&token));
    let mut events = Connection::open(node.http);
    events.send_head("GET", "/events", &[("authorization", &bearer)]);
    assert_eq!(events.response_head().unwrap().status, 200);
    let mut watch = Oap::greet_as(node.oap(), &token);
    watch.ask(oap::NAME_WATCH, &oap::str16(""));
    assert_eq!(watch.frame().unwrap().payload, b"", "synced: no names yet");

    // Revisions 1 to 10.
    point("elsewhere", Some(other));
    point("name", Some(other));
    point("name", Some(seen));
    point("name", Some(seen));
    point("name", Some(other));
    point("name", None);
    point("elsewhere", None);
    point("last", Some(seen));
    point("last", None);
    point("end", Some(seen));
    let told = [
        ("name", true, 3),
        ("name", true, 4),
        ("name", false, 5),
        ("last", true, 8),
        ("last", false, 9),
        ("end", true, 10),
    ];
    for (name, is_set, revision) in told {
        let address_told = if is_set { oap::hash(seen) } else { [0; 32] };
        let entry = [
            &oap::str16(name)[..],
            &address_told,
            &u64::to_be_bytes(revision),
        ];
        assert_eq!(watch.frame().unwrap().payload, entry.concat(), "{revision}");

        let data = loop {
            let text = String::from_utf8(events.chunk().unwrap()).unwrap();
            if let Some((_, data)) = text.split_once("data: ") {
                break serde_json::from_str::<serde_json::Value>(data).unwrap();
            }
        };
        let mut expected = json!({
            "type": if is_set { "name.set" } else { "name.deleted" },
            "at": data["at"],
            "name": name,
            "revision": revision,
        });
        if is_set {
            expected["address"] = json!(address(seen));
        }
        assert_eq!(data, expected);
    }
}

/// There are few names of its object, and they may be far apart.
#[test]
fn a_list_of_one_object_has_all_of_its_names() {
    let node = Node::guarded(&[]);
    let operator = narrowed(node.token(), &[]);
    let mut client = Oap::greet_as(node.oap(), &operator);
    let mut put = |bytes: &[u8]| {
        let put = [&oap::plain_put()[..], bytes].concat();
        assert_eq!(client.call(oap::PUT, &put).status(), 201);
    };
    put(OBJECT);
    put(b"another");
    let own = ["0", "1500", "2999"];
    for index in 0..3000 {
        let name = format!("{index:04}");
        let bytes = if own.contains(&&*index.to_string()) {
            OBJECT
        } else {
            b"another"
        };
        let set = oap::name_set(&name, &oap::hash(bytes), ANY);
        assert_eq!(client.call(oap::NAME_SET, &set).status(), 201);
    }
    let token = narrowed(node.token(), &[&format!("obj = {}", address(OBJECT))]);
    let bearer = format!("Bearer {}", base64url::encode(&token));
    let mut client = Oap::greet_as(node.oap(), &token);
    let mut listed = |after: &str, limit: u16| {
        let path = format!("/n?after={after}&limit={limit}");
        let list = node.get(&path, &[("authorization", &bearer)]).json();
        let names = list["names"].as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        let payload = client.call(oap::NAME_LIST, &oap::name_list("", after, limit));
        let (payload, mut over_oap) = (payload.payload(), Vec::new());
        let mut rest = &payload[..];
        while !rest.is_empty() {
            over_oap.push(oap::text(&mut rest));
            rest = &rest[40..];
        }
        assert_eq!(names, over_oap);
        let next = list["next"].as_str().map(str::to_owned);
        (names, next)
    };
    let all = ["0000", "1500", "2999"].map(str::to_owned);
    assert_eq!(listed("", 1000), (all.to_vec(), None));
    assert_eq!(listed("", 2), (all[..2].to_vec(), Some(all[1].clone())));
    assert_eq!(listed("1500", 2), (all[2..].to_vec(), None));
}

/// The head tells what the object is, and where; so it takes what reading the object does.
#[test]
fn the_head_of_a_name_is_read_like_what_it_points_at() {
    let node = stocked();
    for (caveat, status) in [
        ("op = get", 200),
        ("op = name-read", 200),
        ("op = head", 403),
        ("name ^ this/", 200),
        ("name ^ that", 403),
    ] {
        let token = narrowed(node.token(), &[caveat]);
        let bearer = format!("Bearer {}", base64url::encode(&token));
        let head = node.request("HEAD", "/n/this/x", &[("authorization", &bearer)], b"");
        assert_eq!(head.status, status, "{caveat}");
    }
}
