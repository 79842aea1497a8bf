use super::Version;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn versions_round_trip_and_order_numerically() {
    for text in ["15", "10.11", "9.7"] {
        assert_eq!(version(text).to_string(), text);
    }
    assert!(
        version("10.11") > version("10.6")
            && version("10.11") < version("11.4")
            && version("9.7") < version("15")
    );
    for bad in ["", ".", "10.", ".11", "10.11.9", "x", "-1", "10.x", "70000"] {
        let refused = bad.parse::<Version>().unwrap_err().to_string();
        assert!(refused.contains(&format!("{bad:?}")), "{refused}");
    }
}

#[test]
fn major_version_covers_every_minor() {
    assert!(
        version("9").covers(version("9.7"))
            && version("9.7").covers(version("9.7"))
            && version("15").covers(version("15"))
    );
    assert!(
        !version("9.6").covers(version("9.7"))
            && !version("9.7").covers(version("9"))
            && !version("8").covers(version("9.7"))
    );
}
