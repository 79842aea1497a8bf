//! Resource-based policies. Pages, all of the IAM user guide: LOGIC is "How AWS enforcement code
//! logic evaluates requests", SINGLE "Policy evaluation for requests within a single account",
//! CROSS "Cross-account policy evaluation logic", PRINCIPAL "AWS JSON policy elements: Principal",
//! NOTPRINCIPAL "… NotPrincipal", BOUNDARY "Permissions boundaries for IAM entities".

use super::{ALLOW, Case, DENY, FEDERATED, OTHER, ROLE, ROOT, SESSION, USER, aws, case, grant};
use crate::policy::{Caller, Layer};

/// SINGLE, the table "Resource-based policies and implicit denies in other policy types (same
/// account)", and PRINCIPAL: boundaries and session policies "do not limit permissions granted
/// using […] a wildcard (*) in the Principal element".
#[test]
fn a_resource_policy_that_names_the_caller_itself_is_not_limited_by_implicit_denies() {
    let known = || Case {
        caller: SESSION.parse::<Caller>().unwrap().with_role(&ROLE.parse().unwrap()),
        ..case(SESSION)
    };
    let other_role = "arn:aws:iam::111122223333:role/other/app";
    for (caller, principal, unlimited) in [
        (case(USER), USER, true),
        (case(USER), "*", true),
        (case(SESSION), SESSION, true),
        (case(SESSION), "*", true),
        (case(SESSION), ROLE, false),
        (known(), ROLE, false),
        (case(ROLE), ROLE, false),
        (case(FEDERATED), FEDERATED, true),
        (case(FEDERATED), USER, false),
    ] {
        let name = caller.caller.to_string();
        let granted = caller.with(Layer::Resource, &aws(principal)).with(Layer::Session, ALLOW);
        assert_eq!(granted.outcome(), "allowed", "{principal} for {name}, without limits");
        let boundary = granted.with(Layer::Boundary(0), OTHER);
        assert_eq!(
            boundary.outcome(),
            if unlimited { "allowed" } else { "permissions boundaries" },
            "{principal} for {name}, boundary"
        );
    }
    let session = |principal: &str| {
        case(SESSION).with(Layer::Resource, &aws(principal)).with(Layer::Session, OTHER).outcome()
    };
    assert_eq!(
        (session(SESSION).as_str(), session(ROLE).as_str()),
        ("allowed", "session policies")
    );
    // The ARN of a session lacks the path of its role, so it matches a role of the same name with
    // another path unless the caller's role is known.
    assert_eq!(case(SESSION).with(Layer::Resource, &aws(other_role)).outcome(), "allowed");
    assert_eq!(known().with(Layer::Resource, &aws(other_role)).outcome(), "identity policies");
}

