//! Combination of layers. LOGIC is the page "How AWS enforcement code logic evaluates requests" of
//! the IAM user guide.

mod resource_policies;

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

/// Returns a statement of a resource policy.
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
        let policy = Policy::parse(&text, layer.kind()).unwrap_or_else(|errors| panic!("{errors}"));
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

    /// Returns `allowed`, `explicit`, or the layer that does not allow.
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
fn requests_are_denied_without_an_allow() {
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

#[test]
fn a_policy_is_added_only_to_a_layer_of_its_kind() {
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
fn permit_names_one_statement_of_each_required_layer() {
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
        let home = "arn:aws:s3:::home/${aws:username}";
        format!(r#"{{"Effect": "{effect}", "Action": "*", "{element}": "{home}"}}"#)
    };
    assert_eq!(
        case.with(Layer::Identity, &own("Allow", "Resource")).outcome(),
        "identity policies"
    );
    let allowed = || self::case(SESSION).with(Layer::Identity, ALLOW);
    assert_eq!(allowed().with(Layer::Identity, &own("Deny", "Resource")).outcome(), "allowed");
    assert_eq!(allowed().with(Layer::Identity, &own("Deny", "NotResource")).outcome(), "explicit");
}
