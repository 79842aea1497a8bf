//! Finds the Allow that is closest to a denied request, and the first check that it failed.

use super::context::{ContextValueRef, Request};
use super::decision::{Mismatch, NearMiss, StatementRef};
use super::document::{FirstMismatch, Scope};
use super::element::{Effect, Polarity};
use super::matching::Evaluation;
use super::set::Layer;

/// Returns the Allow of a layer that is closest to the request: the one that fails the latest check
/// and, of several, the one whose text shares the longest prefix with the request.
pub(super) fn nearest(evaluation: &Evaluation<'_>, layer: Layer) -> Option<NearMiss> {
    let policies = evaluation.policies.layer(layer)?;
    evaluation
        .statements(layer, policies)
        .filter(|(place, _)| place.statement.1.effect == Effect::Allow)
        .filter_map(|(place, applies)| {
            applies
                .err()
                .map(|mismatch| (nearness(evaluation.request, &place, mismatch), place, mismatch))
        })
        // Of equals, the first in document order.
        .reduce(|best, other| if best.0 < other.0 { other } else { best })
        .map(|(_, place, first)| NearMiss {
            statement: place.name(),
            mismatch: mismatch(evaluation.request, &place, first),
        })
}

/// Ranks a statement by the check that it fails, then by the length of the shared prefix.
fn nearness(
    request: &Request<'_>,
    place: &StatementRef<'_>,
    mismatch: FirstMismatch<'_>,
) -> (u8, usize) {
    let statement = place.statement.1;
    match mismatch {
        FirstMismatch::Action => (0, agreement(&statement.actions, request.action.folded())),
        FirstMismatch::Principal => (1, 0),
        FirstMismatch::Resource => (
            2,
            statement
                .resources
                .as_ref()
                .map_or(0, |resources| agreement(resources, request.resource)),
        ),
        FirstMismatch::Condition(failed) => {
            (3, statement.conditions.iter().take_while(|condition| *condition != failed).count())
        }
    }
}

/// Length in bytes of the longest prefix that a pattern shares with the subject, ignoring case.
fn agreement(scope: &Scope, subject: &str) -> usize {
    let common = |pattern: &str| {
        pattern.bytes().zip(subject.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    scope.patterns.iter().map(|pattern| common(pattern.source())).max().unwrap_or(0)
}

/// Describes the check that a statement failed.
pub(super) fn mismatch(
    request: &Request<'_>,
    place: &StatementRef<'_>,
    mismatch: FirstMismatch<'_>,
) -> Mismatch {
    let statement = place.statement.1;
    match mismatch {
        FirstMismatch::Action => {
            element(["Action", "NotAction"], &statement.actions, request.action.as_str(), request)
        }
        FirstMismatch::Resource => {
            let everything = Scope { polarity: Polarity::Is, patterns: Box::default() };
            element(
                ["Resource", "NotResource"],
                statement.resources.as_ref().unwrap_or(&everything),
                request.resource,
                request,
            )
        }
        FirstMismatch::Principal => {
            let polarity = statement
                .principals
                .as_ref()
                .map_or(Polarity::Is, |principals| principals.polarity);
            let entries =
                statement.principals.iter().flat_map(|principals| principals.entries.iter());
            Mismatch::Element {
                element: named(["Principal", "NotPrincipal"], polarity),
                wanted: entries.map(ToString::to_string).collect(),
                actual: request.caller.as_str().into(),
                unresolved: Vec::new(),
            }
        }
        FirstMismatch::Condition(condition) => {
            let value_ref = request.context_value(&condition.folded);
            let many =
                matches!(value_ref, Some(ContextValueRef::Many(values)) if !values.is_empty());
            Mismatch::Condition {
                operator: condition.operator.to_string(),
                key: condition.key.to_string(),
                wanted: condition.wanted.iter().map(ToString::to_string).collect(),
                actual: value_ref.map(|value_ref| value_ref.values().map(str::to_owned).collect()),
                unresolved: condition.unresolved(request).map(str::to_owned).collect(),
                note: (many && condition.operator.is_single())
                    .then_some("a list needs ForAllValues: or ForAnyValue:"),
            }
        }
    }
}

fn named([is, is_not]: [&'static str; 2], polarity: Polarity) -> &'static str {
    if polarity == Polarity::Is { is } else { is_not }
}

fn element(
    names: [&'static str; 2],
    scope: &Scope,
    actual: &str,
    request: &Request<'_>,
) -> Mismatch {
    Mismatch::Element {
        element: named(names, scope.polarity),
        wanted: scope.patterns.iter().map(ToString::to_string).collect(),
        actual: actual.into(),
        unresolved: scope
            .patterns
            .iter()
            .flat_map(|pattern| pattern.unresolved(request))
            .map(str::to_owned)
            .collect(),
    }
}
