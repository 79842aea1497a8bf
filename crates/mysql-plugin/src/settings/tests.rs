use countersign_core::failure::Class;

use super::read;

fn values(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_variables_are_read() {
    let settings = read(&values(&[
        ("socket", "/run/v.sock"),
        ("instance", "orders"),
        ("verifier_user", "root"),
    ]))
    .unwrap();
    assert_eq!(settings.instance().as_str(), "orders");
}

#[test]
fn all_mistakes_are_named_by_option_at_once() {
    let failure =
        read(&values(&[("timeout", "5"), ("verifier_user", ""), ("socket", "")])).unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    for part in [
        r#"awsauthenticationplugin-timeout = "5": a time from"#,
        r#"awsauthenticationplugin-verifier-user = "": the name is empty"#,
        r#"awsauthenticationplugin-socket = "": the path is not absolute"#,
        "awsauthenticationplugin-instance is missing",
        "[mysqld]",
    ] {
        assert!(failure.detail.contains(part), "{failure}");
    }
}
