//! The stack under show, driven as a person would drive it: by the command line, psql and the aws CLI.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::apt::is_root;
use crate::command;
use crate::problem::Problem;
use crate::terminal::note;
use crate::workspace::Workspace;

/// How long the authority's record of a login may take to be there.
const RECORD: Duration = Duration::from_secs(5);

/// What of the caller's own set-up would lead the tools elsewhere.
const FOREIGN: [&str; 8] =
    ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "PGHOSTADDR", "PGPASSFILE", "PGPASSWORD", "PGSERVICE", "PGOPTIONS"];

pub(super) struct Stack<'a> {
    workspace: &'a Workspace,
    countersign: PathBuf,
    directory: PathBuf,
}

/// Somebody, as `local env` describes them: their keys, and the database that they log in to.
#[derive(Clone)]
pub(super) struct Person(Vec<(String, String)>);

/// A login, as both sides saw it.
pub(super) struct Login {
    /// What psql printed: the rows, or why it gave up.
    pub(super) client: Result<String, String>,
    /// What the authority decided, if it was asked.
    pub(super) decision: Option<Decision>,
}

/// A line of the authority's log.
pub(super) struct Decision {
    pub(super) outcome: String,
    pub(super) class: Option<String>,
    pub(super) because: String,
}

impl<'a> Stack<'a> {
    /// Starts it anew, whatever a former demonstration left.
    pub(super) fn up(workspace: &'a Workspace) -> Result<Self, Problem> {
        let stack = Self { workspace, countersign: workspace.binary("countersign"), directory: directory(workspace) };
        if stack.directory.exists() {
            stack.down()?;
        }
        command::run(stack.local(&["up"]).args(["--engine", "postgres", "--detach"]))?;
        Ok(stack)
    }

