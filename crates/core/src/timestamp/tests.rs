use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{AmzDate, rfc3339};

#[test]
fn documented_instant_is_formatted_as_by_aws() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000);
    assert_eq!(AmzDate::at(at).to_string(), "20240115T120000Z");
    assert_eq!(AmzDate::at(at).stamp().day(), "20240115");
    assert_eq!(rfc3339(at), "2024-01-15T12:00:00.000Z");
}

#[test]
fn other_formats_are_rejected() {
    for text in [
        "",
        "20240115",
        "20240115T120000",
        "2024-01-15T12:00:00Z",
        "20241315T120000Z",
        "20240115T250000Z",
        "20240115t120000z",
        "20240230T000000Z",
        "99990115T12000éZ",
    ] {
        assert_eq!(AmzDate::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn parsing_inverts_formatting(second in 0_u64..253_402_300_799) {
        let date = AmzDate::at(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        prop_assert_eq!(AmzDate::parse(date.stamp().as_str()), Some(date));
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        prop_assert_eq!(date.to_system_time(), expected);
    }
}
