//! A policy as it is evaluated: parsed, resolved, compiled.

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::condition::Condition;
use super::context::Request;
use super::element::{Effect, Polarity, PolicyKind};
use super::pattern::{ArnSegments, Pattern};
use super::principals::{Bounded, Principals};
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

    /// Gives the policy the name that decisions call it by. Without one, it goes by its place in its layer.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name that decisions call it by.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn shared_name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// What it is attached to.
    #[must_use]
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

/// An element and its `Not…` form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) sense: Polarity,
    pub(super) patterns: Box<[Pattern]>,
}

impl Scope {
    fn covers(&self, subject: &str, walls: ArnSegments, request: &Request<'_>) -> bool {
        self.sense
            .holds(self.patterns.iter().any(|pattern| pattern.matches(subject, walls, request)))
    }
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sid: Option<Arc<str>>,
    pub(super) position: Position,
    pub(super) effect: Effect,
    /// In policies of resources, and in control policies that say `*`.
    pub(super) principals: Option<Principals>,
    pub(super) actions: Scope,
    /// Missing in a policy that applies to the resource that it is attached to.
    pub(super) resources: Option<Scope>,
    pub(super) conditions: Box<[Condition]>,
}

/// The first thing that keeps a statement from applying to a request, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstMismatch<'a> {
    Action,
    Principal,
    Resource,
    Condition(&'a Condition),
}

impl Statement {
    /// How the statement speaks of the caller, if it applies to the request.
    pub(super) fn apply(
        &self,
        request: &Request<'_>,
        walls: ArnSegments,
        bounded: Bounded,
    ) -> Result<PrincipalMatch, FirstMismatch<'_>> {
        if !self.actions.covers(request.action.folded(), ArnSegments::NONE, request) {
            return Err(FirstMismatch::Action);
        }
        let reach = match &self.principals {
            None => PrincipalMatch::Direct,
            Some(principals) => principals
                .reach(request.caller, self.effect, bounded)
                .ok_or(FirstMismatch::Principal)?,
        };
        if self
            .resources
            .as_ref()
            .is_some_and(|resources| !resources.covers(request.resource, walls, request))
        {
            return Err(FirstMismatch::Resource);
        }
        match self.conditions.iter().find(|condition| !condition.holds(request, self.effect)) {
            Some(condition) => Err(FirstMismatch::Condition(condition)),
            None => Ok(reach),
        }
    }
}
