//! Condition keys that policies use in conditions and as variables.

use std::collections::BTreeSet;

use serde_json::Value;

use super::simulation::{inputs, source};
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action::reads("GetContextKeysForCustomPolicy", &["PolicyInputList"], of_custom),
    Action::reads(
        "GetContextKeysForPrincipalPolicy",
        &["PolicySourceArn", "PolicyInputList"],
        of_principal,
    ),
];

/// Returns the keys of documents once each, in the first spelling.
pub(super) fn keys<'a>(documents: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut keys = Vec::new();
    for document in documents {
        let parsed: Value = serde_json::from_str(document).unwrap_or_default();
        match parsed.get("Statement") {
            Some(Value::Array(statements)) => {
                statements.iter().for_each(|statement| of_statement(statement, &mut keys))
            }
            one => one.into_iter().for_each(|statement| of_statement(statement, &mut keys)),
        }
    }
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(key.to_ascii_lowercase()));
    keys
}

fn of_statement(statement: &Value, keys: &mut Vec<String>) {
    let conditions = statement
        .get("Condition")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|condition| condition.values());
    for operands in conditions.filter_map(Value::as_object) {
        keys.extend(operands.keys().cloned());
    }
    for place in ["Resource", "NotResource", "Condition"] {
        statement.get(place).into_iter().for_each(|value| of_variables(value, keys));
    }
}

/// Returns the keys of variables: `${aws:username}` and `${aws:username, 'default'}`, but not
/// `${*}`.
fn of_variables(value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for behind in text.split("${").skip(1) {
                let inside = behind.split_once('}').map_or("", |(inside, _)| inside);
                let key = inside.split(',').next().unwrap_or_default().trim();
                if key.contains(':') {
                    keys.push(key.to_owned());
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| of_variables(value, keys)),
        Value::Object(members) => members.values().for_each(|value| of_variables(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn answer<'a>(documents: impl IntoIterator<Item = &'a str>) -> ActionOutput {
    let mut xml = Xml::new();
    xml.texts("ContextKeyNames", "member", keys(documents));
    xml.into()
}

fn of_custom(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    ctx.authorize("iam:GetContextKeysForCustomPolicy", &Target::of("*"))?;
    let inputs = inputs(ctx, "PolicyInputList")?;
    if inputs.is_empty() {
        return Err(ApiError::missing("PolicyInputList"));
    }
    Ok(answer(inputs))
}

fn of_principal(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let source = source(ctx, "iam:GetContextKeysForPrincipalPolicy")?;
    let (documents, inputs) =
        (source.documents(ctx, ctx.account()?), inputs(ctx, "PolicyInputList")?);
    let own = documents.identity.iter().chain(&documents.boundaries);
    Ok(answer(own.map(|(_, text)| text.as_str()).chain(inputs)))
}
