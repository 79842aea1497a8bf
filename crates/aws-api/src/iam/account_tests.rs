//! Identity providers, the policy simulator and the account's details, over a real connection.

use serde_json::json;

use super::testing::{ACCOUNT, Iam, READ_ONLY, allow, assert_error, encoded_as_iam, group, trust};
use crate::testing::{account, text};
use countersign_authority::model::InstanceProfile;

#[tokio::test]
async fn a_provider_is_registered_changed_and_deleted() {
    let iam = Iam::new().await;
    let print = "a".repeat(40);
    let new = [
        ("Url", "https://oidc.example.com/id/1"),
        ("ClientIDList.member.1", "sts.amazonaws.com"),
        ("ThumbprintList.member.1", &*print),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "db"),
    ];
    let arn = format!("{ACCOUNT}:oidc-provider/oidc.example.com/id/1");
    let of = ("OpenIDConnectProviderArn", arn.as_str());
    assert_eq!(
        text(&iam.ok("CreateOpenIDConnectProvider", &new).await, "OpenIDConnectProviderArn"),
        arn
    );
    iam.no("CreateOpenIDConnectProvider", &new, 409, "EntityAlreadyExists").await;
    iam.ok("AddClientIDToOpenIDConnectProvider", &[of, ("ClientID", "app")]).await;
    iam.ok("AddClientIDToOpenIDConnectProvider", &[of, ("ClientID", "app")]).await;
    iam.ok("RemoveClientIDFromOpenIDConnectProvider", &[of, ("ClientID", "sts.amazonaws.com")])
        .await;
    iam.ok(
        "UpdateOpenIDConnectProviderThumbprint",
        &[of, ("ThumbprintList.member.1", &"B".repeat(40))],
    )
    .await;
    iam.ok(
        "TagOpenIDConnectProvider",
        &[of, ("Tags.member.1.Key", "TEAM"), ("Tags.member.1.Value", "web")],
    )
    .await;
    let got = iam.ok("GetOpenIDConnectProvider", &[of]).await;
    assert_eq!(text(&got, "Url"), "oidc.example.com/id/1");
    assert!(got.contains("<ClientIDList><member>app</member></ClientIDList>"), "{got}");
    assert!(
        got.contains(&format!(
            "<ThumbprintList><member>{}</member></ThumbprintList>",
            "B".repeat(40)
        )),
        "{got}"
    );
    assert!(
        got.contains("<Tags><member><Key>TEAM</Key><Value>web</Value></member></Tags>"),
        "{got}"
    );
    iam.ok("UntagOpenIDConnectProvider", &[of, ("TagKeys.member.1", "team")]).await;
    assert!(iam.ok("ListOpenIDConnectProviderTags", &[of]).await.contains("<Tags></Tags>"));
    assert!(iam.ok("ListOpenIDConnectProviders", &[]).await.contains(&format!("<Arn>{arn}</Arn>")));
    let jane = iam.served.user("jane", None);
    assert_error(&iam.call(&jane, "DeleteOpenIDConnectProvider", &[of]).await, 403, "AccessDenied");
    // Deleting a missing provider is not an error for an authorized caller.
    iam.ok("DeleteOpenIDConnectProvider", &[of]).await;
    iam.ok("DeleteOpenIDConnectProvider", &[of]).await;
    assert_error(&iam.call(&jane, "DeleteOpenIDConnectProvider", &[of]).await, 403, "AccessDenied");
    iam.no("GetOpenIDConnectProvider", &[of], 404, "NoSuchEntity").await;
}

#[tokio::test]
async fn invalid_urls_and_thumbprints_of_a_provider_are_rejected() {
    let iam = Iam::new().await;
    for url in [
        "http://oidc.example.com",
        "oidc.example.com",
        "https://x/?a=b",
        "https://user@x",
        "ftp://x",
    ] {
        iam.no("CreateOpenIDConnectProvider", &[("Url", url)], 400, "ValidationError").await;
    }
    iam.ok("CreateOpenIDConnectProvider", &[("Url", "http://127.0.0.1:8080")]).await;
    let short = [("Url", "https://other.example.com"), ("ThumbprintList.member.1", "abc")];
    iam.no("CreateOpenIDConnectProvider", &short, 400, "InvalidInput").await;
}

const DATABASE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";

/// Returns a policy that allows connections from one network and denies S3.
fn document() -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:*:*:dbuser:*/jane",
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        },
        {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ]})
    .to_string()
}

