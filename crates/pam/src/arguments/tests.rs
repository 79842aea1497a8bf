use countersign_core::failure::Class;

use super::parse;

fn refused(line: &str) -> String {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let failure = parse(&arguments).unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    failure.detail
}

#[test]
fn the_whole_line_is_read() {
    let line = ["instance=orders", "socket=/run/a=b.sock", "timeout=250ms", "verifier_uid=998"]
        .map(str::to_owned);
    assert_eq!(parse(&line).unwrap().instance().as_str(), "orders");
}

#[test]
fn all_mistakes_are_named_at_once() {
    let detail = refused("socket=v use_first_pass debug=1 timeout=5");
    for part in [
        "the pam.d line is wrong: ",
        r#""use_first_pass": an argument is NAME=VALUE; "#,
        r#""socket=v": the path is not absolute; "#,
        r#""debug=1": there is no such setting; "#,
        r#""timeout=5": a time"#,
        "instance=… is missing",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    assert!(!detail.contains("socket=… is missing"), "{detail}");
    assert_eq!(
        refused("socket=/v instance=orders debug"),
        r#"the pam.d line is wrong: "debug": an argument is NAME=VALUE"#
    );
}
