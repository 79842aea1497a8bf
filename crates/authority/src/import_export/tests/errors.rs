use super::errors_of;

const ACCOUNT: &str = "accounts = [{ id = \"123456789012\" }]\n";

#[test]
fn all_errors_are_reported_together_with_their_locations() {
    let file = format!(
        "{ACCOUNT}\
[[users]]
name = \"ja ne\"
colour = \"red\"
groups = [\"absent\", 3]

[[users]]
path = \"people\"
attached = [\"NoSuchPolicy\"]
tags = {{ team = 1 }}
created = \"yesterday\"

[[users]]
name = \"ok\"
boundary = \"arn:aws:iam::123456789012:policy/none\"

[[instances]]
name = \"orders\"
engine = \"oracle\"
region = \"here\"
addresses = [{{ host = \"db\" }}]
"
    );
    insta::assert_snapshot!("all_errors", errors_of(&file));
}

#[test]
fn errors_in_policies_have_a_location_in_the_file() {
    let file = format!(
        "{ACCOUNT}\
[[roles]]
name = \"r\"
trust = '{{\"Version\": \"2012-10-17\", \
         \"Statement\": {{\"Effect\": \"Allow\", \"Action\": \"sts:AssumeRole\"}}}}'

[roles.policies.inline]
Version = \"2012-10-17\"
[[roles.policies.inline.Statement]]
Effect = \"Permit\"
Action = \"rds-db:connect\"
Resource = \"*\"
"
    );
    insta::assert_snapshot!("errors_in_policies", errors_of(&file));
}

#[test]
fn errors_in_json_have_a_location() {
    let file = r#"{
  "accounts": [{"id": "123456789012", "nickname": "x"}],
  "users": [
    {"name": "a", "policies": {"p": {
      "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*"}]}}},
    {"name": "b", "access_keys": [{"id": "AKIAIOSFODNN7EXAMPLE"}]}
  ]
}"#;
    insta::assert_snapshot!("errors_in_json", errors_of(file));
}

#[test]
fn references_to_invalid_entries_are_not_reported_as_missing() {
    let file = format!(
        "{ACCOUNT}[[groups]]\nname = \"developers\"\npath = 3\nid = \"x\"\n[[users]]\nname = \
         \"jane\"\ngroups = [\"developers\"]\n"
    );
    let errors = errors_of(&file);
    assert!(!errors.contains("not found"), "{errors}");
    let unnamed = errors_of("[[accounts]]\nid = \"12\"\n[[users]]\nname = \"jane\"\n");
    assert_eq!(unnamed.lines().count(), 1, "{unnamed}");
}

#[test]
fn syntax_errors_have_a_location_and_quote_no_secret() {
    let errors = errors_of(
        "[[users]]\nname = \"a\"\n[[users.access_keys]]\nid = \"AKIAIOSFODNN7EXAMPLE\"\nsecret = \
         \"wJalrXUtn\nx = 1\n",
    );
    assert!(errors.starts_with("line 5, column "), "{errors}");
    assert!(!errors.contains("wJalr"), "{errors}");
    let errors = errors_of("{\"users\": [}");
    assert!(errors.starts_with("users[0] (line 1, column 12): "), "{errors}");
}

#[test]
fn a_key_belongs_to_one_user_and_has_a_secret() {
    let key = "access_keys = [{ id = \"AKIAIOSFODNN7EXAMPLE\", secret = \"topsecret\" }]\n";
    let errors = errors_of(&format!(
        "{ACCOUNT}[[users]]\nname = \"a\"\n{key}[[users]]\nname = \"b\"\n{key}"
    ));
    assert!(
        errors.contains("access key AKIAIOSFODNN7EXAMPLE belongs to the user \"a\""),
        "{errors}"
    );
    assert!(!errors.contains("topsecret"), "{errors}");
    let errors =
        errors_of(&format!("{ACCOUNT}[[users]]\nname = \"a\"\n{}", key.replace("AKIA", "ASIA")));
    assert!(errors.contains("access key ids of sessions"), "{errors}");
}

#[test]
fn unique_ids_are_unique() {
    let user =
        |name: &str| format!("[[users]]\nname = \"{name}\"\nid = \"AIDAAAAAAAAAAAAAAAAAA\"\n");
    let errors = errors_of(&format!("{ACCOUNT}{}{}", user("a"), user("b")));
    assert!(
        errors.contains("users[1] (line 5, column 1): id AIDAAAAAAAAAAAAAAAAAA is already used"),
        "{errors}"
    );
}

#[test]
fn resource_ids_are_unique() {
    let instance = |name: &str| {
        format!(
            "[[instances]]\nname = \"{name}\"\nengine = \"mysql\"\nregion = \
             \"us-east-1\"\nresource_id = \"db-A\"\n"
        )
    };
    let errors = errors_of(&format!("{ACCOUNT}{}{}", instance("a"), instance("b")));
    assert!(errors.contains("resource id db-A belongs to the instance a"), "{errors}");
}
