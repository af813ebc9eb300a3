//! Links that carry their own authority.

use crate::narrowed;
use crate::support::Node;
use micronode_protocol::capability::base64url;

const OBJECT: &[u8] = b"to be passed on";

#[test]
fn a_link_reads_its_object_and_nothing_else_does() {
    let node = Node::guarded(&[]);
    let bearer = format!("Bearer {}", node.token());
    let authority = ("authorization", &*bearer);
    assert_eq!(
        node.request("POST", "/put", &[authority], OBJECT).status,
        201
    );
    let path = format!("/o/b3:{}", blake3::hash(OBJECT));
    let obj = format!("obj = b3:{}", blake3::hash(OBJECT));
    let before = "before = 2100-01-01T00:00:00Z";
    let link = |caveats: &[&str]| base64url::encode(&narrowed(node.token(), caveats));
    let good = link(&["op = get", &obj, before]);

    let answer = node.get(&format!("{path}?cap={good}"), &[]);
    assert_eq!((answer.status, &*answer.body), (200, OBJECT));
    assert_eq!(answer.field("cache-control"), Some("private, no-store"));
    assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
    let part = node.get(&format!("{path}?cap={good}"), &[("range", "bytes=0-1")]);
    assert_eq!((part.status, part.text()), (206, "to"));

    // Too wide for a link.
    for caveats in [
        &[obj.as_str(), before][..],
        &["op = get", before],
        &["op = get", &obj],
        &["op = get,put", &obj, before],
    ] {
        let answer = node.get(&format!("{path}?cap={}", link(caveats)), &[]);
        answer.assert_problem("unauthenticated");
    }
    // In the wrong place, or twice.
    for (method, target) in [
        ("HEAD", path.clone()),
        ("PUT", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/manifest")),
        ("POST", "/has".to_owned()),
        ("POST", "/echo".to_owned()),
    ] {
        let answer = node.request(method, &format!("{target}?cap={good}"), &[], OBJECT);
        assert_eq!(answer.status, 401, "{method} {target}");
    }
    let twice = node.get(&format!("{path}?cap={good}&cap={good}"), &[]);
    twice.assert_problem("unauthenticated");
    let both = node.get(&format!("{path}?cap={good}"), &[authority]);
    both.assert_problem("unauthenticated");
    let ended = link(&["op = get", &obj, "before = 2020-01-01T00:00:00Z"]);
    node.get(&format!("{path}?cap={ended}"), &[])
        .assert_problem("forbidden");
    let other = format!("/o/b3:{}", blake3::hash(b"another"));
    node.get(&format!("{other}?cap={good}"), &[])
        .assert_problem("forbidden");
    // By its field, the same token is a token like any other.
    let bearer = format!("Bearer {good}");
    let answer = node.get(&path, &[("authorization", &bearer)]);
    assert_eq!(
        answer.field("cache-control"),
        Some("private, max-age=31536000, immutable")
    );
}
