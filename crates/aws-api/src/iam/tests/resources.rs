//! Access keys, profiles, tags and the account.

use super::*;

#[tokio::test]
async fn users_have_at_most_two_keys_effective_immediately() {
    let (served, admin, bob) = served().await;
    let second = key(&done(&served, &admin, "CreateAccessKey&UserName=bob").await);
    let message =
        expect_error(&served, &admin, "CreateAccessKey&UserName=bob", 409, "LimitExceeded").await;
    assert_eq!(message, "Cannot exceed quota for AccessKeysPerUser: 2");
    expect_error(&served, &admin, "CreateAccessKey&UserName=gone", 404, "NoSuchEntity").await;
    let listed = done(&served, &admin, "ListAccessKeys&UserName=bob").await;
    assert!(
        listed.contains(second.access_key_id.as_str())
            && listed.contains(bob.access_key_id.as_str())
    );
    assert!(!listed.contains("SecretAccessKey") && !listed.contains(second.secret.expose()));
    let page = done(&served, &admin, "ListAccessKeys&UserName=bob&MaxItems=1").await;
    assert!(
        page.contains(bob.access_key_id.as_str()) && !page.contains(second.access_key_id.as_str()),
        "{page}"
    );

    assert_eq!(served.call("sts", &second, "Action=GetCallerIdentity").await.0, 200);
    let id = &second.access_key_id;
    let update = |user: &str, status: &str| {
        format!("UpdateAccessKey&UserName={user}&Status={status}&AccessKeyId={id}")
    };
    done(&served, &admin, &update("bob", "Inactive")).await;
    assert_eq!(served.call("sts", &second, "Action=GetCallerIdentity").await.0, 403);
    done(&served, &admin, &update("bob", "Active")).await;
    assert_eq!(served.call("sts", &second, "Action=GetCallerIdentity").await.0, 200);
    expect_error(&served, &admin, &update("bob", "Off"), 400, "ValidationError").await;
    // A key of another user is not found, though the caller may change both.
    expect_error(&served, &admin, &update("admin", "Inactive"), 404, "NoSuchEntity").await;
    expect_error(
        &served,
        &admin,
        &format!("DeleteAccessKey&AccessKeyId={id}"),
        404,
        "NoSuchEntity",
    )
    .await;
    let used = done(&served, &admin, &format!("GetAccessKeyLastUsed&AccessKeyId={id}")).await;
    assert!(text(&used, "UserName") == "bob" && text(&used, "ServiceName") == "N/A", "{used}");
    done(&served, &admin, &format!("DeleteAccessKey&UserName=bob&AccessKeyId={id}")).await;
    assert_eq!(served.call("sts", &second, "Action=GetCallerIdentity").await.0, 403);
    expect_error(
        &served,
        &admin,
        &format!("GetAccessKeyLastUsed&AccessKeyId={id}"),
        404,
        "NoSuchEntity",
    )
    .await;
}

const ADD_ROLE: &str = "AddRoleToInstanceProfile&InstanceProfileName=web&RoleName=app";

/// Creates an instance profile, and two roles that EC2 may assume.
async fn served_with_profile() -> (Served, Credentials) {
    let (served, admin, _) = served().await;
    let principal = json!({"Service": "ec2.amazonaws.com"});
    let trust =
        policy(json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}));
    served.role("app", &trust, None);
    served.role("other", &trust, None);
    let made = done(&served, &admin, "CreateInstanceProfile&InstanceProfileName=web").await;
    assert!(
        text(&made, "InstanceProfileId").starts_with("AIPA") && made.contains("<Roles></Roles>"),
        "{made}"
    );
    (served, admin)
}

