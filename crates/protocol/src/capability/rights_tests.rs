#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const HERE: &str = "127.0.0.1";

fn rights(caveats: &[&str]) -> Rights {
    let mut rights = Rights::default();
    for caveat in caveats {
        rights.narrow(Caveat::parse(caveat.as_bytes()).as_ref());
    }
    rights
}

fn access(op: Op, resource: Resource<'_>) -> Access<'_> {
    Access {
        ops: Ops::of(&[op]),
        resource,
        body: 0,
    }
}

#[test]
fn operations_are_those_in_every_list() {
    let rights = rights(&["op = get,put,send", "op = put,get,recv"]);
    for op in Op::ALL {
        let expected = match op {
            Op::Get | Op::Put => Ok(()),
            _ => Err(Denied::Op),
        };
        assert_eq!(
            rights.allow(&access(*op, Resource::None)),
            expected,
            "{op:?}"
        );
    }
    // What any valid token allows, it allows too.
    let any = Access {
        ops: Ops::NONE,
        resource: Resource::None,
        body: 0,
    };
    assert_eq!(rights.allow(&any), Ok(()));
}

#[test]
fn a_resource_rules_out_the_others_and_whatever_has_none() {
    let (this, that) = (Address::of(b"this"), Address::of(b"that"));
    let obj = format!("obj = {this}");
    for (caveat, allowed, refused, denied) in [
        (
            obj.as_str(),
            Resource::Object(&this),
            [
                Resource::Object(&that),
                Resource::Name("a"),
                Resource::Queue("q"),
                Resource::None,
            ],
            Denied::Obj,
        ),
        (
            "name ^ a/",
            Resource::Name("a/b"),
            [
                Resource::Name("a"),
                Resource::Name("b/a/"),
                Resource::Object(&this),
                Resource::None,
            ],
            Denied::Name,
        ),
        (
            "queue = jobs",
            Resource::Queue("jobs"),
            [
                Resource::Queue("jobs.dlq"),
                Resource::Queue("job"),
                Resource::Name("jobs"),
                Resource::None,
            ],
            Denied::Queue,
        ),
    ] {
        let rights = rights(&[caveat]);
        assert_eq!(rights.covers(allowed), Ok(()), "{caveat}");
        // Of many, each is asked for.
        assert_eq!(rights.covers(Resource::Each), Ok(()), "{caveat}");
        for resource in refused {
            assert_eq!(
                rights.covers(resource),
                Err(denied),
                "{caveat} {resource:?}"
            );
        }
    }
}

/// A name and what it points at are asked about together: each caveat judges its own.
#[test]
fn a_pointer_is_a_name_and_an_object() {
    let (this, that) = (Address::of(b"this"), Address::of(b"that"));
    let pointer = |object| Resource::Pointer("a/b", object);
    let both = rights(&[&format!("obj = {this}"), "name ^ a/"]);
    assert_eq!(both.covers(pointer(Some(&this))), Ok(()));
    assert_eq!(both.covers(pointer(None)), Ok(()), "not known yet");
    assert_eq!(both.covers(pointer(Some(&that))), Err(Denied::Obj));
    let elsewhere = Resource::Pointer("b/a", Some(&this));
    assert_eq!(both.covers(elsewhere), Err(Denied::Name));
    let queue = rights(&["queue = a"]);
    assert_eq!(queue.covers(pointer(Some(&this))), Err(Denied::Queue));
}

#[test]
fn one_operation_of_several_is_enough() {
    let rights = rights(&["op = get,put"]);
    for (ops, expected) in [
        (&[Op::NameRead, Op::Get][..], Ok(())),
        (&[Op::NameRead, Op::Head], Err(Denied::Op)),
    ] {
        let access = Access {
            ops: Ops::of(ops),
            resource: Resource::None,
            body: 0,
        };
        assert_eq!(rights.allow(&access), expected, "{ops:?}");
    }
}

#[test]
fn names_within_reach_have_a_prefix_in_common() {
    for (caveats, prefix) in [
        (&[][..], Some("")),
        (&["name ^ a/"], Some("a/")),
        (&["name ^ a/", "name ^ a/b"], Some("a/b")),
        (&["name ^ a/", "name ^ b/"], None),
        (&["queue = a"], None),
    ] {
        assert_eq!(rights(caveats).name_prefix(), prefix, "{caveats:?}");
    }
}

#[test]
fn two_that_exclude_each_other_leave_nothing() {
    let (this, that) = (Address::of(b"this"), Address::of(b"that"));
    let objects = rights(&[&format!("obj = {this}"), &format!("obj = {that}")]);
    assert!(objects.covers(Resource::Object(&this)).is_err());
    assert!(objects.covers(Resource::Object(&that)).is_err());
    let queues = rights(&["queue = a", "queue = b", "queue = a"]);
    assert!(queues.covers(Resource::Queue("a")).is_err());
    let names = rights(&["name ^ a/", "name ^ b/", "name ^ a/"]);
    assert!(names.covers(Resource::Name("a/b")).is_err());
    for order in [["name ^ a/", "name ^ a/b"], ["name ^ a/b", "name ^ a/"]] {
        let names = rights(&order);
        assert!(names.covers(Resource::Name("a/bc")).is_ok());
        assert!(names.covers(Resource::Name("a/c")).is_err());
    }
    let networks = rights(&["peer = 127.0.0.0/8", "peer = 10.0.0.0/8"]);
    for peer in ["127.0.0.1", "10.0.0.1"] {
        assert_eq!(
            networks.hold(Duration::ZERO, peer.parse().unwrap()),
            Err(Denied::Peer)
        );
    }
}

#[test]
fn time_begins_with_after_and_ends_before_before() {
    let rights = rights(&[
        "after = 1970-01-01T00:00:10Z",
        "before = 1970-01-01T00:00:20.5Z",
        "after = 1970-01-01T00:00:05Z",
        "before = 1970-01-01T00:00:30Z",
    ]);
    let hold = |millis| rights.hold(Duration::from_millis(millis), HERE.parse().unwrap());
    assert_eq!(hold(9_999), Err(Denied::After));
    assert_eq!(hold(10_000), Ok(()));
    assert_eq!(hold(20_499), Ok(()));
    assert_eq!(hold(20_500), Err(Denied::Before));
    assert_eq!(rights.before(), Some(Duration::from_millis(20_500)));
}

#[test]
fn the_least_of_the_bodies_and_the_narrowest_of_the_networks_count() {
    let rights = rights(&[
        "max-bytes = 10",
        "max-bytes = 20",
        "peer = 127.0.0.0/8",
        "peer = 127.1.0.0/16",
    ]);
    let body = |body| {
        rights.allow(&Access {
            body,
            ..access(Op::Put, Resource::None)
        })
    };
    assert_eq!((body(10), body(11)), (Ok(()), Err(Denied::MaxBytes)));
    let from = |peer: &str| rights.hold(Duration::ZERO, peer.parse().unwrap());
    assert_eq!(from("127.1.255.255"), Ok(()));
    assert_eq!(from("127.2.0.0"), Err(Denied::Peer));
}

#[test]
fn a_caveat_that_is_not_known_leaves_nothing() {
    for caveat in ["overlay = x", "", "op = read"] {
        let rights = rights(&["op = get", caveat]);
        assert_eq!(
            rights.hold(Duration::ZERO, HERE.parse().unwrap()),
            Err(Denied::Unknown)
        );
    }
}

#[test]
fn a_link_is_for_one_object_to_read_and_ends() {
    let (this, that) = (Address::of(b"this"), Address::of(b"that"));
    let obj = format!("obj = {this}");
    let before = "before = 2100-01-01T00:00:00Z";
    assert!(rights(&[&obj, "op = get", before]).fit_a_link_to(&this));
    assert!(rights(&["op = get,head,put", &obj, before, "op = head"]).fit_a_link_to(&this));
    for caveats in [
        &[obj.as_str(), before][..],
        &["op = get", before],
        &[&obj, "op = get"],
        &[&obj, "op = get,delete", before],
    ] {
        assert!(!rights(caveats).fit_a_link_to(&this), "{caveats:?}");
    }
    assert!(!rights(&[&obj, "op = get", before]).fit_a_link_to(&that));
}

/// Every caveat alone, as the table of the language says it.
fn one_holds(caveat: &str, access: &Access<'_>, now: Duration, peer: IpAddr) -> bool {
    let rights = rights(&[caveat]);
    rights.hold(now, peer).is_ok() && rights.allow(access).is_ok()
}

proptest! {
    /// Narrowing is intersection: together they allow what each of them allows alone, whatever
    /// their number and order.
    #[test]
    fn together_they_allow_what_each_allows(
        chosen in prop::collection::vec(0usize..20, 0..6),
        op in prop::sample::select(Op::ALL),
        resource in 0usize..6,
        body in 0u64..30,
        seconds in 0u64..40,
        peer in prop::sample::select(&["127.0.0.1", "127.1.0.1", "10.0.0.1", "::1"][..]),
    ) {
        let (this, that) = (Address::of(b"this"), Address::of(b"that"));
        let (obj, obj2) = (format!("obj = {this}"), format!("obj = {that}"));
        let caveats = [
            "op = get,head", "op = put", "op = get,put,name-read", obj.as_str(), obj2.as_str(),
            "name ^ a", "name ^ a/b", "name ^ b", "queue = q", "queue = r",
            "before = 1970-01-01T00:00:20Z", "before = 1970-01-01T00:00:30Z",
            "after = 1970-01-01T00:00:05Z", "after = 1970-01-01T00:00:10Z",
            "max-bytes = 10", "max-bytes = 20", "peer = 127.0.0.0/8", "peer = 127.1.0.0/16",
            "peer = ::/0", "nonsense",
        ];
        let chosen: Vec<&str> = chosen.into_iter().map(|index| caveats[index]).collect();
        let resource = [
            Resource::None, Resource::Object(&this), Resource::Object(&that),
            Resource::Name("a/b/c"), Resource::Queue("q"), Resource::Name("b"),
        ][resource];
        let access = Access { ops: Ops::of(&[op]), resource, body };
        let (now, peer) = (Duration::from_secs(seconds), peer.parse().unwrap());
        let all = rights(&chosen);
        let together = all.hold(now, peer).is_ok() && all.allow(&access).is_ok();
        let each = chosen.iter().all(|caveat| one_holds(caveat, &access, now, peer));
        prop_assert_eq!(together, each, "{:?}", chosen);
    }
}
