//! Every bound, at it and just beyond it.

#![allow(clippy::unwrap_used)]

use super::*;

/// For every key with a range: just below the least (`-` when that cannot be written), the least,
/// the most, and just above.
const EDGES: &str = "
    workers                     -          0     256                    257
    limits.rps                  -          0     1000000000             1000000001
    limits.in_flight            0          1     1048576                1048577
    limits.connections          0          1     1048576                1048577
    limits.request_deadline     0s         1ms   5s                     5001ms
    limits.one_shot_deadline    0s         1ms   5s                     5001ms
    limits.head_deadline        0s         1ms   5s                     5001ms
    limits.idle_keep_alive      0s         1ms   1m                     60001ms
    limits.progress_interval    0s         1ms   5s                     5001ms
    limits.progress_min_rate    4095B      4KiB  1024TiB                1125899906842625B
    limits.one_shot_body        0B         1B    1MiB                   1048577B
    limits.max_object           0B         1B    1024TiB                1125899906842625B
    limits.head_bytes           255B       256B  16KiB                  16385B
    limits.head_fields          0          1     64                     65
    limits.decompress_ratio     0          1     10                     11
    limits.decoders             0          1     32                     33
    limits.h2_streams           0          1     100                    101
    limits.oap_frame            131071B    128KiB 1MiB                  1048577B
    limits.oap_streams          0          1     64                     65
    limits.oap_waiters          0          1     1048576                1048577
    limits.drain_deadline       -          0s    1h                     3600001ms
    limits.drain_grace          -          0s    1h                     3600001ms
    limits.facets.storage_read  0          1     1048576                1048577
    limits.facets.storage_write 0          1     1048576                1048577
    limits.waiters              0          1     1048576                1048577
    limits.facets.index         0          1     1048576                1048577
    limits.facets.mailbox       0          1     1048576                1048577
    limits.mailbox.max_messages 0          1     4000000                4000001
    limits.mailbox.max_bytes    0B         1B    18446744073709551615B  16777216TiB
    limits.mailbox.max_body     0B         1B    1MiB                   1048577B
    limits.mailbox.max_deliveries 0        1     100                    101
    limits.mailbox.idempotency_window 999ms 1s   1d                     86400001ms
    tls.ticket_ttl              999ms      1s    1d                     86400001ms
    memory.budget               16777215B  16MiB 18446744073709551615B  16777216TiB
    auth.key_ttl                999ms      1s    1d                     86400001ms
    auth.token_ttl              999ms      1s    1d                     86400001ms
    auth.exchange_rps           0          1     1000                   1001
    persist.interval            0ms        1ms   1m                     60001ms
";

fn edges() -> impl Iterator<Item = (&'static Key, [&'static str; 4])> {
    EDGES.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        let path = words.next().unwrap();
        let texts: Vec<&str> = words.collect();
        (key(path), texts.try_into().unwrap())
    })
}

#[test]
fn ranges_end_where_they_should() {
    for (key, [below, least, most, above]) in edges() {
        let path = key.path;
        for text in [least, most] {
            let mut config = Config::default();
            key.set(&mut config, text)
                .unwrap_or_else(|error| panic!("{path} {text}: {error}"));
            assert_eq!(key.text(&config), text, "{path}");
        }
        let refusal = |text: &str| {
            let mut config = Config::default();
            let reason = key.set(&mut config, text).expect_err(path);
            assert_eq!(
                config,
                Config::default(),
                "{path}: refused, and yet changed"
            );
            reason
        };
        let loosened = |text: &str, loosest: &str, tighter_is_lower: bool| {
            assert_eq!(
                key.text(&Config::default()),
                loosest,
                "{path}: the default is the bound"
            );
            matches!(refusal(text), Reason::Loosened { bound, lower, .. }
                if bound == loosest && lower == tighter_is_lower)
        };
        let above_is_right = match key.rule {
            Rule::OnlyLower => loosened(above, most, true),
            // The most of a budget is what 64 bits count: its parser refuses more.
            _ => matches!(
                refusal(above),
                Reason::TooLarge { .. } | Reason::Size { .. }
            ),
        };
        assert!(above_is_right, "{path} {above}");
        let below_is_right = match key.rule {
            _ if below == "-" => true,
            Rule::OnlyHigher => loosened(below, least, false),
            _ => matches!(refusal(below), Reason::TooSmall { .. }),
        };
        assert!(below_is_right, "{path} {below}");
    }
    for key in KEYS
        .iter()
        .filter(|key| key.takes_integer() || key.rule != Rule::Any)
    {
        assert!(
            edges().any(|(edge, _)| edge.path == key.path),
            "{} has no edges",
            key.path
        );
    }
}

#[test]
fn a_loosened_cap_names_the_key_the_bound_and_what_was_given() {
    assert_eq!(
        problems(load_env(&[("MICRO_LIMITS__REQUEST_DEADLINE", "6s")])),
        [
            "MICRO_LIMITS__REQUEST_DEADLINE: 6s loosens a cap that may only be lowered: \
          the bound is 5s"
        ]
    );
    let flags = vec![("limits.progress_min_rate", "1KiB".to_owned())];
    assert_eq!(
        problems(load(Sources {
            file: None,
            env: no_env(),
            flags
        })),
        [
            "limits.progress_min_rate (flag limits.progress_min_rate): 1KiB loosens a cap that may \
          only be raised: the bound is 4KiB"
        ]
    );
}
