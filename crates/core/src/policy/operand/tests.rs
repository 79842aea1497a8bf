use super::{Decimal, Instant, Network, is_base64};

#[test]
fn decimals_compare_exactly() {
    let number = |text: &str| Decimal::parse(text).unwrap();
    assert_eq!(number("10"), number("10.0"));
    assert_eq!(number("-0"), number("0"));
    assert_eq!(number("+7"), number("7"));
    assert!(number("0.1") > number("0.09") && number("-2") < number("-1.5"));
    assert!(
        number("9007199254740993") > number("9007199254740992"),
        "beyond what an f64 tells apart"
    );
    for text in
        ["", "-", "1e3", "0x10", "1.", ".5", "1,5", " 1", "1.2.3", "--1", "1234567890123456789"]
    {
        assert_eq!(Decimal::parse(text), None, "{text:?}");
    }
}

#[test]
fn dates_are_iso_8601_or_seconds() {
    let instant = |text: &str| Instant::parse(text).unwrap_or_else(|| panic!("{text}"));
    for same in [
        "2024-01-15T12:00:00Z",
        "2024-01-15T12:00Z",
        "2024-01-15t12:00:00.000z",
        "2024-01-15T13:00:00+01:00",
        "2024-01-15T07:30:00.0-04:30",
        "1705320000",
    ] {
        assert_eq!(instant(same), instant("2024-01-15T12:00:00Z"), "{same}");
    }
    assert_eq!(instant("2024-01-15"), instant("2024-01-15T00:00:00Z"));
    assert_eq!(instant("2024-02"), instant("2024-02-01"));
    assert_eq!(instant("2024"), instant("1970-01-01T00:33:44Z"), "digits are seconds, not a year");
    assert!(
        instant("-1") < instant("0")
            && instant("2024-01-15T12:00:00.5Z") > instant("2024-01-15T12:00:00.25Z")
    );
    for text in [
        "",
        "-",
        "yesterday",
        "234-13",
        "2024-13-01",
        "2024-02-30",
        "2024-01-15T12:00:00",
        "2024-01T12:00Z",
        "2024-01-15T25:00Z",
        "2024-01-15T12Z",
        "2024-01-15T12:00:00+1",
        "2016-12-13t2:00:00.1999999999+10:59",
        "2024-01-15T12:00:00.Z",
        "9223372036854775808",
        "2024-01-15 12:00:00Z",
        "2024-01-15T12:00:00+99:00",
        "2024-01-01-01",
    ] {
        assert_eq!(Instant::parse(text), None, "{text:?}");
    }
}

#[test]
fn networks_contain_their_addresses() {
    let holds = |network: &str, address: &str| {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    };
    assert!(holds("203.0.113.0/24", "203.0.113.255") && !holds("203.0.113.0/24", "203.0.114.0"));
    assert!(holds("203.0.113.9", "203.0.113.9") && !holds("203.0.113.9", "203.0.113.8"));
    assert!(holds("0.0.0.0/0", "255.1.2.3") && holds("::/0", "2001:db8::1"));
    assert!(holds("10.1.2.3/8", "10.255.0.0"), "bits beyond the prefix do not count");
    assert!(
        holds("2001:DB8:1234:5678::/64", "2001:db8:1234:5678:ffff::")
            && !holds("2001:db8::/128", "2001:db8::1")
    );
    assert!(!holds("0.0.0.0/0", "2001:db8::1") && !holds("::/0", "10.0.0.1"));
    assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "an IPv4 address in IPv6 clothes");
    for text in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "::/129",
        "10.0.0.0/8/8",
        "host",
        "10.0.0.0/0008",
        "*",
    ] {
        assert_eq!(Network::parse(text), None, "{text:?}");
    }
}

#[test]
fn base64_is_canonical() {
    for text in ["", "QQ==", "QUI=", "QUJD", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "+/+/"] {
        assert!(is_base64(text), "{text:?}");
    }
    for text in
        ["Q", "QQ", "QQ=", "QQ===", "QR==", "QUJ=", "QU JD", "QU-_", "=", "====", "QQ==QQ=="]
    {
        assert!(!is_base64(text), "{text:?}");
    }
}
