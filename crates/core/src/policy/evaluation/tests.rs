//! Combination of layers. Pages, all of the IAM user guide: LOGIC is "How AWS enforcement code logic
//! evaluates requests", SINGLE "Policy evaluation for requests within a single account", CROSS
//! "Cross-account policy evaluation logic", PRINCIPAL "AWS JSON policy elements: Principal",
//! NOTPRINCIPAL "… NotPrincipal", BOUNDARY "Permissions boundaries for IAM entities".

use super::decide;
use crate::policy::{Caller, Cause, Context, Decision, Layer, Policy, PolicySet, Request};

const USER: &str = "arn:aws:iam::111122223333:user/jane";
const ROLE: &str = "arn:aws:iam::111122223333:role/path/app";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/app/i-1";
const FEDERATED: &str = "arn:aws:sts::111122223333:federated-user/jane";
const ROOT: &str = "arn:aws:iam::111122223333:root";

const ALLOW: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
const DENY: &str = r#"{"Effect": "Deny", "Action": "*", "Resource": "*"}"#;
const OTHER: &str = r#"{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}"#;

/// A statement of a resource policy.
fn grant(effect: &str, principal: &str) -> String {
    format!(r#"{{"Effect": "{effect}", {principal}, "Action": "*", "Resource": "*"}}"#)
}

fn aws(principal: &str) -> String {
    grant("Allow", &format!(r#""Principal": {{"AWS": "{principal}"}}"#))
}

struct Case {
    caller: Caller,
    policies: PolicySet,
    action: &'static str,
    resource: &'static str,
    owner: Option<&'static str>,
}

fn case(caller: &str) -> Case {
    let caller = caller.parse().unwrap();
    Case {
        caller,
        policies: PolicySet::new(),
        action: "s3:GetObject",
        resource: "arn:aws:s3:::bucket/key",
        owner: None,
    }
}

impl Case {
    fn with(mut self, layer: Layer, statement: &str) -> Self {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        let policy =
            Policy::parse(&text, layer.kind()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        self.policies.add(layer, policy).unwrap();
        self
    }

    fn owned_by(mut self, account: &'static str) -> Self {
        self.owner = Some(account);
        self
    }

    fn decide(&self) -> Decision {
        let (action, context) = (self.action.parse().unwrap(), Context::new());
        let owner = self.owner.map(|owner| owner.parse().unwrap());
        let request = Request {
            caller: &self.caller,
            action: &action,
            resource: self.resource,
            resource_account: owner.as_ref(),
            context: &context,
        };
        decide(&request, &self.policies)
    }

    /// `allowed`, `explicit`, or the layer that does not allow.
    fn outcome(&self) -> String {
        match self.decide() {
            Decision::Allow(_) => "allowed".into(),
            Decision::Deny(reason) => match reason.cause {
                Cause::Explicit { .. } => "explicit".into(),
                Cause::Implicit { layer, .. } => layer.to_string(),
            },
        }
    }
}

#[test]
fn without_an_allow_the_answer_is_no() {
    assert_eq!(case(USER).outcome(), "identity policies");
    assert_eq!(case(USER).with(Layer::Identity, OTHER).outcome(), "identity policies");
    assert_eq!(case(USER).with(Layer::Identity, ALLOW).outcome(), "allowed");
}

/// LOGIC: "If the enforcement code finds even one explicit deny that applies, the code returns a
/// final decision of Deny."
#[test]
fn an_explicit_deny_in_any_layer_wins() {
    let deny = grant("Deny", r#""Principal": "*""#);
    let all = || {
        case(SESSION)
            .with(Layer::Identity, ALLOW)
            .with(Layer::Resource, &aws(SESSION))
            .with(Layer::Boundary(0), ALLOW)
            .with(Layer::Session, ALLOW)
            .with(Layer::ServiceControl(0), ALLOW)
            .with(Layer::ResourceControl(0), ALLOW)
    };
    assert_eq!(all().outcome(), "allowed");
    for layer in [
        Layer::Identity,
        Layer::Boundary(0),
        Layer::Session,
        Layer::ServiceControl(1),
        Layer::ResourceControl(1),
    ] {
        assert_eq!(all().with(layer, DENY).outcome(), "explicit", "{layer}");
    }
    assert_eq!(all().with(Layer::Resource, &deny).outcome(), "explicit");
}

#[test]
fn every_level_of_scps_must_allow_and_one_policy_of_each_is_enough() {
    let allowed = case(USER).with(Layer::Identity, ALLOW).with(Layer::ServiceControl(0), ALLOW);
    assert_eq!(
        allowed.with(Layer::ServiceControl(1), OTHER).outcome(),
        "service control policies of level 2"
    );
    let allowed = case(USER)
        .with(Layer::Identity, ALLOW)
        .with(Layer::ServiceControl(0), OTHER)
        .with(Layer::ServiceControl(0), ALLOW);
    assert_eq!(allowed.outcome(), "allowed");
    let mut empty = case(USER).with(Layer::Identity, ALLOW);
    empty.policies.require(Layer::ServiceControl(0));
    assert_eq!(empty.outcome(), "service control policies of level 1");
}

/// LOGIC: "RCPFullAWSAccess can't be detached, so there will always be an Allow statement."
#[test]
fn a_level_of_rcps_that_only_denies_allows_the_rest() {
    let deny = r#"{"Effect": "Deny", "Principal": "*", "Action": "ec2:*", "Resource": "*"}"#;
    let case = || case(USER).with(Layer::Identity, ALLOW);
    assert_eq!(case().with(Layer::ResourceControl(0), deny).outcome(), "allowed");
    assert_eq!(
        case().with(Layer::ResourceControl(0), OTHER).outcome(),
        "resource control policies of level 1"
    );
    assert_eq!(
        case()
            .with(Layer::ResourceControl(0), ALLOW)
            .with(Layer::ResourceControl(1), OTHER)
            .outcome(),
        "resource control policies of level 2"
    );
}

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
    // A session's ARN has lost the role's path; who knows the role is not taken in by another of
    // the same name.
    assert_eq!(case(SESSION).with(Layer::Resource, &aws(other_role)).outcome(), "allowed");
    assert_eq!(known().with(Layer::Resource, &aws(other_role)).outcome(), "identity policies");
}

/// PRINCIPAL: an account principal "delegates authority to the account".
#[test]
fn naming_the_account_grants_nothing_by_itself() {
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
fn across_accounts_both_sides_must_allow() {
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
fn the_owner_is_given_or_in_the_arn_or_the_caller_s_account() {
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
fn services_and_providers_are_spoken_for_by_resource_policies_only() {
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
            "what is in no account crosses none"
        );
    }
}

/// LOGIC: "with the exception of the AWS account root user, which has full access".
#[test]
fn the_root_user_has_full_access_within_guardrails() {
    let Decision::Allow(permit) = case(ROOT).decide() else { panic!() };
    assert_eq!(
        permit.to_string(),
        "allowed: the root user of the account may do s3:GetObject on arn:aws:s3:::bucket/key"
    );
    assert_eq!(case("111122223333").outcome(), "allowed");
    assert_eq!(
        case(ROOT).with(Layer::ServiceControl(0), OTHER).outcome(),
        "service control policies of level 1"
    );
    assert_eq!(case(ROOT).owned_by("444455556666").outcome(), "resource policies");
}

/// LOGIC: without a session policy, only role sessions have what identity policies allow.
#[test]
fn a_federated_user_needs_a_session_policy() {
    assert_eq!(case(FEDERATED).with(Layer::Identity, ALLOW).outcome(), "session policies");
    assert_eq!(
        case(FEDERATED).with(Layer::Identity, ALLOW).with(Layer::Session, ALLOW).outcome(),
        "allowed"
    );
    assert_eq!(case(SESSION).with(Layer::Identity, ALLOW).outcome(), "allowed");
}

/// NOTPRINCIPAL and BOUNDARY.
#[test]
fn not_principal_errs_towards_denial() {
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
        "the account alone does not spare its users"
    );
    assert_eq!(denied(SESSION, &format!("{SESSION:?}")), "allowed");
    assert_eq!(
        denied(SESSION, &format!("{ROLE:?}")),
        "explicit",
        "the role alone does not spare its sessions"
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

#[test]
fn a_policy_stands_only_where_it_belongs() {
    let mut policies = PolicySet::new();
    let identity =
        Policy::parse(&format!(r#"{{"Statement": {ALLOW}}}"#), Layer::Identity.kind()).unwrap();
    let wrong = policies.add(Layer::Resource, identity).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "cannot add a policy parsed as identity policy to the resource policies"
    );
}

#[test]
fn a_permit_names_one_statement_of_each_layer_that_had_to_allow() {
    let permitted = case(SESSION)
        .with(Layer::Identity, OTHER)
        .with(Layer::Identity, ALLOW)
        .with(Layer::Session, ALLOW)
        .with(Layer::ServiceControl(0), ALLOW);
    let Decision::Allow(permit) = permitted.decide() else { panic!() };
    assert_eq!(
        (permit.principal(), permit.action(), permit.resource()),
        (SESSION, "s3:GetObject", "arn:aws:s3:::bucket/key")
    );
    let named: Vec<_> =
        permit.statements().iter().map(|statement| (statement.layer, statement.policy)).collect();
    assert_eq!(named, [(Layer::ServiceControl(0), 0), (Layer::Identity, 1), (Layer::Session, 0)]);
}

/// IAM user guide, VARIABLES: "the resource that includes a policy variable with no value will not
/// match any resource".
#[test]
fn a_resource_with_a_variable_without_value_matches_nothing() {
    let mut case = case(SESSION);
    case.resource = "arn:aws:s3:::home/x";
    let own = |effect: &str, element: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Action": "*", "{element}": "arn:aws:s3:::home/${{aws:username}}"}}"#
        )
    };
    assert_eq!(
        case.with(Layer::Identity, &own("Allow", "Resource")).outcome(),
        "identity policies"
    );
    let allowed = || self::case(SESSION).with(Layer::Identity, ALLOW);
    assert_eq!(allowed().with(Layer::Identity, &own("Deny", "Resource")).outcome(), "allowed");
    assert_eq!(allowed().with(Layer::Identity, &own("Deny", "NotResource")).outcome(), "explicit");
}
