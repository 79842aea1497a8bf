use countersign_core::failure::Class;

use super::parse;

fn values(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn variables_are_parsed() {
    let settings = parse(&values(&[
        ("socket", "/run/v.sock"),
        ("instance", "orders"),
        ("verifier_user", "root"),
    ]))
    .unwrap();
    assert_eq!(settings.instance().as_str(), "orders");
}

#[test]
fn all_errors_name_their_options() {
    let failure =
        parse(&values(&[("timeout", "5"), ("verifier_user", ""), ("socket", "")])).unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    for part in [
        r#"awsauthenticationplugin-timeout = "5": must be from"#,
        r#"awsauthenticationplugin-verifier-user = "": the name is empty"#,
        r#"awsauthenticationplugin-socket = "": the path is not absolute"#,
        "awsauthenticationplugin-instance: missing",
        "[mysqld]",
    ] {
        assert!(failure.detail.contains(part), "{failure}");
    }
}