    pub(super) fn down(&self) -> Result<(), Problem> {
        command::run(self.local(&["down"]).arg("--wipe"))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directories of the programs in use, as far as they are the project's own.
    pub(super) fn programs(&self) -> Vec<String> {
        let own = |program: PathBuf| {
            program.starts_with(self.workspace.target()).then(|| Some(program.parent()?.display().to_string())).flatten()
        };
        [self.countersign.clone(), self.aws()].into_iter().filter_map(own).collect()
    }

    /// The aws CLI that is in use.
    fn aws(&self) -> PathBuf {
        command::find("aws", &self.workspace.path()).unwrap_or_else(|| "aws".into())
    }

    /// `countersign local …`, on this stack.
    fn local(&self, what: &[&str]) -> Command {
        let mut command = Command::new(&self.countersign);
        command.args(["local", "--dir"]).arg(&self.directory).args(what);
        command
    }

    /// Makes an IAM user with an access key, and a database role of the same name.
    pub(super) fn create(&self, name: &str, options: &[&str]) -> Result<Person, Problem> {
        command::output(self.local(&["user", "create", name]).args(options))?;
        note(&[&["countersign", "local", "user", "create", name], options].concat().join(" "));
        let exports = command::output(&mut self.local(&["env", "--user", name]))?;
        let variables = exports.lines().filter(|line| line.starts_with("export ")).map(|line| {
            variable(line).ok_or_else(|| Problem::new(format!("`countersign local env` printed a line that is no export: {line}")))
        });
        variables.collect::<Result<_, _>>().map(Person)
    }

    /// Gives a user this policy in place of the one that came with them.
    pub(super) fn grant(&self, name: &str, policy: &str) -> Result<(), Problem> {
        let file = self.directory.join("demo-policy.json");
        std::fs::write(&file, policy).map_err(|error| Problem::new(format!("{}: {error}", file.display())))?;
        command::output(self.local(&["user", "grant", name, "--policy-document"]).arg(&file))?;
        note(&format!("countersign local user grant {name} --policy-document {}", file.display()));
        Ok(())
    }

    pub(super) fn disable_key(&self, name: &str) -> Result<(), Problem> {
        command::output(&mut self.local(&["user", "disable-key", name])).map(drop)
    }

    /// Runs SQL as the superuser.
    pub(super) fn sql(&self, sql: &str) -> Result<(), Problem> {
        command::output(self.local(&["psql"]).args(["--", "--quiet", "--command", sql])).map(drop)
    }

    /// A token by `countersign token`, for the person's user and this port.
    pub(super) fn token(&self, person: &Person, port: u16) -> Result<String, Problem> {
        let mut command = person.command(&self.countersign);
        let (host, user) = (person.get("PGHOST")?, person.get("PGUSER")?);
        command.args(["token", "--hostname", host, "--port", &port.to_string(), "--username", user]);
        command::output(&mut command)
    }

    /// A token by the real aws CLI, run under the program that `before` names, if any.
    pub(super) fn aws_token(&self, person: &Person, before: &[&str]) -> Result<String, Problem> {
        let aws = self.aws();
        let mut words = before.iter().map(Path::new).chain([aws.as_path()]);
        let mut command = person.command(words.next().unwrap_or(Path::new("aws")));
        command.args(words).args(["rds", "generate-db-auth-token", "--hostname", person.get("PGHOST")?]);
        command.args(["--port", person.get("PGPORT")?, "--username", person.get("PGUSER")?]).env("PATH", self.workspace.path());
        command::output(&mut command)
    }

    /// Logs in by psql. Where `asks` says that the authority is asked, its record is waited for.
    pub(super) fn login(&self, person: &Person, password: &str, query: &str, asks: bool) -> Result<Login, Problem> {
        let user = person.get("PGUSER")?;
        let before = self.decisions(user)?.len();
        let mut psql = person.command(Path::new("psql"));
        psql.args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--field-separator", ", ", "--command", query]);
        let output = command::attempt(psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "20"))?;
        let client = if output.status.success() { Ok(command::text(&output.stdout)) } else { Err(reason(&command::text(&output.stderr))) };

        let deadline = Instant::now() + RECORD;
        loop {
            let decision = self.decisions(user)?.into_iter().nth(before);
            if decision.is_some() || !asks || Instant::now() > deadline {
                return Ok(Login { client, decision });
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// What the authority decided about a database user so far.
    fn decisions(&self, user: &str) -> Result<Vec<Decision>, Problem> {
        let log = command::output(self.local(&["log"]).args(["--output", "json"]))?;
        let records = log.lines().map(|line| {
            serde_json::from_str(line)
                .map_err(|error| Problem::new(format!("`countersign local log` printed what is no JSON ({error}): {line}")))
        });
        let records: Vec<Value> = records.collect::<Result<_, _>>()?;
        let field = |record: &Value, name| record.get(name).and_then(Value::as_str).map(str::to_owned);
        let of_user = records.iter().filter(|record| record.get("user").and_then(Value::as_str) == Some(user));
        let decision = |record| {
            Some(Decision { outcome: field(record, "outcome")?, class: field(record, "class"), because: field(record, "because")? })
        };
        Ok(of_user.filter_map(decision).collect())
    }
}

impl Person {
    fn get(&self, name: &str) -> Result<&str, Problem> {
        let found = self.0.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_str());
        found.ok_or_else(|| Problem::new(format!("`countersign local env` exports no {name}")))
    }

    pub(super) fn port(&self) -> Result<u16, Problem> {
        let port = self.get("PGPORT")?;
        port.parse().map_err(|_| Problem::new(format!("`countersign local env` exports PGPORT={port}, which is no port")))
    }

    /// The same with one variable changed.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = self.0.clone();
        variables.retain(|(variable, _)| variable != name);
        variables.push((name.to_owned(), value.to_owned()));
        Self(variables)
    }

    /// A program in this person's environment, and in nobody else's.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for foreign in FOREIGN {
            command.env_remove(foreign);
        }
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.envs(self.0.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Login {
    pub(super) fn said(&self) -> &str {
        match &self.client {
            Ok(said) | Err(said) => said,
        }
    }
}

/// Where the stack lives. As root, the server runs as another user, who can't reach into root's home.
fn directory(workspace: &Workspace) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let open = |directory: &Path| directory.metadata().is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    if !is_root() || workspace.target().ancestors().all(open) {
        workspace.target().join("demo")
    } else {
        PathBuf::from("/var/lib/countersign-demo")
    }
}

/// Name and value of a line `export NAME='value'`, a quote in the value being written as `'\''`.
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace(r"'\''", "'")))
}

/// What the server said, where psql passes it on.
fn reason(stderr: &str) -> String {
    let said = stderr.find("FATAL:").and_then(|at| stderr.get(at..)).unwrap_or(stderr);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
