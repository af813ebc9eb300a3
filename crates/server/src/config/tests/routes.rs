//! `[[routes]]`.

#![allow(clippy::unwrap_used)]

use micronode_engine::bus::EventKind;

use super::*;

fn route(event: &'static str, prefix: &str, queue: &str, name: &str) -> Route {
    Route {
        event,
        prefix: prefix.to_owned(),
        queue: queue.to_owned(),
        name: name.to_owned(),
    }
}

/// The problems of a file, as (line, rest of the message).
fn found(text: &str) -> Vec<(usize, String)> {
    let error = load_text(text).expect_err("this file must be refused");
    let problem = |problem: &Problem| match &problem.origin {
        Origin::File { line, .. } => (*line, format!("{}: {}", problem.name, problem.reason)),
        origin => panic!("{origin}"),
    };
    error.problems.iter().map(problem).collect()
}

#[test]
fn a_route_is_called_like_its_queue_unless_it_has_a_name() {
    let text = "
        [[routes]]
        event = \"name.set\"
        prefix = \"tiles/\"
        queue = \"tiles-changed\"
        [[routes]]
        queue = \"tiles-changed\"
        event = \"object.put\"
        name = \"puts\"
        [limits]
        rps = 7
    ";
    let loaded = load_text(text).unwrap();
    assert_eq!(loaded.config.limits.rps, 7);
    let routes = [
        route("name.set", "tiles/", "tiles-changed", "tiles-changed"),
        route("object.put", "", "tiles-changed", "puts"),
    ];
    assert_eq!(loaded.config.routes, routes);
    let variable = "name.set:tiles/:tiles-changed:,object.put::tiles-changed:puts";
    let variable = load_env(&[("MICRO_ROUTES", variable)]).unwrap();
    assert_eq!(variable.config.routes, routes);

    let json = loaded.to_json();
    let json = &json["routes"];
    assert_eq!(json["live"], true);
    assert_eq!(
        json["value"],
        serde_json::json!([
            {"event": "name.set", "prefix": "tiles/", "queue": "tiles-changed"},
            {"event": "object.put", "queue": "tiles-changed", "name": "puts"},
        ])
    );
}

#[test]
fn every_event_has_routes() {
    for event in EventKind::WORDS {
        let text = format!("[[routes]]\nevent = \"{event}\"\nqueue = \"q\"");
        assert_eq!(
            load_text(&text).unwrap().config.routes,
            [route(event, "", "q", "q")]
        );
    }
}

#[test]
fn what_is_wrong_with_a_route_is_told_with_its_line() {
    let queue = |given: &str| {
        format!(
            "routes.queue: {given:?}: expected the name of a queue: 1 to 80 of a-z, 0-9, '.', '_' \
             and '-', not ending in .dlq"
        )
    };
    let name = |given: &str| {
        format!(
            "routes.name: {given:?}: expected 1 to 64 letters, digits, dots, underscores or hyphens"
        )
    };
    let prefix = |given: &str| {
        format!(
            "routes.prefix: {given:?}: expected what names begin with: segments of a-z, 0-9, '.', \
             '_' and '-', with '/' between them"
        )
    };
    let long = |length: usize| "x".repeat(length);
    let (event, to) = ("[[routes]]\nevent = \"name.set\"\n", "queue = \"q\"\n");
    let base = event.to_owned() + to;
    for (text, line, message) in [
        (
            base.clone() + "quue = \"x\"",
            4,
            "routes.quue: unknown key; the nearest known one is routes.queue".to_owned(),
        ),
        (
            base.replace("name.set", "name.*"),
            2,
            "routes.event: \"name.*\": expected object.put or object.deleted or name.set or \
             name.deleted or config.updated or health"
                .to_owned(),
        ),
        (
            event.to_owned() + "queue = 5",
            3,
            "routes.queue: expected a string, found an integer".to_owned(),
        ),
        (base.replace("\"q\"", "\"Q\""), 3, queue("Q")),
        (base.replace("\"q\"", "\"\""), 3, queue("")),
        (base.replace("\"q\"", "\"q.dlq\""), 3, queue("q.dlq")),
        (
            base.replace("\"q\"", &format!("{:?}", long(81))),
            3,
            queue(&long(81)),
        ),
        (base.clone() + "name = \"a,b:c\"", 4, name("a,b:c")),
        (base.clone() + "name = \"\"", 4, name("")),
        (
            base.clone() + &format!("name = {:?}", long(65)),
            4,
            name(&long(65)),
        ),
        (base.clone() + "prefix = \"/a\"", 4, prefix("/a")),
        (base.clone() + "prefix = \"a:b,c\"", 4, prefix("a:b,c")),
        (
            base.replace("name.set", "object.put") + "prefix = \"a\"",
            1,
            "routes: `prefix` is of names, and object.put is about none: remove `prefix`"
                .to_owned(),
        ),
        (
            event.to_owned(),
            1,
            "routes: a route needs `queue`".to_owned(),
        ),
        (
            "[[routes]]\n".to_owned() + to,
            1,
            "routes: a route needs `event`".to_owned(),
        ),
        (
            base.clone() + &base,
            4,
            "routes: a second route called \"q\": give it a `name` of its own".to_owned(),
        ),
        (
            "routes = \"q\"".to_owned(),
            1,
            "routes: expected [[routes]], each with `event` and `queue`, found a string".to_owned(),
        ),
        (
            "[routes]\nevent = \"health\"".to_owned(),
            2,
            "routes.event: expected [[routes]], each with `event` and `queue`, found a table"
                .to_owned(),
        ),
    ] {
        assert_eq!(found(&text), [(line, message)], "{text}");
    }
    for text in ["health", "health::q:x:y"] {
        assert_eq!(
            problems(load_env(&[("MICRO_ROUTES", text)])),
            [
                "MICRO_ROUTES: expected EVENT:PREFIX:QUEUE:NAME for each route, prefix and name \
                 may be empty"
            ]
        );
    }
    assert_eq!(
        problems(load_env(&[("MICRO_ROUTES", "health::Q:")])),
        [queue("Q").replace("routes.queue", "MICRO_ROUTES")]
    );
}

/// A queue's name may be longer than that of a route.
#[test]
fn routes_are_taken_up_to_their_cap_and_printed_to_a_file_that_loads() {
    let entries = |count: usize| {
        let entry = |index: usize| {
            format!(
                "[[routes]]\nevent = \"name.deleted\"\nprefix = \"{index}/a\"\nqueue = \"{index:0>80}\"\n"
            )
        };
        (0..count).map(entry).collect::<String>()
    };
    let loaded = load_text(&entries(limits::ROUTES)).unwrap();
    assert_eq!(loaded.config.routes.len(), limits::ROUTES);
    let again = load_text(&loaded.to_toml()).unwrap();
    assert_eq!(again.config, loaded.config);
    assert_eq!(
        found(&entries(limits::ROUTES + 1)),
        [(
            4 * limits::ROUTES + 1,
            "routes: a list of 65 is too large: at most 64".to_owned()
        )]
    );
}
