use super::errors_of;

const ACCOUNT: &str = "accounts = [{ id = \"123456789012\" }]\n";

#[test]
fn all_errors_are_reported_together_with_their_locations() {
    let file = format!(
        "{ACCOUNT}\
[[users]]
name = \"ja ne\"
colour = \"red\"
groups = [\"nobody\", 3]

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
    insta::assert_snapshot!(errors_of(&file), @r#"
    line 3, column 8: users[0].name: "ja ne" is not 1 to 64 letters, digits or characters of _+=,.@-
    line 4, column 1: users[0].colour: there is no field "colour" here; there are account, name, path, id, created, tags, policies, attached, boundary, groups, access_keys, make_access_key
    line 5, column 21: users[0].groups[1]: a number stands where a string is expected
    line 7, column 1: users[1]: name is missing
    line 8, column 8: users[1].path: "people" is no path: it begins and ends with a slash, and has at most 512 visible ASCII characters
    line 10, column 17: users[1].tags.team: a number stands where a string is expected
    line 11, column 11: users[1].created: an instant such as 2024-01-15T12:00:00Z is expected, from 1970 on
    line 15, column 12: users[2].boundary: there is no managed policy "arn:aws:iam::123456789012:policy/none" in account 123456789012, nor of AWS's; one of AWS's can be given in aws_policies
    line 19, column 10: instances[0].engine: the engine "oracle" is not postgres, mariadb or mysql
    line 20, column 10: instances[0].region: the region "here" is not of the form us-east-1
    line 21, column 14: instances[0].addresses[0]: port is missing
    "#);
}

#[test]
fn errors_in_policies_have_a_location_in_the_file() {
    let file = format!(
        "{ACCOUNT}\
[[roles]]
name = \"r\"
trust = '{{\"Version\": \"2012-10-17\", \"Statement\": {{\"Effect\": \"Allow\", \"Action\": \"sts:AssumeRole\"}}}}'

[roles.policies.inline]
Version = \"2012-10-17\"
[[roles.policies.inline.Statement]]
Effect = \"Permit\"
Action = \"rds-db:connect\"
Resource = \"*\"
"
    );
    insta::assert_snapshot!(errors_of(&file), @r#"
    line 4, column 9: roles[0].trust: $.Statement: the Principal element is missing; add Principal or NotPrincipal (line 1, column 40 of the document in this string)
    line 9, column 10: roles[0].policies.inline.Statement[0].Effect: "Permit" is no effect; write "Allow" or "Deny"
    "#);
}

#[test]
fn errors_in_json_have_a_location() {
    let file = r#"{
  "accounts": [{"id": "123456789012", "nickname": "x"}],
  "users": [
    {"name": "a", "policies": {"p": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*"}]}}},
    {"name": "b", "access_keys": [{"id": "AKIAIOSFODNN7EXAMPLE"}]}
  ]
}"#;
    insta::assert_snapshot!(errors_of(file), @r#"
    line 2, column 39: accounts[0].nickname: there is no field "nickname" here; there are id, partition, service_control, resource_control
    line 4, column 77: users[0].policies.p.Statement[0]: the Resource element is missing; add Resource or NotResource
    line 5, column 35: users[1].access_keys[0]: the secret of AKIAIOSFODNN7EXAMPLE is neither here nor in the store: give it, or leave the key out
    "#);
}

#[test]
fn references_to_invalid_entries_are_not_reported_as_missing() {
    let file = format!(
        "{ACCOUNT}[[groups]]\nname = \"developers\"\npath = 3\nid = \"x\"\n[[users]]\nname = \"jane\"\ngroups = [\"developers\"]\n"
    );
    let errors = errors_of(&file);
    assert!(!errors.contains("not found"), "{errors}");
    let unnamed = errors_of("[[accounts]]\nid = \"12\"\n[[users]]\nname = \"jane\"\n");
    assert_eq!(unnamed.lines().count(), 1, "{unnamed}");
}

#[test]
fn syntax_errors_have_a_location_and_quote_no_secret() {
    let errors = errors_of(
        "[[users]]\nname = \"a\"\n[[users.access_keys]]\nid = \"AKIAIOSFODNN7EXAMPLE\"\nsecret = \"wJalrXUtn\nx = 1\n",
    );
    assert!(errors.starts_with("line 5, column "), "{errors}");
    assert!(!errors.contains("wJalr"), "{errors}");
    let errors = errors_of("{\"users\": [}");
    assert!(errors.starts_with("line 1, column 12: "), "{errors}");
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
    assert!(errors.contains("users[1]: id AIDAAAAAAAAAAAAAAAAAA is already used"), "{errors}");
}

#[test]
fn resource_ids_are_unique() {
    let instance = |name: &str| {
        format!(
            "[[instances]]\nname = \"{name}\"\nengine = \"mysql\"\nregion = \"us-east-1\"\nresource_id = \"db-A\"\n"
        )
    };
    let errors = errors_of(&format!("{ACCOUNT}{}{}", instance("a"), instance("b")));
    assert!(errors.contains("resource id db-A belongs to the instance a"), "{errors}");
}
