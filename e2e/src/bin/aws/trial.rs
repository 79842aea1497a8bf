//! Columns of the table: the steps of a client, and their expected results.

use std::collections::HashMap;
use std::process::Command;

use countersign_e2e::{CommandOutput, run};

use crate::client::{Client, Place};
use crate::stack::{Source, Stack};

/// Time limit of a run in seconds: a client that polls every 30 s may need a second poll.
const PATIENCE: &str = "150";

/// Variables of this program's environment that a client inherits; the others are the stack's.
const KEPT: [&str; 4] = ["PATH", "LANG", "TMPDIR", "JAVA_HOME"];

/// Names of the steps from an identity to a login. The last ones have no column of their own.
const VERBS: [&str; 9] =
    ["identity", "assume", "create", "wait", "describe", "prepare", "token", "login", "delete"];

/// Steps with credentials from a source.
const BY_SOURCE: [&str; 3] = ["identity", "token", "login"];

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// A step of the common run.
    Step(&'static str),
    /// A run with a deactivated key.
    Refused,
    /// A run with credentials from that source.
    From(Source),
}

pub(crate) const COLUMNS: [Column; 14] = [
    Column::Step("identity"),
    Column::Step("assume"),
    Column::Step("create"),
    Column::Step("wait"),
    Column::Step("describe"),
    Column::Step("token"),
    Column::Step("login"),
    Column::Step("delete"),
    Column::Refused,
    Column::From(Source::Irsa),
    Column::From(Source::PodIdentity),
    Column::From(Source::Ecs),
    Column::From(Source::Imds),
    Column::From(Source::Sso),
];

impl Column {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Step(verb) => verb,
            Self::Refused => "refused",
            Self::From(Source::Irsa) => "IRSA",
            Self::From(Source::PodIdentity) => "Pod",
            Self::From(Source::Ecs) => "ECS",
            Self::From(Source::Imds) => "IMDS",
            Self::From(Source::Sso) => "SSO",
        }
    }
}

/// Result of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// Not reached: an earlier step failed.
    Untried,
    /// Failed, with the reason.
    Failed(String),
}

impl Outcome {
    /// Formats the result for the table.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Untried => "-",
            Self::Failed(_) => "✗",
        }
    }
}

/// Runs a client, and returns a cell per column.
pub(crate) fn of(client: &Client, place: &Place<'_>, stack: &Stack) -> Vec<Outcome> {
    let instance = format!("interop-{}", client.name);
    let start = |environment: &HashMap<String, String>, verbs: &[&str]| {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).args(client.command(place)).arg(&instance).args(verbs).env_clear();
        command.envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        run(command
            .env("HOME", stack.home())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment))
    };
    let steps = steps(&VERBS, ":user/admin", &start(stack.keys(), &VERBS));
    let cell = |column: Column| match column {
        // The result of `prepare` shows in the login that it prepares.
        Column::Step("login") if !matches!(steps.get("prepare"), Some(Outcome::Ok)) => {
            steps.get("prepare").cloned()
        }
        Column::Step(verb) => steps.get(verb).cloned(),
        Column::Refused => Some(refused(&start(stack.revoked(), &["identity"]))),
        Column::From(source) => Some(match stack.environment(source) {
            Ok(environment) => {
                whole(&start(&with_endpoints(environment, client.endpoints), &BY_SOURCE))
            }
            Err(why) => Outcome::Failed(why.to_owned()),
        }),
    };
    COLUMNS.into_iter().map(|column| cell(column).unwrap_or(Outcome::Untried)).collect()
}

/// Returns the endpoint under the service-specific variable names.
fn with_endpoints(
    environment: &HashMap<String, String>,
    names: &[&str],
) -> HashMap<String, String> {
    let mut environment = environment.clone();
    if let Some(url) = environment.get("AWS_ENDPOINT_URL").cloned() {
        environment.extend(names.iter().map(|name| ((*name).to_owned(), url.clone())));
    }
    environment
}

/// Returns the result of each step of one run. The identity must contain `whose`.
fn steps(
    verbs: &[&'static str],
    whose: &str,
    output: &CommandOutput,
) -> HashMap<&'static str, Outcome> {
    let mut lines = output.out.lines();
    let mut outcomes = HashMap::new();
    let mut going = true;
    for verb in verbs {
        let outcome = match lines.next().and_then(|line| line.strip_prefix(verb)?.strip_prefix(' '))
        {
            _ if !going => Outcome::Untried,
            Some(value) if is_right(verb, value, whose) => Outcome::Ok,
            Some(value) => Outcome::Failed(format!("it printed {value:?}")),
            None => Outcome::Failed(last_words(output)),
        };
        going = outcome == Outcome::Ok;
        outcomes.insert(*verb, outcome);
    }
    outcomes
}

fn is_right(verb: &str, value: &str, whose: &str) -> bool {
    match verb {
        "identity" => value.starts_with("arn:aws:") && value.contains(whose),
        "assume" => {
            value.starts_with("arn:aws:sts::") && value.contains(":assumed-role/app-admin/")
        }
        "create" => value == "creating",
        "wait" => value == "available",
        "describe" => value.contains(" db-") && value.ends_with(" iam=true"),
        "token" => value.parse().is_ok_and(|length: usize| length > 100),
        "delete" => value == "deleting",
        _ => value == "app",
    }
}

/// Runs all steps with credentials from a source.
fn whole(output: &CommandOutput) -> Outcome {
    let steps = steps(&BY_SOURCE, ":assumed-role/", output);
    let failed = BY_SOURCE.iter().find_map(|verb| match steps.get(verb) {
        Some(Outcome::Failed(what)) => Some(Outcome::Failed(format!("{verb}: {what}"))),
        _ => None,
    });
    failed.unwrap_or(Outcome::Ok)
}

/// Checks that the SDK reports AWS's error code.
fn refused(output: &CommandOutput) -> Outcome {
    if !output.ok && output.out.is_empty() && output.err.contains("InvalidClientTokenId") {
        return Outcome::Ok;
    }
    Outcome::Failed(format!(
        "a key that is switched off should get InvalidClientTokenId; it printed {:?}, {}",
        output.out,
        last_words(output)
    ))
}

/// Formats the exit status and the end of the output.
fn last_words(output: &CommandOutput) -> String {
    let status = output.status.map_or_else(|| "a signal".to_owned(), |status| status.to_string());
    let lines: Vec<&str> = output.err.lines().rev().take(6).collect();
    format!(
        "it ended with {status} and output {:?}",
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests;
