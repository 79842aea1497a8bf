//! The columns: what a client has to do, and what must come of it.

use std::collections::HashMap;
use std::process::Command;

use countersign_e2e::{CommandOutput, run};

use crate::client::{Client, Place};
use crate::stack::{Source, Stack};

/// How many seconds a run has: a client that waits in steps of 30 may need a second step.
const PATIENCE: &str = "150";

/// What of this program's environment a client is started with; the rest is the stack's.
const KEPT: [&str; 4] = ["PATH", "LANG", "TMPDIR", "JAVA_HOME"];

/// What the program calls the steps from an identity to a login; the last ones are not in the table by themselves.
const VERBS: [&str; 9] =
    ["identity", "assume", "create", "wait", "describe", "prepare", "token", "login", "delete"];

/// The steps with credentials from a source.
const BY_SOURCE: [&str; 3] = ["identity", "token", "login"];

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// A step of the one run.
    Step(&'static str),
    /// A run with a key that is switched off.
    Refused,
    /// A run with credentials from there.
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

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// An earlier step failed.
    Untried,
    /// In words.
    Failed(String),
}

impl Outcome {
    /// For the table.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Untried => "-",
            Self::Failed(_) => "✗",
        }
    }
}

/// Has a client try it all: a cell for each column.
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
        // What `prepare` comes to is seen at the login that it is for.
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

/// The one endpoint under these names too.
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

/// What came of each verb of one run. `whose` has to be in the identity.
fn steps(
    verbs: &[&'static str],
    whose: &str,
    said: &CommandOutput,
) -> HashMap<&'static str, Outcome> {
    let mut lines = said.out.lines();
    let mut outcomes = HashMap::new();
    let mut going = true;
    for verb in verbs {
        let outcome = match lines.next().and_then(|line| line.strip_prefix(verb)?.strip_prefix(' '))
        {
            _ if !going => Outcome::Untried,
            Some(value) if is_right(verb, value, whose) => Outcome::Ok,
            Some(value) => Outcome::Failed(format!("it printed {value:?}")),
            None => Outcome::Failed(last_words(said)),
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

/// A run with credentials from a source, all or nothing.
fn whole(said: &CommandOutput) -> Outcome {
    let steps = steps(&BY_SOURCE, ":assumed-role/", said);
    let failed = BY_SOURCE.iter().find_map(|verb| match steps.get(verb) {
        Some(Outcome::Failed(what)) => Some(Outcome::Failed(format!("{verb}: {what}"))),
        _ => None,
    });
    failed.unwrap_or(Outcome::Ok)
}

/// The SDK has to know AWS's error as such.
fn refused(said: &CommandOutput) -> Outcome {
    if !said.ok && said.out.is_empty() && said.err.contains("InvalidClientTokenId") {
        return Outcome::Ok;
    }
    Outcome::Failed(format!(
        "a key that is switched off should get InvalidClientTokenId; it printed {:?}, {}",
        said.out,
        last_words(said)
    ))
}

/// How it ended, with the end of what it said.
fn last_words(said: &CommandOutput) -> String {
    let status = said.status.map_or_else(|| "a signal".to_owned(), |status| status.to_string());
    let lines: Vec<&str> = said.err.lines().rev().take(6).collect();
    format!(
        "it ended with {status} and said {:?}",
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests;
