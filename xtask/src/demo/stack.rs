//! Local stack of the demonstration, driven with the command line and the aws CLI.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::engine::Engine;
use super::user::User;
use crate::command;
use crate::problem::Problem;
use crate::terminal::note;
use crate::workspace::Workspace;

pub(super) struct Stack<'a> {
    workspace: &'a Workspace,
    countersign: PathBuf,
    directory: PathBuf,
}

/// Record of the authority's log.
pub(super) struct Decision {
    pub(super) outcome: String,
    pub(super) class: Option<String>,
    pub(super) reason: String,
}

impl<'a> Stack<'a> {
    /// Starts a new stack; removes that of an earlier demonstration.
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

    /// Returns the reason for which `up` skipped a server.
    pub(super) fn skipped(&self, engine: Engine) -> Result<Option<String>, Problem> {
        let status = json(&command::output(&mut self.local(&["status", "--output", "json"]))?)?;
        let skipped = status.get("skipped").and_then(Value::as_array).into_iter().flatten();
        let found = skipped
            .into_iter()
            .find(|server| field(server, "engine").as_deref() == Some(engine.name()));
        Ok(found.and_then(|server| field(server, "reason")))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Directories of the programs in use that lie in the target directory.
    pub(super) fn programs(&self) -> Vec<String> {
        let own = |program: PathBuf| {
            program
                .starts_with(self.workspace.target())
                .then(|| Some(program.parent()?.display().to_string()))
                .flatten()
        };
        [self.countersign.clone(), self.aws()].into_iter().filter_map(own).collect()
    }

    /// Path of the aws CLI.
    fn aws(&self) -> PathBuf {
        command::find("aws", &self.workspace.path()).unwrap_or_else(|| "aws".into())
    }

    /// Command line of `countersign local` for this stack.
    pub(super) fn local(&self, what: &[&str]) -> Command {
        let mut command = Command::new(&self.countersign);
        command.args(["local", "--dir"]).arg(&self.directory).args(what);
        command
    }

    /// Returns the installation directory of a server.
    pub(super) fn installation(&self, engine: Engine) -> Result<PathBuf, Problem> {
        let printed = command::output(&mut self.local(&["install", "--engine", engine.name()]))?;
        // The output is one line with engine, version and directory.
        let directory = printed.find('/').and_then(|at| printed.get(at..)).map(PathBuf::from);
        directory.ok_or_else(|| {
            Problem::new(format!(
                "cannot find the directory in the output of `countersign local install`: {printed}"
            ))
        })
    }

    /// Creates an IAM user with an access key, and a database user of that name on every server.
    pub(super) fn create(&self, name: &str, options: &[&str]) -> Result<(), Problem> {
        command::output(self.local(&["user", "create", name]).args(options))?;
        note(&[&["countersign", "local", "user", "create", name], options].concat().join(" "));
        Ok(())
    }

    /// Replaces the policy of a user.
    pub(super) fn grant(&self, name: &str, policy: &str) -> Result<(), Problem> {
        // Outside the stack's directory: `down --wipe` keeps foreign files, and `up` rejects them.
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

    /// Mints a token with `countersign token` for the user and this port.
    pub(super) fn token(&self, user: &User, port: u16) -> Result<String, Problem> {
        let mut command = user.command(&self.countersign);
        command.args([
            "token",
            "--hostname",
            &user.host,
            "--port",
            &port.to_string(),
            "--username",
            &user.user,
        ]);
        command::output(&mut command)
    }

    /// Mints a token with the aws CLI, started by the command line `before`.
    pub(super) fn aws_token(&self, user: &User, before: &[&str]) -> Result<String, Problem> {
        let aws = self.aws();
        let mut words = before.iter().map(Path::new).chain([aws.as_path()]);
        let mut command = user.command(words.next().unwrap_or(Path::new("aws")));
        command.args(words).args(["rds", "generate-db-auth-token", "--hostname", &user.host]);
        command
            .args(["--port", &user.port.to_string(), "--username", &user.user])
            .env("PATH", self.workspace.path());
        command::output(&mut command)
    }

    /// Returns the authority's decisions about a database user.
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

/// Parses the JSON output of `countersign local`.
fn json(text: &str) -> Result<Value, Problem> {
    serde_json::from_str(text).map_err(|error| {
        Problem::new(format!("cannot read the output of `countersign local`: {error}: {text}"))
    })
}

fn field(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}
