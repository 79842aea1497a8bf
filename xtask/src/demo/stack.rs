//! The stack under show, driven as a person would drive it: by the command line and the aws CLI.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::engine::Engine;
use super::person::Person;
use crate::command;
use crate::problem::Problem;
use crate::terminal::note;
use crate::workspace::Workspace;

pub(super) struct Stack<'a> {
    workspace: &'a Workspace,
    countersign: PathBuf,
    directory: PathBuf,
}

/// A line of the authority's log.
pub(super) struct Decision {
    pub(super) outcome: String,
    pub(super) class: Option<String>,
    pub(super) reason: String,
}

impl<'a> Stack<'a> {
    /// Starts it anew, whatever a former demonstration left.
    pub(super) fn up(workspace: &'a Workspace) -> Result<Self, Problem> {
        let stack = Self {
            workspace,
            countersign: workspace.binary("countersign"),
            directory: workspace.stacks().join("demo"),
        };
        if stack.directory.exists() {
            stack.down()?;
        }
        command::run(stack.local(&["up"]).args([
            "--engine",
            "postgres,mariadb,mysql",
            "--detach",
        ]))?;
        Ok(stack)
    }

    pub(super) fn down(&self) -> Result<(), Problem> {
        command::run(self.local(&["down"]).arg("--wipe"))
    }

    /// Why `up` left a server out, if it did.
    pub(super) fn left_out(&self, engine: Engine) -> Result<Option<String>, Problem> {
        let status = json(&command::output(&mut self.local(&["status", "--output", "json"]))?)?;
        let left_out = status.get("skipped").and_then(Value::as_array).into_iter().flatten();
        let found = left_out
            .into_iter()
            .find(|left| field(left, "engine").as_deref() == Some(engine.name()));
        Ok(found.and_then(|left| field(left, "reason")))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directories of the programs in use, as far as they are the project's own.
    pub(super) fn programs(&self) -> Vec<String> {
        let own = |program: PathBuf| {
            program
                .starts_with(self.workspace.target())
                .then(|| Some(program.parent()?.display().to_string()))
                .flatten()
        };
        [self.countersign.clone(), self.aws()].into_iter().filter_map(own).collect()
    }

    /// The aws CLI that is in use.
    fn aws(&self) -> PathBuf {
        command::find("aws", &self.workspace.path()).unwrap_or_else(|| "aws".into())
    }

    /// `countersign local …`, on this stack.
    pub(super) fn local(&self, what: &[&str]) -> Command {
        let mut command = Command::new(&self.countersign);
        command.args(["local", "--dir"]).arg(&self.directory).args(what);
        command
    }

    /// The directory that a server which runs is installed below.
    pub(super) fn installation(&self, engine: Engine) -> Result<PathBuf, Problem> {
        let printed = command::output(&mut self.local(&["install", "--engine", engine.name()]))?;
        // Engine, version and directory, in one line.
        let directory = printed.find('/').and_then(|at| printed.get(at..)).map(PathBuf::from);
        directory.ok_or_else(|| {
            Problem::new(format!("`countersign local install` named no directory: {printed}"))
        })
    }

    /// Makes an IAM user with an access key, and on every server a database user of the same name.
    pub(super) fn create(&self, name: &str, options: &[&str]) -> Result<(), Problem> {
        command::output(self.local(&["user", "create", name]).args(options))?;
        note(&[&["countersign", "local", "user", "create", name], options].concat().join(" "));
        Ok(())
    }

    /// Gives a user this policy in place of the one that came with them.
    pub(super) fn grant(&self, name: &str, policy: &str) -> Result<(), Problem> {
        // Not in the stack's directory, where `down --wipe` leaves what is not its own, and `up` wants nothing else.
        let file = self.workspace.target().join("demo-policy.json");
        std::fs::write(&file, policy)
            .map_err(|error| Problem::new(format!("{}: {error}", file.display())))?;
        command::output(self.local(&["user", "grant", name, "--policy-document"]).arg(&file))?;
        note(&format!("countersign local user grant {name} --policy-document {}", file.display()));
        Ok(())
    }

    pub(super) fn disable_key(&self, name: &str) -> Result<(), Problem> {
        command::output(&mut self.local(&["user", "disable-key", name])).map(drop)
    }

    /// A token by `countersign token`, for the person's user and this port.
    pub(super) fn token(&self, person: &Person, port: u16) -> Result<String, Problem> {
        let mut command = person.command(&self.countersign);
        command.args([
            "token",
            "--hostname",
            &person.host,
            "--port",
            &port.to_string(),
            "--username",
            &person.user,
        ]);
        command::output(&mut command)
    }

    /// A token by the real aws CLI, run under the program that `before` names, if any.
    pub(super) fn aws_token(&self, person: &Person, before: &[&str]) -> Result<String, Problem> {
        let aws = self.aws();
        let mut words = before.iter().map(Path::new).chain([aws.as_path()]);
        let mut command = person.command(words.next().unwrap_or(Path::new("aws")));
        command.args(words).args(["rds", "generate-db-auth-token", "--hostname", &person.host]);
        command
            .args(["--port", &person.port.to_string(), "--username", &person.user])
            .env("PATH", self.workspace.path());
        command::output(&mut command)
    }

    /// What the authority decided about a database user so far.
    pub(super) fn decisions(&self, user: &str) -> Result<Vec<Decision>, Problem> {
        let log = command::output(self.local(&["log"]).args(["--output", "json"]))?;
        let records: Vec<Value> = log.lines().map(json).collect::<Result<_, _>>()?;
        let of_user = records
            .iter()
            .filter(|record| record.get("user").and_then(Value::as_str) == Some(user));
        let decision = |record| {
            Some(Decision {
                outcome: field(record, "outcome")?,
                class: field(record, "class"),
                reason: field(record, "reason")?,
            })
        };
        Ok(of_user.filter_map(decision).collect())
    }
}

/// What a `countersign local` command printed as JSON.
fn json(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| {
        Problem::new(format!("`countersign local` printed what is no JSON ({error}): {text}"))
    })
}

fn field(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}
