use super::refused;

const ACCOUNT: &str = "accounts = [{ id = \"123456789012\" }]\n";

#[test]
fn every_mistake_is_said_at_once_with_its_place() {
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
    insta::assert_snapshot!(refused(&file), @r#"
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
fn mistakes_of_policies_have_their_place_in_the_file() {
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
    insta::assert_snapshot!(refused(&file), @r#"
    line 4, column 9: roles[0].trust: $.Statement: the Principal element is missing; add Principal or NotPrincipal (line 1, column 40 of the document in this string)
    line 9, column 10: roles[0].policies.inline.Statement[0].Effect: "Permit" is no effect; write "Allow" or "Deny"
    "#);
}

#[test]
fn in_json_too() {
    let file = r#"{
  "accounts": [{"id": "123456789012", "nickname": "x"}],
  "users": [
    {"name": "a", "policies": {"p": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*"}]}}},
    {"name": "b", "access_keys": [{"id": "AKIAIOSFODNN7EXAMPLE"}]}
  ]
}"#;
    insta::assert_snapshot!(refused(file), @r#"
    line 2, column 39: accounts[0].nickname: there is no field "nickname" here; there are id, partition, service_control, resource_control
    line 4, column 77: users[0].policies.p.Statement[0]: the Resource element is missing; add Resource or NotResource
    line 5, column 35: users[1].access_keys[0]: the secret of AKIAIOSFODNN7EXAMPLE is neither here nor in the store: give it, or leave the key out
    "#);
}

#[test]
fn what_has_a_mistake_of_its_own_is_not_missing_to_others() {
    let file = format!(
        "{ACCOUNT}[[groups]]\nname = \"developers\"\npath = 3\nid = \"x\"\n[[users]]\nname = \"jane\"\ngroups = [\"developers\"]\n"
    );
    let said = refused(&file);
    assert!(!said.contains("there is no group"), "{said}");
    let unnamed = refused("[[accounts]]\nid = \"12\"\n[[users]]\nname = \"jane\"\n");
    assert_eq!(unnamed.lines().count(), 1, "{unnamed}");
}

#[test]
fn errors_of_syntax_have_a_place_and_quote_no_secret() {
    let said = refused(
        "[[users]]\nname = \"a\"\n[[users.access_keys]]\nid = \"AKIAIOSFODNN7EXAMPLE\"\nsecret = \"wJalrXUtn\nx = 1\n",
    );
    assert!(said.starts_with("line 5, column "), "{said}");
    assert!(!said.contains("wJalr"), "{said}");
    let said = refused("{\"users\": [}");
    assert!(said.starts_with("line 1, column 12: "), "{said}");
}

#[test]
fn keys_are_one_users_and_have_a_secret() {
    let key = "access_keys = [{ id = \"AKIAIOSFODNN7EXAMPLE\", secret = \"topsecret\" }]\n";
    let said =
        refused(&format!("{ACCOUNT}[[users]]\nname = \"a\"\n{key}[[users]]\nname = \"b\"\n{key}"));
    assert!(
        said.contains("the access key AKIAIOSFODNN7EXAMPLE is that of the user \"a\""),
        "{said}"
    );
    assert!(!said.contains("topsecret"), "{said}");
    let said =
        refused(&format!("{ACCOUNT}[[users]]\nname = \"a\"\n{}", key.replace("AKIA", "ASIA")));
    assert!(said.contains("those of sessions"), "{said}");
}

#[test]
fn two_users_have_two_unique_ids() {
    let user =
        |name: &str| format!("[[users]]\nname = \"{name}\"\nid = \"AIDAAAAAAAAAAAAAAAAAA\"\n");
    let said = refused(&format!("{ACCOUNT}{}{}", user("a"), user("b")));
    assert!(said.contains("users[1]: the id AIDAAAAAAAAAAAAAAAAAA is that of another"), "{said}");
}

#[test]
fn two_instances_have_two_resource_ids() {
    let instance = |name: &str| {
        format!(
            "[[instances]]\nname = \"{name}\"\nengine = \"mysql\"\nregion = \"us-east-1\"\nresource_id = \"db-A\"\n"
        )
    };
    let said = refused(&format!("{ACCOUNT}{}{}", instance("a"), instance("b")));
    assert!(said.contains("the resource id db-A is that of the instance a"), "{said}");
}