#[tokio::test]
async fn adding_a_role_to_a_profile_requires_pass_role() {
    let (served, admin) = served_with_profile().await;
    expect_error(
        &served,
        &admin,
        "CreateInstanceProfile&InstanceProfileName=web",
        409,
        "EntityAlreadyExists",
    )
    .await;

    let add = ADD_ROLE;
    let without = served.user("without", Some(&allow("iam:AddRoleToInstanceProfile", "*")));
    let message = expect_error(&served, &without, add, 403, "AccessDenied").await;
    assert!(message.contains(&format!("iam:PassRole on resource: {ARN}:role/app")), "{message}");
    let condition = json!({"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}});
    let with = served.user(
        "with",
        Some(&policy(json!([
            {"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "*"},
            {
                "Effect": "Allow", "Action": "iam:PassRole",
                "Resource": format!("{ARN}:role/app"), "Condition": condition,
            },
        ]))),
    );
    expect_error(&served, &with, &add.replace("=app", "=other"), 403, "AccessDenied").await;
    done(&served, &with, add).await;
    expect_error(&served, &admin, &add.replace("=app", "=other"), 409, "LimitExceeded").await;
    expect_error(&served, &admin, &add.replace("=app", "=gone"), 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn a_profile_is_read_listed_and_deleted() {
    let (served, admin) = served_with_profile().await;
    done(&served, &admin, ADD_ROLE).await;
    let profile = done(&served, &admin, "GetInstanceProfile&InstanceProfileName=web").await;
    assert!(profile.contains("<Roles><member><Path>/</Path><RoleName>app</RoleName>"), "{profile}");
    let document = text(&profile, "AssumeRolePolicyDocument");
    assert!(document.starts_with("%7B%22Statement%22%3A") && !document.contains('+'), "{document}");
    assert!(
        done(&served, &admin, "ListInstanceProfilesForRole&RoleName=app").await.contains(">web<")
    );
    assert!(
        !done(&served, &admin, "ListInstanceProfilesForRole&RoleName=other")
            .await
            .contains(">web<")
    );
    assert!(done(&served, &admin, "ListInstanceProfiles").await.contains(">web<"));
    expect_error(
        &served,
        &admin,
        "DeleteInstanceProfile&InstanceProfileName=web",
        409,
        "DeleteConflict",
    )
    .await;
    let remove = ADD_ROLE.replace("AddRoleTo", "RemoveRoleFrom");
    expect_error(&served, &admin, &remove.replace("=app", "=other"), 404, "NoSuchEntity").await;
    done(&served, &admin, &remove).await;
    done(&served, &admin, "DeleteInstanceProfile&InstanceProfileName=web").await;
    expect_error(
        &served,
        &admin,
        "GetInstanceProfile&InstanceProfileName=web",
        404,
        "NoSuchEntity",
    )
    .await;
}

/// Kinds of entities with tags, and the parameter that names one of each.
const TAGGABLE: [(&str, &str); 3] = [
    ("User", "UserName=bob"),
    ("Role", "RoleName=app"),
    ("InstanceProfile", "InstanceProfileName=web"),
];

/// Creates the entities of [`TAGGABLE`].
async fn served_with_taggable_entities() -> (Served, Credentials) {
    let (served, admin, _) = served().await;
    served.role(
        "app",
        &policy(json!({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"})),
        None,
    );
    done(&served, &admin, "CreateInstanceProfile&InstanceProfileName=web").await;
    (served, admin)
}

fn tag(kind: &str, name: &str, key: &str, value: &str) -> String {
    format!("Tag{kind}&{name}&Tags.member.1.Key={}&Tags.member.1.Value={value}", encoded(key))
}

#[tokio::test]
async fn tags_are_set_replaced_and_removed_regardless_of_case() {
    let (served, admin) = served_with_taggable_entities().await;
    for (kind, name) in TAGGABLE {
        done(&served, &admin, &tag(kind, name, "Team", "blue")).await;
        done(&served, &admin, &tag(kind, name, "team", "")).await;
        let list = format!("List{kind}Tags&{name}");
        let listed = done(&served, &admin, &list).await;
        assert!(
            listed.contains("<Tags><member><Key>team</Key><Value></Value></member></Tags>"),
            "{listed}"
        );
        done(&served, &admin, &tag(kind, name, "other", "v")).await;
        let untag = format!("Untag{kind}&{name}");
        let keys = "&TagKeys.member.1=TEAM&TagKeys.member.2=absent";
        done(&served, &admin, &format!("{untag}{keys}")).await;
        let listed = done(&served, &admin, &list).await;
        assert!(
            !listed.contains("<Key>team</Key>") && listed.contains("<Key>other</Key>"),
            "{listed}"
        );
        expect_error(&served, &admin, &untag, 400, "ValidationError").await;
    }
    let gone = format!("ListPolicyTags&PolicyArn={ARN}:policy/gone");
    expect_error(&served, &admin, &gone, 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn invalid_and_too_many_tags_are_rejected() {
    let (served, admin) = served_with_taggable_entities().await;
    let many = |from: usize, to: usize| {
        (from..to)
            .map(|n| format!("&Tags.member.{n}.Key=k{n}&Tags.member.{n}.Value=v"))
            .collect::<String>()
    };
    for (kind, name) in TAGGABLE {
        done(&served, &admin, &tag(kind, name, "team", "")).await;
        for (key, code) in [
            ("aws:x", "InvalidInput"),
            ("AWS:x", "InvalidInput"),
            ("a*b", "ValidationError"),
            ("a\nb", "ValidationError"),
        ] {
            expect_error(&served, &admin, &tag(kind, name, key, "v"), 400, code).await;
        }
        let twice = tag(kind, name, "a", "1") + "&Tags.member.2.Key=A&Tags.member.2.Value=2";
        expect_error(&served, &admin, &twice, 400, "InvalidInput").await;
        let form = format!("Tag{kind}&{name}");
        expect_error(&served, &admin, &form, 400, "ValidationError").await;
        done(&served, &admin, &format!("{form}{}", many(1, 50))).await;
        let more = format!("{form}{}", many(50, 51));
        expect_error(&served, &admin, &more, 409, "LimitExceeded").await;
        let page = done(&served, &admin, &format!("List{kind}Tags&{name}&MaxItems=3")).await;
        assert!(page.matches("<Key>").count() == 3 && page.contains("<Marker>"), "{page}");
    }
}

#[tokio::test]
async fn only_policies_of_the_callers_account_can_be_tagged() {
    let (served, admin, _) = served().await;
    let other = "210987654321".parse().unwrap();
    served.api.store().ensure_account(&other, Partition::Aws).unwrap();
    for account in [account(), other] {
        let version = PolicyVersion { document: ADMINISTRATOR.to_owned(), created: 0 };
        let policy = ManagedPolicy {
            account,
            partition: Partition::Aws,
            path: "/".to_owned(),
            name: "p".to_owned(),
            unique_id: "ANPAEXAMPLE".to_owned(),
            description: String::new(),
            created: 0,
            versions: [(1, version)].into(),
            default_version: 1,
            next_version: 2,
            tags: Tags::new(),
        };
        served.api.store().change(|draft| draft.put(policy.clone())).unwrap();
    }
    let tag = "Tags.member.1.Key=team&Tags.member.1.Value=blue";
    done(&served, &admin, &format!("TagPolicy&PolicyArn={ARN}:policy/p&{tag}")).await;
    assert!(
        done(&served, &admin, &format!("ListPolicyTags&PolicyArn={ARN}:policy/p"))
            .await
            .contains("<Value>blue</Value>")
    );
    done(&served, &admin, &format!("UntagPolicy&PolicyArn={ARN}:policy/p&TagKeys.member.1=team"))
        .await;
    assert!(
        done(&served, &admin, &format!("ListPolicyTags&PolicyArn={ARN}:policy/p"))
            .await
            .contains("<Tags></Tags>")
    );
    for arn in [
        "arn:aws:iam::210987654321:policy/p",
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:iam::123456789012:policy/x/p",
    ] {
        let (status, answer) =
            served.call("iam", &admin, &format!("Action=TagPolicy&PolicyArn={arn}&{tag}")).await;
        assert!(status == 403 || status == 404, "{arn}: {answer}");
    }
    let state = served.api.store().state().unwrap();
    assert!(state.policies.values().all(|policy| policy.tags.is_empty()));
}

#[tokio::test]
async fn the_account_summary_counts_records() {
    let (served, admin, _) = served().await;
    let summary = done(&served, &admin, "GetAccountSummary").await;
    assert!(
        summary.contains("<SummaryMap><entry><key>Users</key><value>2</value></entry>"),
        "{summary}"
    );
    assert!(
        done(&served, &admin, "ListAccountAliases")
            .await
            .contains("<AccountAliases></AccountAliases><IsTruncated>false</IsTruncated>")
    );
}
