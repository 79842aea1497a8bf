//! The Allow that came nearest to a request, and what kept it from applying.

use super::context::{Fact, Request};
use super::decision::{Mismatch, NearMiss, Place};
use super::document::{FirstMismatch, Scope};
use super::element::{Effect, Polarity};
use super::inquiry::Evaluation;
use super::set::Layer;

/// The Allow of a layer that comes nearest to the request: the one that fails at the last check, and of these the one
/// whose text has most in common with the request.
pub(super) fn nearest(inquiry: &Evaluation<'_>, layer: Layer) -> Option<NearMiss> {
    let policies = inquiry.policies.layer(layer)?;
    inquiry
        .statements(layer, policies)
        .filter(|(place, _)| place.statement.1.effect == Effect::Allow)
        .filter_map(|(place, applies)| {
            applies
                .err()
                .map(|obstacle| (nearness(inquiry.request, &place, obstacle), place, obstacle))
        })
        // Of equals, the first in the documents' order.
        .reduce(|best, other| if best.0 < other.0 { other } else { best })
        .map(|(_, place, obstacle)| NearMiss {
            statement: place.name(),
            mismatch: mismatch(inquiry.request, &place, obstacle),
        })
}

/// How near a statement comes: by the check that it fails, then by how much of the text there agrees.
fn nearness(request: &Request<'_>, place: &Place<'_>, obstacle: FirstMismatch<'_>) -> (u8, usize) {
    let statement = place.statement.1;
    match obstacle {
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

/// How many characters the closest pattern and the subject have in common at their start, regardless of case.
fn agreement(scope: &Scope, subject: &str) -> usize {
    let common = |pattern: &str| {
        pattern.bytes().zip(subject.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    scope.patterns.iter().map(|pattern| common(pattern.source())).max().unwrap_or(0)
}

/// What keeps a statement from applying, in words.
pub(super) fn mismatch(
    request: &Request<'_>,
    place: &Place<'_>,
    obstacle: FirstMismatch<'_>,
) -> Mismatch {
    let statement = place.statement.1;
    match obstacle {
        FirstMismatch::Action => {
            element(["Action", "NotAction"], &statement.actions, request.action.as_str(), request)
        }
        FirstMismatch::Resource => {
            let everything = Scope { sense: Polarity::Is, patterns: Box::default() };
            element(
                ["Resource", "NotResource"],
                statement.resources.as_ref().unwrap_or(&everything),
                request.resource,
                request,
            )
        }
        FirstMismatch::Principal => {
            let sense =
                statement.principals.as_ref().map_or(Polarity::Is, |principals| principals.sense);
            let entries =
                statement.principals.iter().flat_map(|principals| principals.entries.iter());
            Mismatch::Element {
                element: named(["Principal", "NotPrincipal"], sense),
                wanted: entries.map(ToString::to_string).collect(),
                actual: request.caller.as_str().into(),
                unresolved: Vec::new(),
            }
        }
        FirstMismatch::Condition(condition) => {
            let fact = request.fact(&condition.folded);
            let many = matches!(fact, Some(Fact::Many(values)) if !values.is_empty());
            Mismatch::Condition {
                operator: condition.operator.to_string(),
                key: condition.key.to_string(),
                wanted: condition.wanted.iter().map(ToString::to_string).collect(),
                actual: fact.map(|fact| fact.values().map(str::to_owned).collect()),
                unresolved: condition.unresolved(request).map(str::to_owned).collect(),
                note: (many && condition.operator.is_single())
                    .then_some("a list needs ForAllValues: or ForAnyValue:"),
            }
        }
    }
}

fn named([is, is_not]: [&'static str; 2], sense: Polarity) -> &'static str {
    if sense == Polarity::Is { is } else { is_not }
}

fn element(
    names: [&'static str; 2],
    scope: &Scope,
    actual: &str,
    request: &Request<'_>,
) -> Mismatch {
    Mismatch::Element {
        element: named(names, scope.sense),
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
