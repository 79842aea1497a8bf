use super::{apply, errors_of, store};
use crate::store::account_key;

/// Output in the shape of the AWS CLI reference's example for `aws iam
/// get-account-authorization-details`, with documents as the CLI decodes them and as the API
/// encodes them.
const DETAILS: &str = include_str!("details.json");

#[test]
fn an_imported_account_keeps_its_unique_ids() {
    let (_directory, store) = store();
    apply(&store, DETAILS);
    let state = store.state().unwrap();
    assert_eq!(state.accounts.keys().collect::<Vec<_>>(), ["111122223333"]);
    let alice = state.users.get(&account_key("111122223333", "alice")).unwrap();
    assert_eq!((alice.unique_id.as_str(), alice.created), ("AIDA1111111111EXAMPLE", 1_381_775_544));
    assert!(alice.inline.get("own").unwrap().contains("dbuser:db-A/a+b"), "a plus is a plus");
    assert_eq!(alice.boundary.as_deref(), Some("arn:aws:iam::111122223333:policy/boundary"));
    assert_eq!(
        state.roles.get(&account_key("111122223333", "ec2role")).unwrap().unique_id,
        "AROA1234567890EXAMPLE"
    );
    let profile = state.profiles.get(&account_key("111122223333", "ec2role")).unwrap();
    assert_eq!(
        (profile.unique_id.as_str(), profile.role.as_deref()),
        ("AIPA1234567890EXAMPLE", Some("EC2role"))
    );
    let policy = state.policies.get(&account_key("111122223333", "boundary")).unwrap();
    assert_eq!((policy.default_version, policy.next_version, policy.versions.len()), (2, 3, 2));
    // An AWS managed policy is stored if its text differs from the authority's.
    assert_eq!(
        state.aws_policies.keys().collect::<Vec<_>>(),
        ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
    );
    assert!(
        crate::effective_policies::managed_policy_document(
            &state,
            "arn:aws:iam::aws:policy/ReadOnlyAccess"
        )
        .1
        .contains("s3:Get*")
    );
    drop(state);
    assert_eq!(apply(&store, DETAILS).changes, []);
}

#[test]
fn incomplete_output_and_unknown_aws_policies_are_rejected() {
    assert!(
        errors_of(&DETAILS.replace("\"IsTruncated\": false", "\"IsTruncated\": true"))
            .contains("output is incomplete")
    );
    let errors = errors_of(&DETAILS.replace(
        "\"arn:aws:iam::aws:policy/ReadOnlyAccess\", \"Path\"",
        "\"arn:aws:iam::aws:policy/Other\", \"Path\"",
    ));
    assert!(
        errors.contains(
            "GroupDetailList[0].AttachedManagedPolicies[0].PolicyArn (line 12, column 79): \
             managed policy \"arn"
        ),
        "{errors}"
    );
    assert!(errors_of(r#"{"UserDetailList": []}"#).contains("account id is missing"));
}
