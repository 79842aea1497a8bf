use countersign_core::failure::{Class, Failure};
use time::macros::datetime;

use super::{Level, line};

#[test]
fn a_line_has_the_format_of_the_servers() {
    let now = datetime!(2026-11-20 16:26:25.000_123 UTC);
    assert_eq!(
        line(now, Level::Warning, "login of \"jane\" denied"),
        "2026-11-20T16:26:25.000123Z 0 [Warning] AWSAuthenticationPlugin: login of \"jane\" \
         denied\n"
    );
}

#[test]
fn control_characters_cannot_forge_a_line() {
    let now = datetime!(2026-11-20 16:26:25 UTC);
    let forged = line(now, Level::Error, "a\nb\r\u{1b}[2J\u{9b}c\0");
    assert!(forged.ends_with("[ERROR] AWSAuthenticationPlugin: a?b??[2J?c?\n"), "{forged}");
    assert_eq!(forged.matches('\n').count(), 1);
}

#[test]
fn denials_are_warnings_and_server_failures_are_errors() {
    for (class, level) in [
        (Class::Expired, Level::Warning),
        (Class::NoTls, Level::Warning),
        (Class::Unavailable, Level::Error),
        (Class::Configuration, Level::Error),
    ] {
        assert_eq!(Level::of(&Failure::new(class, "")), level);
    }
}
