//! Properties of decisions, tested with random policies and requests.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use countersign_core::policy::{
    Caller, Context, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const CALLERS: [&str; 4] = [
    "arn:aws:iam::123456789012:user/jane",
    "arn:aws:sts::123456789012:assumed-role/app/jane",
    "arn:aws:iam::210987654321:user/jane",
    "arn:aws:iam::123456789012:root",
];
const RESOURCES: [&str; 3] = [
    "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/jane",
    "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/john",
    "*",
];
const KINDS: [PolicyKind; 4] = [
    PolicyKind::Identity,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
    PolicyKind::Resource,
];

/// JSON statements of each layer.
type Statements = Vec<(Layer, Vec<String>)>;

fn statement(
    effect: impl Strategy<Value = &'static str>,
    layer: Layer,
) -> impl Strategy<Value = String> {
    let action = select(vec!["*", "*", "rds-db:*", "rds-db:connect", "RDS-DB:Conn*", "s3:*"]);
    let resource = select(vec![
        "*",
        "*",
        "*",
        "arn:aws:rds-db:*:*:dbuser:*/*",
        "arn:aws:rds-db:*:*:dbuser:*/${aws:username}",
        "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/john",
    ]);
    let condition = select(vec![
        "{}",
        "{}",
        "{}",
        "{}",
        r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
        r#"{"StringNotEquals": {"aws:PrincipalTag/team": "red"}}"#,
        r#"{"Null": {"aws:SourceIp": "true"}}"#,
        r#"{"ForAllValues:StringLike": {"aws:TagKeys": ["t*"]}}"#,
    ]);
    let principal = match layer {
        Layer::Resource => vec![
            r#""Principal": "*","#,
            r#""Principal": {"AWS": "123456789012"},"#,
            r#""Principal": {"AWS": "arn:aws:iam::123456789012:role/app"},"#,
            r#""NotPrincipal": {"AWS": "arn:aws:iam::123456789012:user/jane"},"#,
        ],
        _ => vec![""],
    };
    let negate = |name: &'static str| {
        let negated = format!("Not{name}");
        prop_oneof![7 => Just(name.to_owned()), 1 => Just(negated)]
    };
    let elements = (negate("Action"), action, negate("Resource"), resource);
    (effect, select(principal), elements, condition).prop_map(
        |(effect, principal, (actions, action, resources, resource), condition)| {
            format!(
                r#"{{"Effect": "{effect}", {principal} "{actions}": "{action}",
                    "{resources}": "{resource}", "Condition": {condition}}}"#
            )
        },
    )
}

fn layers() -> impl Strategy<Value = Statements> {
    let layer = |layer: Layer| {
        proptest::collection::vec(
            statement(select(vec!["Allow", "Allow", "Allow", "Allow", "Deny"]), layer),
            0..4,
        )
        .prop_map(move |statements| (layer, statements))
    };
    let others = [
        Layer::Resource,
        Layer::Boundary(0),
        Layer::Session,
        Layer::ServiceControl(0),
        Layer::ServiceControl(1),
        Layer::ResourceControl(0),
    ];
    // With this few layers, about a quarter of the cases is allowed.
    proptest::sample::subsequence(others.to_vec(), 0..=2).prop_flat_map(move |some| {
        std::iter::once(Layer::Identity).chain(some).map(layer).collect::<Vec<_>>()
    })
}

/// Layers, the index of a layer with statements, and a Deny that is valid in it.
fn layers_and_a_deny() -> impl Strategy<Value = (Statements, usize, String)> {
    layers().prop_flat_map(|statements| {
        let used = statements.iter().position(|(_, list)| !list.is_empty()).unwrap_or(0);
        let layer = statements.get(used).map_or(Layer::Identity, |(layer, _)| *layer);
        (Just(statements), Just(used), statement(Just("Deny"), layer))
    })
}

fn request() -> impl Strategy<Value = (&'static str, &'static str, Context)> {
    let context = (
        proptest::option::of(select(vec!["10.1.1.1", "192.0.2.1", "?"])),
        proptest::option::of(select(vec!["red", "blue"])),
    );
    (select(CALLERS.to_vec()), select(RESOURCES.to_vec()), context).prop_map(
        |(caller, resource, (address, team))| {
            let mut context = Context::new();
            address.and_then(|address| context.insert("aws:SourceIp", address));
            team.and_then(|team| context.insert("aws:PrincipalTag/team", team));
            (caller, resource, context)
        },
    )
}

fn allowed(statements: &Statements, (caller, resource, context): &(&str, &str, Context)) -> bool {
    let mut policies = PolicySet::new();
    for (layer, statements) in statements.iter().filter(|(_, statements)| !statements.is_empty()) {
        let text =
            format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(", "));
        let policy = Policy::parse(&text, layer.kind()).expect("the strategy makes good policies");
        policies.add(*layer, policy).expect("the kind of the layer");
    }
    let caller: Caller = caller.parse().expect("a caller");
    let action = "rds-db:connect".parse().expect("an action");
    matches!(
        decide(
            &Request {
                caller: &caller,
                action: &action,
                resource,
                resource_account: None,
                context
            },
            &policies
        ),
        Decision::Allow(_)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn adding_a_deny_never_allows_more(
        (mut statements, index, deny) in layers_and_a_deny(),
        request in request(),
    ) {
        let before = allowed(&statements, &request);
        if let Some((_, list)) = statements.get_mut(index) {
            list.push(deny);
        }
        prop_assert!(before || !allowed(&statements, &request));
    }

    #[test]
    fn removing_an_allow_never_allows_more(
        mut statements in layers(),
        request in request(),
        at in any::<Index>(),
    ) {
        let before = allowed(&statements, &request);
        let index = at.index(statements.len());
        // Without its last statement a layer would be absent, and a level of RCPs without an Allow
        // stands for RCPFullAWSAccess.
        if let Some((layer, list)) = statements.get_mut(index)
            && list.len() > 1
            && !matches!(layer, Layer::ResourceControl(_))
        {
            let allow = list.iter().position(|statement| statement.contains(r#""Allow""#));
            if let Some(allow) = allow {
                list.remove(allow);
            }
            prop_assert!(before || !allowed(&statements, &request));
        }
    }

    #[test]
    fn the_order_of_statements_does_not_matter(statements in layers(), request in request()) {
        let mut reversed = statements.clone();
        reversed.reverse();
        for (_, list) in &mut reversed {
            list.reverse();
        }
        prop_assert_eq!(allowed(&statements, &request), allowed(&reversed, &request));
    }

    #[test]
    fn parsing_never_panics(text in ".*", kind in select(KINDS.to_vec())) {
        let _ = Policy::parse(&text, kind);
    }

    #[test]
    fn parsing_mutated_policies_never_panics(
        cut in any::<Index>(), with in "[\\PC\"{}\\[\\]:,$*?]{0,3}", kind in select(KINDS.to_vec()),
        statement in statement(select(vec!["Allow", "Deny"]), Layer::Resource)
    ) {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        let (head, tail) = text.split_at(cut.index(text.len()));
        let _ = Policy::parse(&format!("{head}{with}{tail}"), kind);
        let _ = Policy::parse(&format!("{head}{with}{}", tail.get(1..).unwrap_or_default()), kind);
    }
}
