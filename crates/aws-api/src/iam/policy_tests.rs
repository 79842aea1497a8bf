//! Tests of roles and policies over a connection.

use serde_json::{Value, json};

use super::testing::{
    ACCOUNT, Iam, READ_ONLY, allow, allow_if, assert_error, encoded_as_iam, group, trust,
};
use crate::testing::text;

#[tokio::test]
async fn a_role_is_created_changed_and_deleted() {
    let iam = Iam::new().await;
    let app = ("RoleName", "App");
    let more = [
        ("Description", "for <tests>"),
        ("MaxSessionDuration", "7200"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", ""),
    ];
    let trusted = trust();
    let new = [
        [
            app,
            ("Path", "/db/"),
            ("AssumeRolePolicyDocument", &*trusted),
            ("PermissionsBoundary", READ_ONLY),
        ],
        more,
    ]
    .concat();
    let made = iam.ok("CreateRole", &new).await;
    assert_eq!(text(&made, "Arn"), "arn:aws:iam::123456789012:role/db/App");
    assert!(text(&made, "RoleId").starts_with("AROA"));
    let got = iam.ok("GetRole", &[("RoleName", "app")]).await;
    assert_eq!(text(&got, "AssumeRolePolicyDocument"), encoded_as_iam(&trust()));
    for (element, value) in [
        ("Description", "for &lt;tests&gt;"),
        ("MaxSessionDuration", "7200"),
        ("PermissionsBoundaryArn", READ_ONLY),
    ] {
        assert_eq!(text(&got, element), value);
    }
    assert!(got.contains("<Tags><member><Key>team</Key><Value></Value></member></Tags>"), "{got}");
    iam.no(
        "CreateRole",
        &[("RoleName", "APP"), ("AssumeRolePolicyDocument", &trust())],
        409,
        "EntityAlreadyExists",
    )
    .await;

    iam.ok("UpdateRole", &[app, ("MaxSessionDuration", "3600")]).await;
    iam.ok("UpdateRoleDescription", &[app, ("Description", "")]).await;
    let got = iam.ok("GetRole", &[app]).await;
    assert!(got.contains("<MaxSessionDuration>3600<") && !got.contains("<Description>"), "{got}");
    for seconds in ["3599", "43201"] {
        iam.no("UpdateRole", &[app, ("MaxSessionDuration", seconds)], 400, "ValidationError").await;
    }

    iam.ok(
        "PutRolePolicy",
        &[app, ("PolicyName", "p"), ("PolicyDocument", &allow("rds-db:connect", "*"))],
    )
    .await;
    iam.no("DeleteRole", &[app], 409, "DeleteConflict").await;
    iam.ok("DeleteRolePolicy", &[app, ("PolicyName", "p")]).await;
    iam.ok("AttachRolePolicy", &[app, ("PolicyArn", READ_ONLY)]).await;
    iam.no("DeleteRole", &[app], 409, "DeleteConflict").await;
    iam.ok("DetachRolePolicy", &[app, ("PolicyArn", READ_ONLY)]).await;
    iam.ok("DeleteRole", &[app]).await;
    iam.no("GetRole", &[app], 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn roles_are_listed_in_pages_and_by_path() {
    let iam = Iam::new().await;
    let trusted = trust();
    let app = [("RoleName", "App"), ("Path", "/db/"), ("AssumeRolePolicyDocument", &*trusted)];
    iam.ok("CreateRole", &app).await;
    for name in ["b", "c"] {
        iam.role(name).await;
    }
    let first = iam.ok("ListRoles", &[("MaxItems", "2")]).await;
    assert!(
        first.contains("<RoleName>App<")
            && first.contains("<RoleName>b<")
            && text(&first, "IsTruncated") == "true",
        "{first}"
    );
    let second =
        iam.ok("ListRoles", &[("MaxItems", "2"), ("Marker", text(&first, "Marker"))]).await;
    assert!(
        second.contains("<RoleName>c<")
            && !second.contains("<RoleName>b<")
            && text(&second, "IsTruncated") == "false"
    );
    let under = iam.ok("ListRoles", &[("PathPrefix", "/db/")]).await;
    assert!(under.contains("<RoleName>App<") && !under.contains("<RoleName>b<"));
}

#[tokio::test]
async fn a_trust_policy_requires_a_principal() {
    let iam = Iam::new().await;
    iam.role("app").await;
    let statement = |more: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole"});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    };
    let bad = [
        "{}".to_owned(),
        statement(json!({})),
        statement(json!({"Principal": {"AWS": "123456789012"}, "Resource": "*"})),
        statement(json!({"Principal": {"AWS": "invalid"}})),
        statement(json!({"Principal": {"AWS": "123456789012"}, "Action": "*"})),
        statement(json!({
            "Principal": {"AWS": "123456789012"}, "Action": ["sts:AssumeRole", "s3:GetObject"],
        })),
    ];
    for document in &bad {
        let update = [("RoleName", "app"), ("PolicyDocument", &**document)];
        iam.no("UpdateAssumeRolePolicy", &update, 400, "MalformedPolicyDocument").await;
    }
    let long = statement(json!({"Principal": {"AWS": "123456789012"}, "Sid": "x".repeat(2048)}));
    let update = [("RoleName", "app"), ("PolicyDocument", &*long)];
    iam.no("UpdateAssumeRolePolicy", &update, 409, "LimitExceeded").await;
    let everybody = statement(json!({"Principal": "*"}));
    iam.ok("UpdateAssumeRolePolicy", &[("RoleName", "app"), ("PolicyDocument", &everybody)]).await;
    assert_eq!(
        text(&iam.ok("GetRole", &[("RoleName", "app")]).await, "AssumeRolePolicyDocument"),
        encoded_as_iam(&everybody)
    );
}

#[tokio::test]
async fn the_default_version_of_a_managed_policy_is_effective() {
    let iam = Iam::new().await;
    let jane = iam.served.user("jane", None);
    let (arn, deny) = (format!("{ACCOUNT}:policy/team/lists"), allow("iam:GetUser", "*"));
    let (policy, lists) = (("PolicyArn", arn.as_str()), allow("iam:ListRoles", "*"));
    let new = [
        ("PolicyName", "lists"),
        ("Path", "/team/"),
        ("PolicyDocument", &*lists),
        ("Description", "d"),
    ];
    assert_eq!(text(&iam.ok("CreatePolicy", &new).await, "Arn"), arn);
    iam.no("CreatePolicy", &new, 409, "EntityAlreadyExists").await;
    assert!(!iam.may_list(&jane).await);
    iam.ok("AttachUserPolicy", &[("UserName", "jane"), policy]).await;
    assert!(iam.may_list(&jane).await);

    let second = iam.ok("CreatePolicyVersion", &[policy, ("PolicyDocument", &deny)]).await;
    assert_eq!((text(&second, "VersionId"), text(&second, "IsDefaultVersion")), ("v2", "false"));
    assert!(iam.may_list(&jane).await);
    iam.ok("SetDefaultPolicyVersion", &[policy, ("VersionId", "v2")]).await;
    assert!(!iam.may_list(&jane).await);
    iam.no("DeletePolicyVersion", &[policy, ("VersionId", "v2")], 409, "DeleteConflict").await;
    let got = iam.ok("GetPolicyVersion", &[policy, ("VersionId", "v1")]).await;
    assert_eq!(text(&got, "Document"), encoded_as_iam(&lists));
    for _ in 3..=5 {
        iam.ok(
            "CreatePolicyVersion",
            &[policy, ("PolicyDocument", &deny), ("SetAsDefault", "true")],
        )
        .await;
    }
    iam.no("CreatePolicyVersion", &[policy, ("PolicyDocument", &deny)], 409, "LimitExceeded").await;
    let page = iam.ok("ListPolicyVersions", &[policy, ("MaxItems", "2")]).await;
    assert!(
        page.contains("<VersionId>v5<")
            && page.contains("<VersionId>v4<")
            && !page.contains("<VersionId>v3<"),
        "{page}"
    );
    let rest = iam.ok("ListPolicyVersions", &[policy, ("Marker", text(&page, "Marker"))]).await;
    assert_eq!(rest.matches("<VersionId>").count(), 3);
    iam.no("GetPolicyVersion", &[policy, ("VersionId", "v9")], 404, "NoSuchEntity").await;
    iam.no("GetPolicyVersion", &[policy, ("VersionId", "9")], 400, "ValidationError").await;

    let got = iam.ok("GetPolicy", &[policy]).await;
    assert_eq!(
        (text(&got, "DefaultVersionId"), text(&got, "AttachmentCount"), text(&got, "Description")),
        ("v5", "1", "d")
    );
    iam.no("DeletePolicy", &[policy], 409, "DeleteConflict").await;
    iam.ok("DetachUserPolicy", &[("UserName", "jane"), policy]).await;
    iam.no("DeletePolicy", &[policy], 409, "DeleteConflict").await;
    for version in ["v1", "v2", "v3", "v4"] {
        iam.ok("DeletePolicyVersion", &[policy, ("VersionId", version)]).await;
    }
    iam.ok("DeletePolicy", &[policy]).await;
    iam.no("GetPolicy", &[policy], 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn malformed_and_long_policies_are_rejected() {
    let iam = Iam::new().await;
    let long = allow(&format!("iam:{}", "x".repeat(6144)), "*");
    for (document, status, code) in
        [("{}", 400, "MalformedPolicyDocument"), (&*long, 409, "LimitExceeded")]
    {
        let bad = [("PolicyName", "bad"), ("PolicyDocument", document)];
        iam.no("CreatePolicy", &bad, status, code).await;
    }
}

#[tokio::test]
async fn policies_are_listed_by_scope_and_use_and_aws_policies_are_immutable() {
    let iam = Iam::new().await;
    iam.served.user("jane", None);
    iam.ok("CreatePolicy", &[("PolicyName", "mine"), ("PolicyDocument", &allow("s3:*", "*"))])
        .await;
    iam.ok(
        "PutUserPermissionsBoundary",
        &[("UserName", "jane"), ("PermissionsBoundary", READ_ONLY)],
    )
    .await;
    iam.ok(
        "AttachUserPolicy",
        &[("UserName", "admin"), ("PolicyArn", "arn:aws:iam::aws:policy/IAMFullAccess")],
    )
    .await;
    let names = async |parameters: &[(&str, &str)]| {
        let answer = iam.ok("ListPolicies", parameters).await;
        answer
            .split("<PolicyName>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&[("Scope", "Local")]).await, ["mine"]);
    assert_eq!(
        names(&[("Scope", "AWS"), ("OnlyAttached", "true")]).await,
        ["IAMFullAccess", "IAMReadOnlyAccess"]
    );
    assert_eq!(names(&[("PolicyUsageFilter", "PermissionsBoundary")]).await, ["IAMReadOnlyAccess"]);
    assert_eq!(names(&[]).await.len(), 1 + countersign_authority::aws_managed::all().count());
    iam.no("ListPolicies", &[("Scope", "some")], 400, "ValidationError").await;
    iam.no("DeletePolicy", &[("PolicyArn", READ_ONLY)], 403, "AccessDenied").await;
    iam.no(
        "GetPolicy",
        &[("PolicyArn", "arn:aws-cn:iam::aws:policy/IAMReadOnlyAccess")],
        404,
        "NoSuchEntity",
    )
    .await;
    let who = iam.ok("ListEntitiesForPolicy", &[("PolicyArn", READ_ONLY)]).await;
    assert!(
        who.contains("<PolicyUsers><member><UserName>jane</UserName>")
            && who.contains("<PolicyRoles></PolicyRoles>"),
        "{who}"
    );
    let who = iam
        .ok(
            "ListEntitiesForPolicy",
            &[("PolicyArn", READ_ONLY), ("PolicyUsageFilter", "PermissionsPolicy")],
        )
        .await;
    assert!(!who.contains("jane"), "{who}");
}

#[tokio::test]
async fn inline_policies_of_each_kind() {
    let iam = Iam::new().await;
    let jane = iam.served.user("jane", None);
    iam.role("app").await;
    group(&iam, "staff", "jane");
    let document = allow("iam:ListRoles", "*");
    for (kind, name) in [("User", "jane"), ("Group", "staff"), ("Role", "app")] {
        let of = (&*format!("{kind}Name"), name);
        let action = |verb: &str, noun: &str| format!("{verb}{kind}{noun}");
        iam.no(
            &action("Put", "Policy"),
            &[of, ("PolicyName", "p"), ("PolicyDocument", "{}")],
            400,
            "MalformedPolicyDocument",
        )
        .await;
        let long = allow(&format!("iam:{}", "x".repeat(10_240)), "*");
        iam.no(
            &action("Put", "Policy"),
            &[of, ("PolicyName", "p"), ("PolicyDocument", &long)],
            409,
            "LimitExceeded",
        )
        .await;
        iam.ok(&action("Put", "Policy"), &[of, ("PolicyName", "p"), ("PolicyDocument", &document)])
            .await;
        assert_eq!(iam.may_list(&jane).await, kind != "Role", "{kind}");
        let got = iam.ok(&action("Get", "Policy"), &[of, ("PolicyName", "p")]).await;
        assert_eq!(
            (text(&got, of.0), text(&got, "PolicyDocument")),
            (name, &*encoded_as_iam(&document))
        );
        let listed = iam.ok(&action("List", "Policies"), &[of]).await;
        assert!(listed.contains("<PolicyNames><member>p</member></PolicyNames>"), "{listed}");
        assert_error(
            &iam.call(
                &jane,
                &action("Put", "Policy"),
                &[of, ("PolicyName", "q"), ("PolicyDocument", &document)],
            )
            .await,
            403,
            "AccessDenied",
        );
        iam.ok(&action("Delete", "Policy"), &[of, ("PolicyName", "p")]).await;
        iam.no(&action("Delete", "Policy"), &[of, ("PolicyName", "p")], 404, "NoSuchEntity").await;
        iam.no(
            &action("Get", "Policy"),
            &[(of.0, "gone"), ("PolicyName", "p")],
            404,
            "NoSuchEntity",
        )
        .await;
        assert!(!iam.may_list(&jane).await);
    }
}

#[tokio::test]
async fn attachments_have_a_quota_and_a_condition_key() {
    let iam = Iam::new().await;
    iam.role("app").await;
    let condition = json!({"ArnEquals": {"iam:PolicyARN": READ_ONLY}});
    let only = allow_if("iam:AttachRolePolicy", &condition);
    let clerk = iam.served.user("clerk", Some(&only));
    let app = ("RoleName", "app");
    assert_eq!(iam.call(&clerk, "AttachRolePolicy", &[app, ("PolicyArn", READ_ONLY)]).await.0, 200);
    let other = [app, ("PolicyArn", "arn:aws:iam::aws:policy/AdministratorAccess")];
    assert_error(&iam.call(&clerk, "AttachRolePolicy", &other).await, 403, "AccessDenied");
    let missing = format!("{ACCOUNT}:policy/missing");
    iam.no("AttachRolePolicy", &[app, ("PolicyArn", &missing)], 404, "NoSuchEntity").await;
    for number in 1..=10 {
        let (name, arn) = (format!("p{number}"), format!("{ACCOUNT}:policy/p{number}"));
        iam.ok("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &allow("s3:*", "*"))])
            .await;
        if number < 10 {
            iam.ok("AttachRolePolicy", &[app, ("PolicyArn", &arn)]).await;
        } else {
            iam.no("AttachRolePolicy", &[app, ("PolicyArn", &arn)], 409, "LimitExceeded").await;
        }
    }
    iam.ok("AttachRolePolicy", &[app, ("PolicyArn", READ_ONLY)]).await;
    let listed = iam.ok("ListAttachedRolePolicies", &[app]).await;
    assert_eq!(listed.matches("<PolicyArn>").count(), 10);
    assert!(
        listed.contains(&format!(
            "<PolicyName>IAMReadOnlyAccess</PolicyName><PolicyArn>{READ_ONLY}</PolicyArn>"
        )),
        "{listed}"
    );
    iam.no("DetachRolePolicy", &[app, ("PolicyArn", &missing)], 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn a_boundary_limits_permissions_and_delegation() {
    let iam = Iam::new().await;
    let jane = iam.served.user("jane", Some(&allow("iam:*", "*")));
    let name = ("UserName", "jane");
    iam.ok(
        "CreatePolicy",
        &[("PolicyName", "narrow"), ("PolicyDocument", &allow("iam:GetUser", "*"))],
    )
    .await;
    let narrow = format!("{ACCOUNT}:policy/narrow");
    assert!(iam.may_list(&jane).await);
    iam.no(
        "PutUserPermissionsBoundary",
        &[name, ("PermissionsBoundary", "arn:aws:iam::aws:policy/Gone")],
        404,
        "NoSuchEntity",
    )
    .await;
    iam.ok("PutUserPermissionsBoundary", &[name, ("PermissionsBoundary", &narrow)]).await;
    assert!(!iam.may_list(&jane).await);
    iam.no("DeletePolicy", &[("PolicyArn", &narrow)], 409, "DeleteConflict").await;
    // A delegate that may put policies only on identities with the boundary.
    let condition = json!({"StringEquals": {"iam:PermissionsBoundary": narrow}});
    let delegated = allow_if("iam:PutUserPolicy", &condition);
    let delegate = iam.served.user("delegate", Some(&delegated));
    let document = allow("s3:*", "*");
    let put = [name, ("PolicyName", "p"), ("PolicyDocument", &*document)];
    assert_eq!(iam.call(&delegate, "PutUserPolicy", &put).await.0, 200);
    iam.ok("DeleteUserPermissionsBoundary", &[name]).await;
    assert_error(&iam.call(&delegate, "PutUserPolicy", &put).await, 403, "AccessDenied");
    assert!(iam.may_list(&jane).await);
    iam.no("DeleteUserPermissionsBoundary", &[name], 404, "NoSuchEntity").await;
}
