use std::path::Path;
use std::time::Duration;

use countersign_core::failure::Class;

use super::{Account, SettingError, Settings};

fn parse(line: &str) -> Result<Settings, String> {
    let pairs: Vec<(&str, &str)> =
        line.split_whitespace().map(|word| word.split_once('=').unwrap()).collect();
    Settings::parse(&pairs)
        .map_err(|errors| errors.iter().map(SettingError::to_string).collect::<Vec<_>>().join("; "))
}

#[test]
fn all_settings_are_parsed() {
    let least = parse("socket=/run/verifier.sock instance=orders").unwrap();
    assert_eq!(least.sockets, [Path::new("/run/verifier.sock")]);
    assert_eq!(least.instance.as_str(), "orders");
    assert_eq!((least.timeout, least.verifier), (Duration::from_secs(5), None));
    let most =
        parse("instance=orders timeout=250ms verifier_uid=998 socket=/run/a=b.sock").unwrap();
    assert_eq!(most.sockets, [Path::new("/run/a=b.sock")]);
    let two = parse("instance=orders socket=/run/a.sock,/run/b.sock").unwrap();
    assert_eq!(two.sockets, [Path::new("/run/a.sock"), Path::new("/run/b.sock")]);
    assert_eq!(
        (most.timeout, most.verifier),
        (Duration::from_millis(250), Some(Account::Uid(998)))
    );
    let named = parse("instance=orders verifier_user=countersign socket=/v timeout=60s").unwrap();
    assert_eq!(
        (named.timeout, named.verifier),
        (Duration::from_secs(60), Some(Account::Name("countersign".to_owned())))
    );
}

#[test]
fn unknown_malformed_missing_and_duplicate_settings_are_errors() {
    let long = format!("socket=/{} instance=orders", "x".repeat(107));
    for (line, named) in [
        ("", "socket=…: missing; instance=…: missing"),
        ("socket=/v", "instance=…: missing"),
        (
            "socket=verifier.sock instance=orders",
            r#""socket=verifier.sock": the path is not absolute"#,
        ),
        ("socket=/v,w instance=orders", r#""socket=/v,w": the path is not absolute"#),
        ("socket=/a,/b,/c,/d,/e instance=orders", "more than 4 sockets"),
        ("socket=/\u{FFFD} instance=orders", "is not UTF-8"),
        (&long, "longer than 107 bytes"),
        ("socket=/v instance=or_ders", r#""instance=or_ders""#),
        ("socket=/v instance=", r#""instance=""#),
        ("socket=/v instance=orders SOCKET=/w", r#""SOCKET=/w": unknown setting"#),
        ("socket=/v instance=orders socket=/w", r#""socket=/w": duplicate setting"#),
        (
            "socket=/v instance=orders verifier_uid=1 verifier_user=x",
            r#""verifier_user=x": duplicate setting"#,
        ),
        ("socket=/v instance=orders verifier_uid=-1", r#""verifier_uid=-1""#),
        ("socket=/v instance=orders verifier_uid=4294967295", r#""verifier_uid=4294967295""#),
        ("socket=/v instance=orders verifier_uid=root", "must be the number of a user, not a name"),
        ("socket=/v instance=orders verifier_user=", "the name is empty"),
    ] {
        let detail = parse(line).unwrap_err();
        assert!(detail.contains(named), "{line}: {detail}");
    }
    for time in [
        "",
        "5",
        "0s",
        "0ms",
        "61s",
        "60001ms",
        "-1s",
        "5m",
        "1.5s",
        "s",
        "ms",
        "18446744073709551616s",
    ] {
        let detail = parse(&format!("socket=/v instance=orders timeout={time}")).unwrap_err();
        assert!(detail.contains("such as 5s"), "{time}: {detail}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let detail = parse("socket=v use_first_pass=1 timeout=5").unwrap_err();
    for part in ["not absolute", "use_first_pass", "such as 5s", "instance=…: missing"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert!(!detail.contains("socket=…: missing"), "{detail}");
}

#[test]
fn verifier_user_is_looked_up_in_valid_settings() {
    let verifier =
        parse("socket=/v instance=orders verifier_user=root").unwrap().verifier().unwrap();
    assert_eq!(verifier.instance().as_str(), "orders");
    let failure = parse("socket=/v instance=orders verifier_user=no-such-user-anywhere")
        .unwrap()
        .verifier()
        .unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    assert!(failure.detail.contains("no-such-user-anywhere"), "{failure}");
    let odd =
        parse("socket=/v instance=orders verifier_user=a\0b").unwrap().verifier().unwrap_err();
    assert_eq!(odd.class, Class::Configuration);
}
