use super::{Cause, Listed, StatementName};
use crate::policy::{DenyReason, Effect, Layer};

fn list(values: &[&str]) -> String {
    Listed(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>()).to_string()
}

#[test]
fn long_lists_are_truncated_and_empty_values_are_quoted() {
    assert_eq!(list(&["a"]), "a");
    assert_eq!(list(&["a", "", "c d"]), r#"a or "" or "c d""#);
    assert_eq!(list(&["a", "b", "c", "d", "e"]), "a or b or c or one of 2 more");
}

fn name(layer: Layer, name: Option<&str>, sid: Option<&str>) -> String {
    let statement = StatementName {
        layer,
        policy: 1,
        name: name.map(Into::into),
        statement: 2,
        sid: sid.map(Into::into),
        effect: Effect::Deny,
    };
    statement.to_string()
}

#[test]
fn statements_are_named_by_sid_or_index() {
    assert_eq!(
        name(Layer::Identity, Some("app"), Some("S")),
        r#"statement "S" of identity policy "app""#
    );
    assert_eq!(name(Layer::Session, None, None), "statement 3 of session policy 2");
    assert_eq!(
        name(Layer::ServiceControl(1), None, Some("S")),
        r#"statement "S" of service control policy 2 of level 2"#
    );
    assert_eq!(name(Layer::Boundary(0), None, None), "statement 3 of permissions boundary 1");
    assert_eq!(name(Layer::Resource, None, None), "statement 3 of resource policy");
}

#[test]
fn denials_of_each_layer_are_displayed() {
    let sentence = |layer: Layer, policies: usize, owner: Option<&str>| {
        let cause =
            Cause::Implicit { layer, policies, owner: owner.map(Into::into), nearest: None };
        DenyReason { action: "s3:Get".into(), resource: "*".into(), cause }.to_string()
    };
    assert_eq!(
        sentence(Layer::Identity, 2, None),
        "implicit deny: no statement of 2 identity policies allows s3:Get on *"
    );
    assert_eq!(
        sentence(Layer::Boundary(0), 1, None),
        "implicit deny: no statement of the permissions boundary allows s3:Get on *"
    );
    assert_eq!(
        sentence(Layer::ServiceControl(2), 0, None),
        "implicit deny: no service control policy of level 3 allows s3:Get on *"
    );
    assert_eq!(
        sentence(Layer::Resource, 0, Some("444455556666")),
        "implicit deny: the resource belongs to another account (444455556666), so both sides \
         must allow, and no resource policy allows s3:Get on *"
    );
}
