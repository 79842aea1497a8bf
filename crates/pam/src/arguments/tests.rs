use countersign_core::failure::Class;

use super::parse;

fn rejected(line: &str) -> String {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let failure = parse(&arguments).unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    failure.detail
}

#[test]
fn all_arguments_are_parsed() {
    let line = ["instance=orders", "socket=/run/a=b.sock", "timeout=250ms", "verifier_uid=998"]
        .map(str::to_owned);
    assert_eq!(parse(&line).unwrap().instance().as_str(), "orders");
}

#[test]
fn all_errors_are_reported_at_once() {
    let detail = rejected("socket=v use_first_pass debug=1 timeout=5");
    for part in [
        "cannot parse the pam.d arguments: ",
        r#""use_first_pass": must be NAME=VALUE; "#,
        r#""socket=v": the path is not absolute; "#,
        r#""debug=1": unknown setting; "#,
        r#""timeout=5": must be from 1ms"#,
        "instance=…: missing",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    assert!(!detail.contains("socket=…: missing"), "{detail}");
    assert_eq!(
        rejected("socket=/v instance=orders debug"),
        r#"cannot parse the pam.d arguments: "debug": must be NAME=VALUE"#
    );
}
