//! A policy compiled for evaluation.

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::condition::Condition;
use super::context::Request;
use super::element::{Effect, Polarity, PolicyKind};
use super::pattern::{ArnSegments, Pattern};
use super::principals::{Boundary, Principals};
use crate::diagnostic::Position;

/// A policy document, compiled for evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: Option<Arc<str>>,
    kind: PolicyKind,
    statements: Box<[Statement]>,
}

impl Policy {
    pub(super) fn new(kind: PolicyKind, statements: Vec<Statement>) -> Self {
        Self { name: None, kind, statements: statements.into() }
    }

    /// Sets the name that decisions show. Without a name they show the policy's index in its layer.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name that decisions show.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn shared_name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// The kind of entity that the policy is attached to.
    #[must_use]
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

/// The patterns of an element or of its `Not…` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) polarity: Polarity,
    pub(super) patterns: Box<[Pattern]>,
}

impl Scope {
    fn covers(&self, subject: &str, segments: ArnSegments, request: &Request<'_>) -> bool {
        self.polarity
            .holds(self.patterns.iter().any(|pattern| pattern.matches(subject, segments, request)))
    }
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sid: Option<Arc<str>>,
    pub(super) position: Position,
    pub(super) effect: Effect,
    /// Present in resource policies, and in control policies with `*`.
    pub(super) principals: Option<Principals>,
    pub(super) actions: Scope,
    /// Absent in a policy that applies to the resource that it is attached to.
    pub(super) resources: Option<Scope>,
    pub(super) conditions: Box<[Condition]>,
}

/// The first check that a statement fails for a request. The order of variants is that of the
/// checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstMismatch<'a> {
    Action,
    Principal,
    Resource,
    Condition(&'a Condition),
}

impl Statement {
    /// Returns how the statement names the caller, or the first mismatch if it does not apply.
    pub(super) fn apply(
        &self,
        request: &Request<'_>,
        segments: ArnSegments,
        boundary: Boundary,
    ) -> Result<PrincipalMatch, FirstMismatch<'_>> {
        if !self.actions.covers(request.action.folded(), ArnSegments::NONE, request) {
            return Err(FirstMismatch::Action);
        }
        let principal_match = match &self.principals {
            None => PrincipalMatch::Direct,
            Some(principals) => principals
                .matches(request.caller, self.effect, boundary)
                .ok_or(FirstMismatch::Principal)?,
        };
        if self
            .resources
            .as_ref()
            .is_some_and(|resources| !resources.covers(request.resource, segments, request))
        {
            return Err(FirstMismatch::Resource);
        }
        match self.conditions.iter().find(|condition| !condition.holds(request, self.effect)) {
            Some(condition) => Err(FirstMismatch::Condition(condition)),
            None => Ok(principal_match),
        }
    }
}