/// PRINCIPAL: an account principal "delegates authority to the account".
#[test]
fn account_principal_delegates_and_grants_nothing_by_itself() {
    for account in ["111122223333", ROOT] {
        assert_eq!(case(USER).with(Layer::Resource, &aws(account)).outcome(), "identity policies");
        assert_eq!(
            case(USER).with(Layer::Resource, &aws(account)).with(Layer::Identity, ALLOW).outcome(),
            "allowed"
        );
        assert_eq!(case(ROOT).with(Layer::Resource, &aws(account)).outcome(), "allowed");
        let deny = grant("Deny", &format!(r#""Principal": {{"AWS": "{account}"}}"#));
        assert_eq!(
            case(USER).with(Layer::Resource, &deny).with(Layer::Identity, ALLOW).outcome(),
            "explicit"
        );
    }
}

/// CROSS: "the requester must have an identity-based policy that allows the request, and the
/// resource must have a resource-based policy that allows the principal."
#[test]
fn cross_account_requests_need_identity_and_resource_policy() {
    for principal in [USER, ROOT, "*"] {
        let granted = || case(USER).owned_by("444455556666").with(Layer::Resource, &aws(principal));
        assert_eq!(granted().outcome(), "identity policies");
        assert_eq!(granted().with(Layer::Identity, ALLOW).outcome(), "allowed");
        assert_eq!(
            granted().with(Layer::Identity, ALLOW).with(Layer::Boundary(0), OTHER).outcome(),
            "permissions boundaries"
        );
    }
    assert_eq!(
        case(USER).owned_by("444455556666").with(Layer::Identity, ALLOW).outcome(),
        "resource policies"
    );
    let foreign = aws("arn:aws:iam::444455556666:root");
    assert_eq!(
        case(USER)
            .owned_by("444455556666")
            .with(Layer::Identity, ALLOW)
            .with(Layer::Resource, &foreign)
            .outcome(),
        "resource policies"
    );
}

#[test]
fn resource_account_is_given_or_in_the_arn_or_the_caller_s() {
    let mut case = case(USER).with(Layer::Identity, ALLOW);
    assert_eq!(case.outcome(), "allowed", "an S3 ARN names no account");
    case.resource = "arn:aws:rds-db:us-east-1:444455556666:dbuser:db-A/jane";
    assert_eq!(case.outcome(), "resource policies");
    assert_eq!(case.owned_by("111122223333").outcome(), "allowed");
}

/// LOGIC: "IAM role trust policies and KMS key policies […] must explicitly allow access for
/// principals."
#[test]
fn a_trust_policy_must_allow_within_its_account_too() {
    let assume = |trusted: &str| Case {
        action: "sts:AssumeRole",
        resource: ROLE,
        ..case(USER).with(Layer::Resource, &aws(trusted))
    };
    assert_eq!(assume(USER).outcome(), "allowed");
    assert_eq!(assume(ROOT).outcome(), "identity policies");
    assert_eq!(assume(ROOT).with(Layer::Identity, ALLOW).outcome(), "allowed");
    assert_eq!(
        assume("arn:aws:iam::111122223333:user/john").with(Layer::Identity, ALLOW).outcome(),
        "resource policies"
    );
}

#[test]
fn services_and_identity_providers_need_a_resource_policy_only() {
    let trust =
        |kind: &str, name: &str| grant("Allow", &format!(r#""Principal": {{"{kind}": "{name}"}}"#));
    let provider = "arn:aws:iam::111122223333:oidc-provider/issuer.example";
    for (kind, name) in [
        ("Service", "ec2.amazonaws.com"),
        ("Federated", provider),
        ("Federated", "accounts.google.com"),
    ] {
        assert_eq!(case(name).with(Layer::Resource, &trust(kind, name)).outcome(), "allowed");
        assert_eq!(
            case(name).with(Layer::Resource, &trust(kind, "other.example")).outcome(),
            "resource policies"
        );
        assert_eq!(case(name).with(Layer::Identity, ALLOW).outcome(), "resource policies");
        assert_eq!(
            case(name)
                .with(Layer::Resource, &trust(kind, name))
                .with(Layer::ServiceControl(0), DENY)
                .outcome(),
            "allowed"
        );
        assert_eq!(
            case(name)
                .with(Layer::Resource, &trust(kind, name))
                .with(Layer::ResourceControl(0), DENY)
                .outcome(),
            "explicit"
        );
        assert_eq!(case(name).with(Layer::Resource, &aws(ROOT)).outcome(), "resource policies");
        assert_eq!(
            case(name).decide().to_string(),
            "implicit deny: no resource policy allows s3:GetObject on arn:aws:s3:::bucket/key",
            "callers without an account are not cross-account"
        );
    }
}

/// NOTPRINCIPAL and BOUNDARY.
#[test]
fn not_principal_denies_in_ambiguous_cases() {
    let not = |effect: &str, listed: &str| {
        grant(effect, &format!(r#""NotPrincipal": {{"AWS": {listed}}}"#))
    };
    let denied = |caller: &str, listed: &str| {
        case(caller)
            .with(Layer::Identity, ALLOW)
            .with(Layer::Resource, &not("Deny", listed))
            .outcome()
    };
    assert_eq!(denied(USER, &format!("{USER:?}")), "allowed");
    assert_eq!(denied(USER, &format!("[{USER:?}, {ROOT:?}]")), "allowed");
    assert_eq!(
        denied(USER, &format!("{ROOT:?}")),
        "explicit",
        "listing the account does not exempt its users"
    );
    assert_eq!(denied(SESSION, &format!("{SESSION:?}")), "allowed");
    assert_eq!(
        denied(SESSION, &format!("{ROLE:?}")),
        "explicit",
        "listing the role does not exempt its sessions"
    );
    assert_eq!(denied(ROLE, &format!("{ROLE:?}")), "allowed");
    let boundary = case(USER).with(Layer::Identity, ALLOW).with(Layer::Boundary(0), ALLOW);
    assert_eq!(
        boundary.with(Layer::Resource, &not("Deny", &format!("{USER:?}"))).outcome(),
        "explicit"
    );

    let allowed = |caller: &str, listed: &str| {
        case(caller).with(Layer::Resource, &not("Allow", &format!("{listed:?}"))).outcome()
    };
    assert_eq!(allowed(USER, "arn:aws:iam::111122223333:user/john"), "allowed");
    for (caller, listed) in [(USER, USER), (USER, ROOT), (SESSION, ROLE), (SESSION, SESSION)] {
        assert_eq!(allowed(caller, listed), "identity policies", "{listed} for {caller}");
    }
}
