//! Explains for every statement why it does or does not apply, for `policy explain`.

use std::fmt;

use serde::ser::SerializeStruct;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::{Decision, Mismatch, StatementName, StatementRef, Verdict};
use super::document::FirstMismatch;
use super::element::Effect;
use super::evaluation::decide;
use super::matching::Evaluation;
use super::near_miss::mismatch;
use super::set::{Layer, PolicySet};

/// A decision with every statement of every layer and the reason why it does or does not apply.
#[derive(Debug)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    layers: Vec<(Layer, usize, Vec<ExplainedStatement>)>,
}

#[derive(Debug)]
struct ExplainedStatement {
    place: StatementName,
    line: u32,
    applies: Result<PrincipalMatch, Mismatch>,
}

/// Decides, and explains for every statement why it does or does not apply. The
/// [`Display`](fmt::Display) of the result is a report of several lines.
#[must_use]
pub fn explain(request: &Request<'_>, policies: &PolicySet) -> Explanation {
    let evaluation = Evaluation::new(request, policies);
    let line = |(place, applies): (StatementRef<'_>, Result<PrincipalMatch, FirstMismatch<'_>>)| {
        ExplainedStatement {
            place: place.name(),
            line: place.statement.1.position.line,
            applies: applies.map_err(|first| mismatch(request, &place, first)),
        }
    };
    let layers = evaluation.layers().map(|(layer, policies)| {
        (layer, policies.len(), evaluation.statements(layer, policies).map(line).collect())
    });
    Explanation { decision: decide(request, policies), layers: layers.collect() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.decision)?;
        for (layer, policies, lines) in &self.layers {
            writeln!(f, "\n{layer}: {policies}")?;
            for ExplainedStatement { place, line, applies } in lines {
                match applies {
                    Ok(principal_match) => {
                        let verb = if place.effect == Effect::Allow { "allows" } else { "DENIES" };
                        let limit = match (layer, principal_match) {
                            (Layer::Resource, PrincipalMatch::Account) => {
                                ", if a policy of the account does as well"
                            }
                            (Layer::Resource, PrincipalMatch::Identity) => {
                                ", within boundaries and session policies"
                            }
                            _ => "",
                        };
                        writeln!(f, "  {place} (line {line}) {verb}{limit}")?;
                    }
                    Err(mismatch) => {
                        writeln!(f, "  {place} (line {line}) does not apply: {mismatch}")?
                    }
                }
            }
        }
        Ok(())
    }
}

impl serde::Serialize for Explanation {
    /// `{"decision": …, "reason": …, "statements": [{the statement, "line": …, "applies": true |
    /// false, "reason": …}]}`
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct SerializedStatement<'a> {
            #[serde(flatten)]
            statement: &'a StatementName,
            line: u32,
            applies: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<String>,
        }

        let lines = self.layers.iter().flat_map(|(_, _, lines)| lines);
        let statements: Vec<SerializedStatement<'_>> = lines
            .map(|ExplainedStatement { place, line, applies }| SerializedStatement {
                statement: place,
                line: *line,
                applies: applies.is_ok(),
                reason: applies.as_ref().err().map(ToString::to_string),
            })
            .collect();
        let mut explanation = serializer.serialize_struct("Explanation", 3)?;
        explanation.serialize_field("decision", &Verdict::from(&self.decision))?;
        explanation.serialize_field("reason", &self.decision.to_string())?;
        explanation.serialize_field("statements", &statements)?;
        explanation.end()
    }
}

#[cfg(test)]
mod tests;
