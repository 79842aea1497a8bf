use super::{apply, errors_of, store};
use crate::store::account_key;

/// Output in the shape of the AWS CLI reference's example for `aws iam
/// get-account-authorization-details`, with documents as the CLI decodes them and as the API
/// encodes them.
const DETAILS: &str = r#"{
  "UserDetailList": [{
    "Path": "/", "UserName": "Alice", "UserId": "AIDA1111111111EXAMPLE", "Arn": "arn:aws:iam::111122223333:user/Alice",
    "CreateDate": "2013-10-14T18:32:24+00:00", "GroupList": ["Admins"], "AttachedManagedPolicies": [],
    "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22rds-db%3Aconnect%22%2C%22Resource%22%3A%22arn%3Aaws%3Ards-db%3A%2A%3A111122223333%3Adbuser%3Adb-A%2Fa%2Bb%22%7D%7D"}],
    "PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/boundary"},
    "Tags": [{"Key": "team", "Value": "red"}]
  }],
  "GroupDetailList": [{
    "Path": "/", "GroupName": "Admins", "GroupId": "AGPA1234567890EXAMPLE", "Arn": "arn:aws:iam::111122223333:group/Admins",
    "CreateDate": "2013-10-14T18:32:24Z", "GroupPolicyList": [],
    "AttachedManagedPolicies": [{"PolicyName": "ReadOnlyAccess", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]
  }],
  "RoleDetailList": [{
    "Path": "/", "RoleName": "EC2role", "RoleId": "AROA1234567890EXAMPLE", "Arn": "arn:aws:iam::111122223333:role/EC2role",
    "CreateDate": "2014-07-30T17:09:20+00:00", "RolePolicyList": [], "Tags": [], "AttachedManagedPolicies": [],
    "RoleLastUsed": {"Region": "us-west-2", "LastUsedDate": "2019-11-18T21:57:33+00:00"},
    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [
      {"Sid": "", "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]},
    "InstanceProfileList": [{
      "InstanceProfileId": "AIPA1234567890EXAMPLE", "InstanceProfileName": "EC2role", "Path": "/",
      "Arn": "arn:aws:iam::111122223333:instance-profile/EC2role", "CreateDate": "2014-07-30T17:09:20+00:00",
      "Roles": [{"RoleName": "EC2role", "Path": "/", "RoleId": "AROA1234567890EXAMPLE", "Arn": "arn:aws:iam::111122223333:role/EC2role"}]
    }]
  }],
  "Policies": [{
    "PolicyName": "boundary", "PolicyId": "ANPA1234567890EXAMPLE", "Arn": "arn:aws:iam::111122223333:policy/boundary", "Path": "/",
    "DefaultVersionId": "v2", "AttachmentCount": 1, "IsAttachable": true, "CreateDate": "2015-02-03T19:05:24Z",
    "PolicyVersionList": [
      {"VersionId": "v2", "IsDefaultVersion": true, "CreateDate": "2015-02-03T19:05:24Z",
       "Document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "rds-db:*", "Resource": "*"}}},
      {"VersionId": "v1", "IsDefaultVersion": false, "CreateDate": "2014-02-03T19:05:24Z",
       "Document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}]
  }, {
    "PolicyName": "ReadOnlyAccess", "PolicyId": "ANPAILL3HVNFSB6DCOWYQ", "Arn": "arn:aws:iam::aws:policy/ReadOnlyAccess", "Path": "/",
    "DefaultVersionId": "v9", "CreateDate": "2015-02-06T18:39:48Z",
    "PolicyVersionList": [{"VersionId": "v9", "IsDefaultVersion": true, "CreateDate": "2015-02-06T18:39:48Z",
       "Document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}}]
  }, {
    "PolicyName": "AdministratorAccess", "PolicyId": "ANPAIWMBCKSKIEE64ZLYK", "Arn": "arn:aws:iam::aws:policy/AdministratorAccess", "Path": "/",
    "DefaultVersionId": "v1", "CreateDate": "2015-02-06T18:39:46Z",
    "PolicyVersionList": [{"VersionId": "v1", "IsDefaultVersion": true, "CreateDate": "2015-02-06T18:39:46Z",
       "Document": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}]
  }],
  "IsTruncated": false
}"#;

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
            "GroupDetailList[0].AttachedManagedPolicies[0].PolicyArn: managed policy \"arn"
        ),
        "{errors}"
    );
    assert!(errors_of(r#"{"UserDetailList": []}"#).contains("account id is missing"));
}
