//! Tests of IAM's actions over a connection.

use countersign_core::credentials::Credentials;
use countersign_core::region::Partition;
use serde_json::json;

use crate::testing::{ADMINISTRATOR, Served, account, allow, encoded, text};
use countersign_authority::model::{ManagedPolicy, PolicyVersion, Tags};

mod resources;

use super::testing::allow_if;

const ARN: &str = "arn:aws:iam::123456789012";

fn policy(statements: serde_json::Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Sends a request that must succeed; returns the response.
async fn done(served: &Served, key: &Credentials, form: &str) -> String {
    let (status, answer) = served.call("iam", key, &format!("Action={form}")).await;
    assert_eq!(status, 200, "{form}: {answer}");
    answer
}

/// Sends a request that must fail; returns the message.
async fn expect_error(
    served: &Served,
    key: &Credentials,
    form: &str,
    status: u16,
    code: &str,
) -> String {
    let (actual, answer) = served.call("iam", key, &format!("Action={form}")).await;
    assert!(
        actual == status && answer.contains(&format!("<Code>{code}</Code>")),
        "{form}: expected {status} {code}: {answer}"
    );
    text(&answer, "Message").to_owned()
}

/// API with an administrator, and a user without permissions.
async fn served() -> (Served, Credentials, Credentials) {
    let served = Served::new().await;
    let admin = served.user("admin", Some(ADMINISTRATOR));
    let bob = served.user("bob", None);
    (served, admin, bob)
}

#[tokio::test]
async fn users_are_created_and_read() {
    let (served, admin, _) = served().await;
    let tag = "Tags.member.1.Key=team&Tags.member.1.Value=blue";
    let boundary = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";
    let made =
        done(&served, &admin, &format!("CreateUser&UserName=jane&Path=%2Fapp%2F&{tag}")).await;
    assert_eq!(text(&made, "Arn"), format!("{ARN}:user/app/jane"));
    assert!(
        text(&made, "UserId").starts_with("AIDA")
            && text(&made, "CreateDate").len() == "2024-01-15T12:00:00Z".len()
    );
    assert!(
        made.contains("<Tags><member><Key>team</Key><Value>blue</Value></member></Tags>"),
        "{made}"
    );
    assert_eq!(
        expect_error(&served, &admin, "CreateUser&UserName=JANE", 409, "EntityAlreadyExists").await,
        "User with name JANE already exists."
    );
    let bounded = done(
        &served,
        &admin,
        &format!("CreateUser&UserName=bounded&PermissionsBoundary={boundary}"),
    )
    .await;
    assert_eq!(text(&bounded, "PermissionsBoundaryArn"), boundary);

    assert_eq!(text(&done(&served, &admin, "GetUser").await, "UserName"), "admin");
    let listed = done(&served, &admin, "ListUsers&PathPrefix=%2Fapp%2F").await;
    assert!(
        listed.contains("<UserName>jane</UserName>")
            && !listed.contains("admin")
            && !listed.contains("<Tags>"),
        "{listed}"
    );
}

#[tokio::test]
async fn users_with_invalid_parameters_are_rejected() {
    let (served, admin, _) = served().await;
    for wrong in [
        "UserName=a%20b",
        "UserName=a%2Fb",
        "Path=%2F",
        "UserName=x&Path=app",
        "UserName=x&Path=%2Fa%20b%2F",
        "UserName=x&Fish=1",
    ] {
        expect_error(&served, &admin, &format!("CreateUser&{wrong}"), 400, "ValidationError").await;
    }
    expect_error(
        &served,
        &admin,
        &format!("CreateUser&UserName={}", "x".repeat(65)),
        400,
        "ValidationError",
    )
    .await;
    expect_error(
        &served,
        &admin,
        &format!("CreateUser&UserName=x&PermissionsBoundary={ARN}:policy/gone"),
        404,
        "NoSuchEntity",
    )
    .await;
}

#[tokio::test]
async fn users_are_renamed_and_deleted() {
    let (served, admin, _) = served().await;
    done(&served, &admin, "CreateUser&UserName=jane&Path=%2Fapp%2F").await;
    let key = key(&done(&served, &admin, "CreateAccessKey&UserName=jane").await);
    done(&served, &admin, "UpdateUser&UserName=jane&NewUserName=joan&NewPath=%2F").await;
    let message = expect_error(&served, &admin, "GetUser&UserName=jane", 404, "NoSuchEntity").await;
    assert_eq!(message, "The user with name jane cannot be found.");
    assert!(
        served
            .call("sts", &key, "Action=GetCallerIdentity")
            .await
            .1
            .contains(&format!("{ARN}:user/joan"))
    );
    expect_error(
        &served,
        &admin,
        "UpdateUser&UserName=joan&NewUserName=admin",
        409,
        "EntityAlreadyExists",
    )
    .await;

    let message =
        expect_error(&served, &admin, "DeleteUser&UserName=joan", 409, "DeleteConflict").await;
    assert_eq!(message, "Cannot delete entity, must delete access keys first.");
    done(
        &served,
        &admin,
        &format!("DeleteAccessKey&UserName=joan&AccessKeyId={}", key.access_key_id),
    )
    .await;
    done(&served, &admin, "DeleteUser&UserName=joan").await;
    expect_error(&served, &admin, "DeleteUser&UserName=joan", 404, "NoSuchEntity").await;
    expect_error(&served, &admin, "DeleteUser&UserName=bob", 409, "DeleteConflict").await;
}

/// Returns the key in a response of `CreateAccessKey`.
fn key(answer: &str) -> Credentials {
    Credentials {
        access_key_id: text(answer, "AccessKeyId").parse().unwrap(),
        secret: countersign_core::credentials::Secret::new(text(answer, "SecretAccessKey"))
            .unwrap(),
        session_token: None,
        expires: None,
    }
}

#[tokio::test]
async fn pages_have_the_requested_size_and_a_marker() {
    let (served, admin, _) = served().await;
    for name in ["a1", "B2", "c3"] {
        done(&served, &admin, &format!("CreateUser&UserName={name}&Path=%2Fp%2F")).await;
    }
    let first = done(&served, &admin, "ListUsers&PathPrefix=%2Fp%2F&MaxItems=2").await;
    assert!(first.contains(">a1<") && first.contains(">B2<") && !first.contains(">c3<"), "{first}");
    assert_eq!(text(&first, "IsTruncated"), "true");
    let form = format!(
        "ListUsers&PathPrefix=%2Fp%2F&MaxItems=2&Marker={}",
        encoded(text(&first, "Marker"))
    );
    let second = done(&served, &admin, &form).await;
    assert!(
        second.contains(">c3<") && !second.contains(">B2<") && !second.contains("<Marker>"),
        "{second}"
    );
    for wrong in ["MaxItems=0", "MaxItems=1001", "MaxItems=x", "Marker=%21", "PathPrefix=p"] {
        expect_error(&served, &admin, &format!("ListUsers&{wrong}"), 400, "ValidationError").await;
    }
}

/// Returns a request of each action, with the resource that it needs a permission for.
fn forms(admin: &Credentials) -> Vec<(&'static str, String)> {
    let key = &admin.access_key_id;
    let tags = "Tags.member.1.Key=a&Tags.member.1.Value=b";
    vec![
        ("user/admin", "GetUser&UserName=admin".to_owned()),
        ("user/gone", "GetUser&UserName=gone".to_owned()),
        ("user/x", "CreateUser&UserName=x".to_owned()),
        ("user/", "ListUsers".to_owned()),
        ("user/admin", "UpdateUser&UserName=admin&NewUserName=x".to_owned()),
        ("user/admin", "DeleteUser&UserName=admin".to_owned()),
        ("user/bob", "CreateAccessKey".to_owned()),
        ("user/admin", "ListAccessKeys&UserName=admin".to_owned()),
        ("user/admin", format!("UpdateAccessKey&UserName=admin&Status=Inactive&AccessKeyId={key}")),
        ("user/admin", format!("DeleteAccessKey&UserName=admin&AccessKeyId={key}")),
        ("user/admin", format!("GetAccessKeyLastUsed&AccessKeyId={key}")),
        ("group/x", "CreateGroup&GroupName=x".to_owned()),
        ("group/g", "GetGroup&GroupName=g".to_owned()),
        ("group/", "ListGroups".to_owned()),
        ("group/g", "UpdateGroup&GroupName=g&NewGroupName=x".to_owned()),
        ("group/g", "DeleteGroup&GroupName=g".to_owned()),
        ("group/g", "AddUserToGroup&GroupName=g&UserName=bob".to_owned()),
        ("group/g", "RemoveUserFromGroup&GroupName=g&UserName=bob".to_owned()),
        ("user/bob", "ListGroupsForUser&UserName=bob".to_owned()),
        ("instance-profile/x", "CreateInstanceProfile&InstanceProfileName=x".to_owned()),
        ("instance-profile/p", "GetInstanceProfile&InstanceProfileName=p".to_owned()),
        ("instance-profile/", "ListInstanceProfiles".to_owned()),
        ("instance-profile/p", "DeleteInstanceProfile&InstanceProfileName=p".to_owned()),
        (
            "instance-profile/p",
            "AddRoleToInstanceProfile&InstanceProfileName=p&RoleName=r".to_owned(),
        ),
        (
            "instance-profile/p",
            "RemoveRoleFromInstanceProfile&InstanceProfileName=p&RoleName=r".to_owned(),
        ),
        ("role/r", "ListInstanceProfilesForRole&RoleName=r".to_owned()),
        ("user/bob", format!("TagUser&UserName=bob&{tags}")),
        ("user/bob", "UntagUser&UserName=bob&TagKeys.member.1=a".to_owned()),
        ("user/bob", "ListUserTags&UserName=bob".to_owned()),
        ("role/r", format!("TagRole&RoleName=r&{tags}")),
        ("policy/p", format!("TagPolicy&PolicyArn={ARN}:policy/p&{tags}")),
        ("instance-profile/p", "ListInstanceProfileTags&InstanceProfileName=p".to_owned()),
    ]
}

#[tokio::test]
async fn callers_without_permissions_are_denied_every_action_on_existing_and_missing_entities() {
    let (served, admin, bob) = served().await;
    done(&served, &admin, "CreateGroup&GroupName=g").await;
    done(&served, &admin, "CreateInstanceProfile&InstanceProfileName=p").await;
    for (at, form) in forms(&admin) {
        let message = expect_error(&served, &bob, &form, 403, "AccessDenied").await;
        assert!(
            message.contains(&format!(
                "on resource: {ARN}:{at} because no identity-based policy allows"
            )),
            "{form}: {message}"
        );
    }
    let unknown_key = "GetAccessKeyLastUsed&AccessKeyId=AKIAIOSFODNN7EXAMPLE";
    for form in ["GetAccountSummary", "ListAccountAliases", unknown_key] {
        expect_error(&served, &bob, form, 403, "AccessDenied").await;
    }
    assert!(!done(&served, &admin, "ListUsers").await.contains(">x<"));
}

#[tokio::test]
async fn permissions_apply_only_to_their_paths_and_tags() {
    let (served, admin, _) = served().await;
    done(
        &served,
        &admin,
        "CreateUser&UserName=own&Path=%2Fteam%2F&Tags.member.1.Key=team&Tags.member.1.Value=blue",
    )
    .await;
    done(&served, &admin, "CreateUser&UserName=other").await;
    let by_path = served.user("by-path", Some(&allow("iam:*", &format!("{ARN}:user/team/*"))));
    done(&served, &by_path, "GetUser&UserName=own").await;
    done(&served, &by_path, "CreateUser&UserName=new&Path=%2Fteam%2F").await;
    expect_error(&served, &by_path, "GetUser&UserName=other", 403, "AccessDenied").await;
    expect_error(&served, &by_path, "CreateUser&UserName=outside", 403, "AccessDenied").await;
    // Denied both from an allowed name and to one.
    expect_error(&served, &by_path, "UpdateUser&UserName=own&NewPath=%2F", 403, "AccessDenied")
        .await;
    expect_error(
        &served,
        &by_path,
        "UpdateUser&UserName=other&NewPath=%2Fteam%2F",
        403,
        "AccessDenied",
    )
    .await;

    let condition = json!({"StringEquals": {"aws:ResourceTag/team": "blue"}});
    let by_tag = allow_if("iam:GetUser", &condition);
    let by_tag = served.user("by-tag", Some(&by_tag));
    done(&served, &by_tag, "GetUser&UserName=own").await;
    expect_error(&served, &by_tag, "GetUser&UserName=other", 403, "AccessDenied").await;

    // Creating a tagged entity requires permission for these tags.
    let condition = json!({
        "StringEquals": {"aws:RequestTag/team": "blue"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    });
    let tagging = policy(json!([
        {"Effect": "Allow", "Action": "iam:CreateUser", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:TagUser", "Resource": "*", "Condition": condition},
    ]));
    let tagging = served.user("tagging", Some(&tagging));
    done(
        &served,
        &tagging,
        "CreateUser&UserName=t1&Tags.member.1.Key=team&Tags.member.1.Value=blue",
    )
    .await;
    expect_error(
        &served,
        &tagging,
        "CreateUser&UserName=t2&Tags.member.1.Key=team&Tags.member.1.Value=red",
        403,
        "AccessDenied",
    )
    .await;
    let two = "Tags.member.1.Key=team&Tags.member.1.Value=blue&Tags.member.2.Key=root&Tags.member.2.Value=1";
    expect_error(&served, &tagging, &format!("TagUser&UserName=t1&{two}"), 403, "AccessDenied")
        .await;

    let condition =
        json!({"StringEquals": {"iam:PermissionsBoundary": format!("{ARN}:policy/edge")}});
    let bounding = allow_if("iam:CreateUser", &condition);
    let bounding = served.user("bounding", Some(&bounding));
    expect_error(&served, &bounding, "CreateUser&UserName=free", 403, "AccessDenied").await;
    expect_error(
        &served,
        &bounding,
        &format!("CreateUser&UserName=free&PermissionsBoundary={ARN}:policy/edge"),
        404,
        "NoSuchEntity",
    )
    .await;
}

#[tokio::test]
async fn groups_keep_their_members_when_renamed() {
    let (served, admin, _) = served().await;
    let made = done(&served, &admin, "CreateGroup&GroupName=Developers&Path=%2Feng%2F").await;
    assert_eq!(text(&made, "Arn"), format!("{ARN}:group/eng/Developers"));
    assert!(text(&made, "GroupId").starts_with("AGPA"));
    expect_error(&served, &admin, "CreateGroup&GroupName=developers", 409, "EntityAlreadyExists")
        .await;
    done(&served, &admin, "AddUserToGroup&GroupName=Developers&UserName=bob").await;
    done(&served, &admin, "AddUserToGroup&GroupName=Developers&UserName=bob").await;
    expect_error(
        &served,
        &admin,
        "AddUserToGroup&GroupName=Developers&UserName=gone",
        404,
        "NoSuchEntity",
    )
    .await;
    expect_error(
        &served,
        &admin,
        "AddUserToGroup&GroupName=gone&UserName=bob",
        404,
        "NoSuchEntity",
    )
    .await;
    let group = done(&served, &admin, "GetGroup&GroupName=Developers").await;
    assert!(
        group.contains("<UserName>bob</UserName>")
            && group.contains("<IsTruncated>false</IsTruncated>"),
        "{group}"
    );
    done(&served, &admin, "UpdateGroup&GroupName=Developers&NewGroupName=People").await;
    assert!(
        done(&served, &admin, "ListGroupsForUser&UserName=bob")
            .await
            .contains("<GroupName>People</GroupName>")
    );
    assert!(done(&served, &admin, "ListGroups").await.contains("<GroupName>People</GroupName>"));
    expect_error(&served, &admin, "DeleteGroup&GroupName=People", 409, "DeleteConflict").await;
    done(&served, &admin, "RemoveUserFromGroup&GroupName=People&UserName=bob").await;
    expect_error(
        &served,
        &admin,
        "RemoveUserFromGroup&GroupName=People&UserName=bob",
        404,
        "NoSuchEntity",
    )
    .await;
    done(&served, &admin, "DeleteGroup&GroupName=People").await;
    expect_error(&served, &admin, "GetGroup&GroupName=People", 404, "NoSuchEntity").await;
    for number in 0..11 {
        done(&served, &admin, &format!("CreateGroup&GroupName=g{number}")).await;
        let add = format!("AddUserToGroup&GroupName=g{number}&UserName=bob");
        if number < 10 {
            done(&served, &admin, &add).await;
        } else {
            expect_error(&served, &admin, &add, 409, "LimitExceeded").await;
        }
    }
}
