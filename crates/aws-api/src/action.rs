//! Services of the query protocol: each has a version, a namespace and a table of actions.

use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Result of an action: the content of the `…Result` element.
pub(crate) enum ActionOutput {
    /// XML.
    Result(Xml),
    /// Texts by name: XML, or JSON if the client requests it.
    Texts(Vec<(&'static str, String)>),
    /// No `…Result` element.
    Empty,
}

impl From<Xml> for ActionOutput {
    fn from(xml: Xml) -> Self {
        Self::Result(xml)
    }
}

/// Thread on which an action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Execution {
    /// The connection's: the action only reads memory.
    Inline,
    /// A thread of its own: the action writes to the disk or waits for another server.
    Blocking,
}

/// Authentication of an action's callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    Required,
    /// Ignored: a parameter of the action authenticates the caller.
    Unused,
}

/// Implementation of an action.
pub(crate) type Run = fn(&RequestContext<'_>) -> Result<ActionOutput, ApiError>;

/// One action of a service.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    /// Accepted parameters: the first segments of their names. Others are rejected.
    pub(crate) parameters: &'static [&'static str],
    pub(crate) execution: Execution,
    pub(crate) signature: Signature,
    pub(crate) run: Run,
}

impl Action {
    /// Action that only reads the state.
    pub(crate) const fn reads(
        name: &'static str,
        parameters: &'static [&'static str],
        run: Run,
    ) -> Self {
        Self { name, parameters, execution: Execution::Inline, signature: Signature::Required, run }
    }

    /// Action that changes the state.
    pub(crate) const fn writes(
        name: &'static str,
        parameters: &'static [&'static str],
        run: Run,
    ) -> Self {
        Self { execution: Execution::Blocking, ..Self::reads(name, parameters, run) }
    }

    /// Action that waits for another server.
    pub(crate) const fn waits(
        name: &'static str,
        parameters: &'static [&'static str],
        run: Run,
    ) -> Self {
        Self::writes(name, parameters, run)
    }

    /// The same action without a signature.
    pub(crate) const fn unsigned(self) -> Self {
        Self { signature: Signature::Unused, ..self }
    }
}

/// A service.
pub(crate) struct Service {
    /// Name in credential scopes and in IAM's actions.
    pub(crate) name: &'static str,
    /// Version of its API.
    pub(crate) version: &'static str,
    /// XML namespace of its responses.
    pub(crate) namespace: &'static str,
    pub(crate) actions: &'static [&'static [Action]],
}

impl Service {
    pub(crate) fn action(&self, name: &str) -> Option<&'static Action> {
        self.actions.iter().flat_map(|group| group.iter()).find(|action| action.name == name)
    }

    /// Error for a parameter that an action does not accept.
    pub(crate) fn unknown_parameter(&self, action: &str, parameter: &str) -> ApiError {
        let code =
            if self.name == "rds" { "InvalidParameterCombination" } else { "ValidationError" };
        let message = format!(
            "The parameter {parameter} of {action} is unknown, or is not supported by this \
             authority."
        );
        ApiError::new(code, 400, &message)
    }
}
