//! `[[issuers]]` and `auth.deny`.

#![allow(clippy::unwrap_used)]

use super::*;

/// An entry as `micronode issuer show` prints it, three lines.
fn entry(byte: u8) -> String {
    let key = IssuerKey::new([byte; 32], Box::new([byte; 1952]));
    let (ed25519, mldsa65) = (key.ed25519_text(), key.mldsa65_text());
    format!("[[issuers]]\ned25519 = \"{ed25519}\"\nmldsa65 = \"{mldsa65}\"\n")
}

fn id(byte: u8) -> [u8; 32] {
    *IssuerKey::new([byte; 32], Box::new([byte; 1952])).id()
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
fn issuers_are_found_by_their_id() {
    let text = entry(1) + &entry(2) + "name = \"second\"\n[limits]\nrps = 7\n";
    let config = load_text(&text).unwrap().config;
    assert_eq!(config.limits.rps, 7);
    let name = |byte| {
        config
            .auth
            .issuer(&id(byte))
            .map(|issuer| issuer.name.as_deref())
    };
    assert_eq!(name(1), Some(None));
    assert_eq!(name(2), Some(Some("second")));
    assert_eq!(name(3), None);
}

#[test]
fn what_is_wrong_with_an_issuer_is_told_with_its_line() {
    let three = entry(1);
    let key_error = |bytes| {
        format!(
            "expected the {bytes} bytes of a public key as base64url without padding; \
             copy what `micronode issuer show` prints"
        )
    };
    let long_name = "x".repeat(limits::CAPABILITY_LOCATION_BYTES + 1);
    for (text, line, message) in [
        (three.clone() + "nmae = \"x\"", 4, "issuers.nmae: unknown key; the nearest known one is issuers.name".to_owned()),
        (three.clone() + "name = 5", 4, "issuers.name: expected a string, found an integer".to_owned()),
        (three.clone() + "name = \"a,b:c\"", 4, "issuers.name: \"a,b:c\": expected 1 to 64 letters, digits, dots, underscores or hyphens".to_owned()),
        (three.clone() + "name = \"\"", 4, "issuers.name: \"\": expected 1 to 64 letters, digits, dots, underscores or hyphens".to_owned()),
        (three.clone() + &format!("name = \"{long_name}\""), 4, format!("issuers.name: \"{long_name}\": expected 1 to 64 letters, digits, dots, underscores or hyphens")),
        (three.replace("d25519 = \"", "d25519 = \"A"), 2, format!("issuers.ed25519: {}", key_error(32))),
        (three.replace("dsa65 = \"", "dsa65 = \"A"), 3, format!("issuers.mldsa65: {}", key_error(1952))),
        ("[[issuers]]\n".to_owned() + three.lines().nth(2).unwrap(), 1, "issuers: an issuer needs `ed25519`; copy what `micronode issuer show` prints".to_owned()),
        (three.lines().take(2).collect::<Vec<_>>().join("\n"), 1, "issuers: an issuer needs `mldsa65`; copy what `micronode issuer show` prints".to_owned()),
        (three.clone() + &entry(2) + &three, 7, "issuers: the same issuer a second time; remove one".to_owned()),
        ("issuers = [\n\"x\"]".to_owned(), 2, "issuers: expected [[issuers]], each with `ed25519` and `mldsa65`, found a string".to_owned()),
        ("issuers = \"x\"".to_owned(), 1, "issuers: expected [[issuers]], each with `ed25519` and `mldsa65`, found a string".to_owned()),
        ("[issuers]\nname = \"x\"".to_owned(), 2, "issuers.name: expected [[issuers]], each with `ed25519` and `mldsa65`, found a table".to_owned()),
    ] {
        assert_eq!(found(&text), [(line, message)], "{text}");
    }
    // Several at once.
    let text = three + "nmae = \"x\"\n[[issuers]]\nname = 5\n";
    let lines: Vec<usize> = found(&text).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [4, 6]);
}

#[test]
fn issuers_are_taken_up_to_their_cap() {
    let entries = |count: u8| (0..count).map(entry).collect::<String>();
    let most = u8::try_from(limits::ISSUERS).unwrap();
    let config = load_text(&entries(most)).unwrap().config;
    assert_eq!(config.auth.issuers.len(), limits::ISSUERS);
    assert_eq!(
        found(&entries(most + 1)),
        [(
            3 * limits::ISSUERS + 1,
            "issuers: a list of 65 is too large: at most 64".to_owned()
        )]
    );
}

