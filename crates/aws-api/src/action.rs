//! The services that speak the query protocol: each a version, a namespace and a table of actions.

use super::call::RequestContext;
use super::error::ApiError;
use super::xml::Xml;

/// What an action answers, when it does: what stands in its `…Result` element.
pub(crate) enum ActionOutput {
    /// A result.
    Result(Xml),
    /// The same, of an action that also answers in JSON where that is asked for: texts by name.
    Texts(Vec<(&'static str, String)>),
    /// None: the action is one whose answers have no result.
    Done,
}

impl From<Xml> for ActionOutput {
    fn from(xml: Xml) -> Self {
        Self::Result(xml)
    }
}

/// Whether an action may have to wait: for the disk, where it writes, or for somebody else's answer. Then it has a thread of its
/// own for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads what is in memory.
    Reads,
    /// It may wait.
    Waits,
}

/// Whether a request of the action must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// It must.
    Required,
    /// It is not looked at: the action has another proof of who calls.
    Unused,
}

/// One action of a service.
pub(crate) struct Action {
    /// Its name.
    pub(crate) name: &'static str,
    /// The parameters that it takes: the first parts of their names. Others are refused.
    pub(crate) parameters: &'static [&'static str],
    pub(crate) effect: Effect,
    pub(crate) signature: Signature,
    pub(crate) run: fn(&RequestContext<'_>) -> Result<ActionOutput, ApiError>,
}

impl Action {
    /// An action that reads.
    pub(crate) const fn reads(
        name: &'static str,
        parameters: &'static [&'static str],
        run: fn(&RequestContext<'_>) -> Result<ActionOutput, ApiError>,
    ) -> Self {
        Self { name, parameters, effect: Effect::Reads, signature: Signature::Required, run }
    }

    /// An action that writes.
    pub(crate) const fn writes(
        name: &'static str,
        parameters: &'static [&'static str],
        run: fn(&RequestContext<'_>) -> Result<ActionOutput, ApiError>,
    ) -> Self {
        Self { name, parameters, effect: Effect::Waits, signature: Signature::Required, run }
    }

    /// An action that asks somebody else.
    pub(crate) const fn waits(
        name: &'static str,
        parameters: &'static [&'static str],
        run: fn(&RequestContext<'_>) -> Result<ActionOutput, ApiError>,
    ) -> Self {
        Self::writes(name, parameters, run)
    }

    /// The same without a signature.
    pub(crate) const fn unsigned(self) -> Self {
        Self { signature: Signature::Unused, ..self }
    }
}

/// A service.
pub(crate) struct Service {
    /// Its name in credential scopes and in IAM's actions.
    pub(crate) name: &'static str,
    /// The version of its API.
    pub(crate) version: &'static str,
    /// The namespace of its answers.
    pub(crate) namespace: &'static str,
    /// What it can do.
    pub(crate) actions: &'static [&'static [Action]],
}

impl Service {
    /// The action of that name.
    pub(crate) fn action(&self, name: &str) -> Option<&'static Action> {
        self.actions.iter().flat_map(|group| group.iter()).find(|action| action.name == name)
    }

    /// The error for a parameter that an action does not take.
    pub(crate) fn unknown_parameter(&self, action: &str, parameter: &str) -> ApiError {
        let message = format!(
            "The parameter {parameter} of {action} is unknown, or is not supported by this authority."
        );
        ApiError::new(
            if self.name == "rds" { "InvalidParameterCombination" } else { "ValidationError" },
            400,
            &message,
        )
    }
}