/// Parameters that simulate a connection to [`DATABASE`].
fn connection(document: &str) -> [(&str, &str); 3] {
    [
        ("PolicyInputList.member.1", document),
        ("ActionNames.member.1", "rds-db:connect"),
        ("ResourceArns.member.1", DATABASE),
    ]
}

#[tokio::test]
async fn custom_policies_are_simulated() {
    let iam = Iam::new().await;
    let document = document();
    let parameters = connection(&document);
    let missing = iam.ok("SimulateCustomPolicy", &parameters).await;
    assert_eq!(
        (text(&missing, "EvalDecision"), text(&missing, "EvalResourceName")),
        ("implicitDeny", DATABASE)
    );
    assert!(
        missing
            .contains("<MissingContextValues><member>aws:SourceIp</member></MissingContextValues>"),
        "{missing}"
    );
    let source = |address| {
        let entry = "ContextEntries.member.1";
        let names = ["ContextKeyName", "ContextKeyValues.member.1", "ContextKeyType"]
            .map(|name| format!("{entry}.{name}"));
        names.into_iter().zip(["aws:sourceip", address, "ip"]).collect::<Vec<_>>()
    };
    for (address, decision) in [("10.1.2.3", "allowed"), ("11.1.2.3", "implicitDeny")] {
        let entries = source(address);
        let entries = entries.iter().map(|(name, value)| (name.as_str(), *value));
        let with: Vec<_> = parameters.into_iter().chain(entries).collect();
        let answer = iam.ok("SimulateCustomPolicy", &with).await;
        assert_eq!(text(&answer, "EvalDecision"), decision);
        assert!(answer.contains("<MissingContextValues></MissingContextValues>"), "{answer}");
        let matched =
            "<MatchedStatements><member><SourcePolicyId>PolicyInputList.1</SourcePolicyId>";
        assert_eq!(answer.contains(matched), decision == "allowed", "{answer}");
    }
    let denied = iam
        .ok("SimulateCustomPolicy", &[parameters[0], ("ActionNames.member.1", "s3:GetObject")])
        .await;
    assert_eq!(
        (text(&denied, "EvalDecision"), text(&denied, "EvalResourceName")),
        ("explicitDeny", "*")
    );
}

#[tokio::test]
async fn a_simulation_reports_the_boundary_and_context_keys_in_pages() {
    let iam = Iam::new().await;
    let document = document();
    let parameters = connection(&document);
    let boundary = [
        parameters[0],
        ("ActionNames.member.1", "s3:GetObject"),
        ("PermissionsBoundaryPolicyInputList.member.1", &document),
    ];
    assert_eq!(
        text(&iam.ok("SimulateCustomPolicy", &boundary).await, "AllowedByPermissionsBoundary"),
        "false"
    );
    let keys = iam.ok("GetContextKeysForCustomPolicy", &[parameters[0]]).await;
    assert!(
        keys.contains("<ContextKeyNames><member>aws:SourceIp</member></ContextKeyNames>"),
        "{keys}"
    );

    let pages = [
        parameters[0],
        ("ActionNames.member.1", "a:B"),
        ("ActionNames.member.2", "s3:Get"),
        ("MaxItems", "1"),
    ];
    let first = iam.ok("SimulateCustomPolicy", &pages).await;
    assert_eq!((text(&first, "EvalActionName"), text(&first, "IsTruncated")), ("a:B", "true"));
    let rest = iam
        .ok(
            "SimulateCustomPolicy",
            &[pages[0], pages[1], pages[2], ("Marker", text(&first, "Marker"))],
        )
        .await;
    assert_eq!((text(&rest, "EvalActionName"), text(&rest, "IsTruncated")), ("s3:Get", "false"));
}

#[tokio::test]
async fn invalid_simulations_are_rejected() {
    let iam = Iam::new().await;
    let document = document();
    let parameters = connection(&document);
    let bad: [&[(&str, &str)]; 5] = [
        &[("PolicyInputList.member.1", "{}"), parameters[1]],
        &[parameters[0], ("ActionNames.member.1", "connect")],
        &[parameters[0], ("ActionNames.member.1", "s3:*")],
        &[parameters[0], parameters[1], ("ResourcePolicy", &trust())],
        &[parameters[0], parameters[1], ("ResourceArns.member.1", "bucket")],
    ];
    for invalid in bad {
        iam.no("SimulateCustomPolicy", invalid, 400, "InvalidInput").await;
    }
    iam.no("SimulateCustomPolicy", &[parameters[0]], 400, "ValidationError").await;
}

