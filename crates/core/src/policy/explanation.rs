//! Why statements do or do not apply, all of them, for `policy explain`.

use std::fmt;

use serde::ser::SerializeStruct;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::{Decision, Mismatch, Place, StatementName, Verdict};
use super::document::FirstMismatch;
use super::element::Effect;
use super::evaluation::decide;
use super::inquiry::Evaluation;
use super::near_miss::mismatch;
use super::set::{Layer, PolicySet};

/// A decision with every statement of every layer and why it does or does not apply.
#[derive(Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    layers: Vec<(Layer, usize, Vec<Line>)>,
}

#[derive(Debug)]
struct Line {
    place: StatementName,
    line: u32,
    applies: Result<PrincipalMatch, Mismatch>,
}

/// Decides, and says of every statement why it does or does not apply. Its [`Display`](fmt::Display) is a report of
/// several lines for people.
#[must_use]
pub fn explain(request: &Request<'_>, policies: &PolicySet) -> Explanation {
    let inquiry = Evaluation::new(request, policies);
    let line = |(place, applies): (Place<'_>, Result<PrincipalMatch, FirstMismatch<'_>>)| Line {
        place: place.name(),
        line: place.statement.1.position.line,
        applies: applies.map_err(|obstacle| mismatch(request, &place, obstacle)),
    };
    let layers = inquiry.layers().map(|(layer, policies)| {
        (layer, policies.len(), inquiry.statements(layer, policies).map(line).collect())
    });
    Explanation { decision: decide(request, policies), layers: layers.collect() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.decision)?;
        for (layer, policies, lines) in &self.layers {
            writeln!(f, "\n{layer}: {policies}")?;
            for Line { place, line, applies } in lines {
                match applies {
                    Ok(reach) => {
                        let verb = if place.effect == Effect::Allow { "allows" } else { "DENIES" };
                        let limit = match (layer, reach) {
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
    /// `{"decision": …, "because": …, "statements": [{the statement, "line": …, "applies": true | false, "because": …}]}`
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Explained<'a> {
            #[serde(flatten)]
            statement: &'a StatementName,
            line: u32,
            applies: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<String>,
        }

        let lines = self.layers.iter().flat_map(|(_, _, lines)| lines);
        let statements: Vec<Explained<'_>> = lines
            .map(|Line { place, line, applies }| Explained {
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