#[test]
fn what_is_denied_is_found_and_nothing_else() {
    let (nonce, issuer) = ("0123456789abcdef0123456789ABCDEF", "f0".repeat(32));
    let text = format!("[auth]\ndeny = [\"{nonce}\", \"{issuer}\", \"{nonce}\"]");
    let deny = load_text(&text).unwrap().config.auth.deny;
    let nonce = u128::from_str_radix(nonce, 16).unwrap();
    assert!(deny.grant(&nonce.to_be_bytes()));
    assert!(!deny.grant(&(nonce + 1).to_be_bytes()));
    assert!(deny.issuer(&[0xf0; 32]));
    assert!(!deny.issuer(&[0xf1; 32]));
    let variable = format!("{nonce:x},{issuer}");
    let variable = load_env(&[("MICRO_AUTH__DENY", &format!("0{variable}"))]).unwrap();
    assert_eq!(variable.config.auth.deny, deny);
    let nothing = load_env(&[("MICRO_AUTH__DENY", "")]).unwrap();
    assert_eq!(nothing.config.auth.deny, Deny::default());
}

#[test]
fn what_cannot_be_denied_is_told_with_its_line() {
    let digits = "0".repeat(31);
    let text = format!("[auth]\ndeny = [\n\"{digits}\",\n\"{digits}0\",\n\"{digits}g\", 5]");
    let hint = |length| {
        format!(
            "auth.deny: {length} characters: expected the 32 hex digits of a grant's nonce or the \
             64 of an issuer's id; `micronode token inspect` tells the nonce of a grant"
        )
    };
    assert_eq!(
        found(&text),
        [(
            5,
            "auth.deny: expected an array of strings, found an integer".to_owned()
        )]
    );
    assert_eq!(
        found(&text.replace(", 5", "")),
        [(3, hint(31)), (5, hint(32)),]
    );
    assert_eq!(
        found("auth.deny = \"00\""),
        [(
            1,
            "auth.deny: expected an array of strings, found a string".to_owned()
        )]
    );
    for text in ["00", &format!("{digits}0,"), &format!(" {digits}0")] {
        let found = problems(load_env(&[("MICRO_AUTH__DENY", text)]));
        assert!(
            found.len() == 1 && found[0].contains("characters: expected the 32 hex digits"),
            "{found:?}"
        );
    }
}

#[test]
fn denials_are_taken_up_to_their_cap() {
    let list = |count: usize| {
        let items = (0..count).map(|item| format!("\"{item:064x}\",\n"));
        format!("[auth]\ndeny = [\n{}]", items.collect::<String>())
    };
    let config = load_text(&list(limits::DENIED)).unwrap().config;
    assert!(config.auth.deny.issuer(&[0; 32]));
    assert_eq!(
        found(&list(limits::DENIED + 1)),
        [(
            limits::DENIED + 3,
            "auth.deny: a list of 4097 is too large: at most 4096".to_owned()
        )]
    );
}

/// The file's cap has room for both lists at their caps, as they are printed.
#[test]
fn full_lists_are_printed_to_a_file_that_loads() {
    let entries: String = (0..limits::ISSUERS as u8)
        .map(|byte| entry(byte) + &format!("name = \"{:x>64}\"\n", byte))
        .collect();
    let items: String = (0..limits::DENIED)
        .map(|item| format!("\"{item:064x}\","))
        .collect();
    let loaded = load_text(&format!("{entries}[auth]\ndeny = [{items}]")).unwrap();
    let again = load_text(&loaded.to_toml()).unwrap();
    assert_eq!(again.config, loaded.config);
}

#[test]
fn json_has_lists() {
    let loaded = load_text(&(entry(1) + "[auth]\ndeny = [\"" + &"0f".repeat(16) + "\"]")).unwrap();
    let json = loaded.to_json();
    assert_eq!(json["auth"]["deny"]["value"][0], "0f".repeat(16));
    let issuer = json["issuers"]["value"][0].as_object().unwrap();
    assert_eq!(issuer.keys().collect::<Vec<_>>(), ["ed25519", "mldsa65"]);
    assert_eq!(json["issuers"]["live"], true);
}

#[test]
fn a_node_has_a_name_of_plain_characters() {
    let name = |text: &str| load_env(&[("MICRO_AUTH__NAME", text)]);
    let longest = "x".repeat(limits::CAPABILITY_LOCATION_BYTES);
    for text in ["a", "cache-1.example_B", &longest] {
        assert_eq!(name(text).unwrap().config.auth.name, text);
    }
    let too_long = longest + "x";
    for text in ["", "two words", "é", "a\n", "a\"", &too_long] {
        let found = problems(name(text));
        assert!(
            found.len() == 1 && found[0].contains("expected 1 to 64 letters"),
            "{found:?}"
        );
    }
}