#[tokio::test]
async fn a_simulation_evaluates_the_resource_policy() {
    let iam = Iam::new().await;
    let jane = "arn:aws:iam::111122223333:user/jane";
    let statement = json!({
        "Effect": "Allow", "Principal": {"AWS": jane}, "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::bucket/*",
    });
    let policy = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    let mine = allow("s3:GetObject", "*");
    let input = [
        ("PolicyInputList.member.1", &*mine),
        ("ActionNames.member.1", "s3:GetObject"),
        ("ResourceArns.member.1", "arn:aws:s3:::bucket/a"),
        ("ResourceOwner", "arn:aws:iam::444455556666:root"),
        ("CallerArn", jane),
        ("ResourcePolicy", &policy),
    ];
    let answer = iam.ok("SimulateCustomPolicy", &input).await;
    assert_eq!(text(&answer, "EvalDecision"), "allowed", "{answer}");
    assert!(answer.contains("<SourcePolicyId>ResourcePolicy</SourcePolicyId><SourcePolicyType>resource</SourcePolicyType>"), "{answer}");
    let across = iam.ok("SimulateCustomPolicy", &input[..5]).await;
    assert_eq!(text(&across, "EvalDecision"), "implicitDeny", "{across}");
    let role = [input[0], input[1], ("CallerArn", "arn:aws:iam::123456789012:role/app")];
    iam.no("SimulateCustomPolicy", &role, 400, "InvalidInput").await;
}

#[tokio::test]
async fn policies_of_a_principal_are_simulated() {
    let iam = Iam::new().await;
    let jane =
        iam.served.user("jane", Some(&allow("s3:GetObject", "arn:aws:s3:::${aws:username}/*")));
    group(&iam, "staff", "jane");
    iam.ok("AttachGroupPolicy", &[("GroupName", "staff"), ("PolicyArn", READ_ONLY)]).await;
    let of = ("PolicySourceArn", "arn:aws:iam::123456789012:user/jane");
    let input = [
        of,
        ("ActionNames.member.1", "s3:GetObject"),
        ("ActionNames.member.2", "iam:GetUser"),
        ("ActionNames.member.3", "s3:PutObject"),
    ];
    let answer = iam
        .ok(
            "SimulatePrincipalPolicy",
            &[&input[..], &[("ResourceArns.member.1", "arn:aws:s3:::jane/a")]].concat(),
        )
        .await;
    let results: Vec<&str> = answer.split("<EvalActionName>").skip(1).collect();
    let expected = [
        ("allowed", "<SourcePolicyId>policy</SourcePolicyId><SourcePolicyType>user<"),
        ("allowed", "<SourcePolicyId>IAMReadOnlyAccess</SourcePolicyId><SourcePolicyType>group<"),
        ("implicitDeny", "<MatchedStatements></MatchedStatements>"),
    ];
    assert_eq!(results.len(), 3, "{answer}");
    for (result, (decision, matched)) in results.iter().zip(expected) {
        assert!(text(result, "EvalDecision") == decision && result.contains(matched), "{result}");
        assert!(result.contains("<MissingContextValues></MissingContextValues>"), "{result}");
    }
    let added = [of, input[3], ("PolicyInputList.member.1", &allow("s3:PutObject", "*"))]
        .map(|(name, value)| (name, value.to_owned()));
    let added = added.each_ref().map(|(name, value)| {
        (
            if *name == "ActionNames.member.3" { "ActionNames.member.1" } else { name },
            value.as_str(),
        )
    });
    assert_eq!(text(&iam.ok("SimulatePrincipalPolicy", &added).await, "EvalDecision"), "allowed");
    iam.ok(
        "PutUserPermissionsBoundary",
        &[("UserName", "jane"), ("PermissionsBoundary", READ_ONLY)],
    )
    .await;
    let bounded = iam.ok("SimulatePrincipalPolicy", &added).await;
    assert_eq!(
        (text(&bounded, "EvalDecision"), text(&bounded, "AllowedByPermissionsBoundary")),
        ("implicitDeny", "false")
    );

    let keys = iam.ok("GetContextKeysForPrincipalPolicy", &[of]).await;
    assert!(keys.contains("<member>aws:username</member>"), "{keys}");
    let admin = [("PolicySourceArn", "arn:aws:iam::123456789012:user/admin"), input[1]];
    // Both the boundary and the group allow the simulation.
    assert_eq!(iam.call(&jane, "SimulatePrincipalPolicy", &admin).await.0, 200);
}

