use std::time::Duration;

use super::{parse, written};

#[test]
fn what_people_write_is_read() {
    for (text, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("500ms", 500),
        ("15s", 15_000),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
}

#[test]
fn all_else_is_refused() {
    for text in [
        "",
        "15",
        "s",
        "-1s",
        "1.5h",
        "15 s",
        "1y",
        "367d",
        "99999999999999999999s",
        "9999999999999999d",
        "1h30",
        "ä",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for milliseconds in [0, 1, 999, 1000, 61_001, 3_600_000, 90_061_001] {
        let duration = Duration::from_millis(milliseconds);
        assert_eq!(parse(&written(duration)), Ok(duration), "{}", written(duration));
    }
    assert_eq!(written(Duration::from_secs(5400)), "1h30m");
}