#[tokio::test]
async fn the_simulator_requires_permissions() {
    let iam = Iam::new().await;
    let jane = iam.served.user("jane", None);
    let (document, action) = (allow("s3:*", "*"), ("ActionNames.member.1", "s3:GetObject"));
    let custom = [("PolicyInputList.member.1", document.as_str()), action];
    assert_error(&iam.call(&jane, "SimulateCustomPolicy", &custom).await, 403, "AccessDenied");
    for source in ["user/admin", "user/gone"] {
        let arn = format!("{ACCOUNT}:{source}");
        assert_error(
            &iam.call(&jane, "SimulatePrincipalPolicy", &[("PolicySourceArn", &arn), action]).await,
            403,
            "AccessDenied",
        );
    }
    let gone = format!("{ACCOUNT}:user/path/admin");
    iam.no("SimulatePrincipalPolicy", &[("PolicySourceArn", &gone), action], 404, "NoSuchEntity")
        .await;
    iam.no("SimulatePrincipalPolicy", &[("PolicySourceArn", "admin"), action], 400, "InvalidInput")
        .await;
    assert_error(
        &iam.call(&jane, "GetAccountAuthorizationDetails", &[]).await,
        403,
        "AccessDenied",
    );
}

/// Creates an account with a user, a group, a role and an instance profile.
async fn account_with_entities() -> Iam {
    let iam = Iam::new().await;
    iam.served.user("jane", Some(&allow("s3:*", "*")));
    group(&iam, "staff", "jane");
    iam.role("app").await;
    let put = iam.served.api.store().change(|draft| {
        draft.put(InstanceProfile {
            account: account(),
            path: "/".to_owned(),
            name: "machine".to_owned(),
            unique_id: "AIPAEXAMPLE".to_owned(),
            created: 0,
            role: Some("app".to_owned()),
            tags: Default::default(),
        })
    });
    put.map_err(|error: countersign_authority::store::StoreError| error).unwrap();
    iam.ok("AttachUserPolicy", &[("UserName", "jane"), ("PolicyArn", READ_ONLY)]).await;
    iam
}

#[tokio::test]
async fn account_details_contain_every_entity() {
    let iam = account_with_entities().await;
    iam.no("DeleteRole", &[("RoleName", "app")], 409, "DeleteConflict").await;
    let whole = iam.ok("GetAccountAuthorizationDetails", &[]).await;
    let inline = format!(
        "<member><PolicyName>policy</PolicyName><PolicyDocument>{}</PolicyDocument>",
        encoded_as_iam(&allow("s3:*", "*"))
    );
    for part in [
        &*inline,
        "<GroupList><member>staff</member></GroupList>",
        "<GroupDetailList><member><Path>/</Path><GroupName>staff</GroupName>",
        "<InstanceProfileList><member><Path>/</Path><InstanceProfileName>machine</InstanceProfileName>",
        "<Policies><member><PolicyName>IAMReadOnlyAccess</PolicyName>",
        "<AttachmentCount>1</AttachmentCount>",
        "<PolicyVersionList><member><Document>",
    ] {
        assert!(whole.contains(part), "no {part} in {whole}");
    }
}

#[tokio::test]
async fn account_details_are_paginated_and_filtered() {
    let iam = account_with_entities().await;
    let (mut seen, mut marker) = (Vec::new(), String::new());
    loop {
        let next: &[(&str, &str)] = if marker.is_empty() { &[] } else { &[("Marker", &marker)] };
        let page =
            iam.ok("GetAccountAuthorizationDetails", &[&[("MaxItems", "1")], next].concat()).await;
        let names = ["UserId", "GroupId", "RoleId", "PolicyId"]
            .map(|id| page.matches(&format!("<{id}>")).count());
        seen.push(names);
        if text(&page, "IsTruncated") == "false" {
            break;
        }
        marker = text(&page, "Marker").to_owned();
    }
    // A role is part of its instance profile too.
    assert_eq!(seen, [[0, 1, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]);
    let only = iam.ok("GetAccountAuthorizationDetails", &[("Filter.member.1", "Group")]).await;
    assert!(
        only.contains("staff")
            && only.contains("<UserDetailList></UserDetailList>")
            && only.contains("<Policies></Policies>"),
        "{only}"
    );
    iam.no(
        "GetAccountAuthorizationDetails",
        &[("Filter.member.1", "Fish")],
        400,
        "ValidationError",
    )
    .await;
}
