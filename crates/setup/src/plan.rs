//! Plans: lists of steps that can be printed, applied and undone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::error::at;
use crate::file::{self, FileContent};
use crate::{Client, SetupError, Statement};

/// Ordered steps that bring a server to a desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// All steps, including those already done.
    pub steps: Vec<Step>,
    /// True if the administrator must restart the server afterwards.
    pub restart: bool,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// True if the desired state exists already. The step is then skipped.
    pub done: bool,
    /// Description of the current state.
    pub now: String,
}

/// Action of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Writes a file, by rename.
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Mode of the file.
        #[serde(serialize_with = "octal")]
        mode: u32,
        /// Content of the file.
        #[serde(flatten)]
        content: Content,
    },
    /// Removes a file.
    Delete {
        /// Path of the file.
        path: PathBuf,
    },
    /// Runs a statement.
    Sql {
        /// The statement.
        statement: Statement,
        /// The statement that undoes it, if it needs one.
        undo: Option<Statement>,
        /// Remedy if it fails.
        #[serde(skip)]
        remedy: Option<String>,
    },
    /// Checks that the server's variables have these values.
    Check {
        /// Values by name. Empty means that the variable is unset.
        variables: BTreeMap<String, String>,
        /// Remedy if they differ.
        #[serde(skip)]
        remedy: String,
    },
}

/// Content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A text.
    Content(String),
    /// The content of another file.
    CopyOf(PathBuf),
}

impl Content {
    fn bytes(&self) -> Result<Vec<u8>, SetupError> {
        match self {
            Self::Content(text) => Ok(text.clone().into_bytes()),
            Self::CopyOf(from) => std::fs::read(from).map_err(at(from)),
        }
    }
}

/// Action that undoes a step.
enum Undo {
    Nothing,
    File { path: PathBuf, before: Option<FileContent> },
    Sql(Statement),
}

impl Plan {
    /// Returns true if all steps are done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.done)
    }

    /// Applies the steps that are not done, in order; `progress` is called before each. If one
    /// fails, those before it are undone in reverse order. A killed run leaves its changes, which
    /// the next plan takes into account.
    ///
    /// # Errors
    /// [`SetupError::Step`] if a step fails.
    pub fn apply(
        &self,
        client: &Client,
        mut progress: impl FnMut(&Step),
    ) -> Result<(), SetupError> {
        let mut undos = Vec::new();
        for step in self.steps.iter().filter(|step| !step.done) {
            progress(step);
            match step.action.apply(client) {
                Ok(undo) => undos.push(undo),
                Err(cause) => return Err(undo_steps(&step.action, cause, undos, client)),
            }
        }
        Ok(())
    }
}

fn undo_steps(action: &Action, cause: SetupError, undos: Vec<Undo>, client: &Client) -> SetupError {
    let (mut undone, mut by_hand) = (Vec::new(), Vec::new());
    for undo in undos.into_iter().rev().filter(|undo| !matches!(undo, Undo::Nothing)) {
        match undo.apply(client) {
            Ok(()) => undone.push(undo.to_string()),
            Err(error) => by_hand.push(format!("{undo} ({error})")),
        }
    }
    SetupError::Step { step: action.to_string(), cause: Box::new(cause), undone, by_hand }
}

impl Undo {
    fn apply(&self, client: &Client) -> Result<(), SetupError> {
        match self {
            Self::Nothing => Ok(()),
            Self::File { path, before: Some(FileContent { content, mode }) } => {
                file::write(path, content, *mode)
            }
            Self::File { path, before: None } => file::remove(path).map_err(at(path)),
            Self::Sql(statement) => statement.run(client),
        }
    }
}

/// Describes the undo action.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::File { path, before: Some(_) } => write!(f, "restore {}", path.display()),
            Self::File { path, before: None } => write!(f, "remove {}", path.display()),
            Self::Sql(statement) => write!(f, "{statement}"),
        }
    }
}

impl Action {
    fn apply(&self, client: &Client) -> Result<Undo, SetupError> {
        match self {
            Self::Write { path, mode, content } => {
                let (content, before) = (content.bytes()?, file::read(path)?);
                file::write(path, &content, *mode)?;
                Ok(Undo::File { path: path.clone(), before })
            }
            Self::Delete { path } => {
                let before = file::read(path)?;
                file::remove(path).map_err(at(path))?;
                Ok(Undo::File { path: path.clone(), before })
            }
            Self::Sql { statement, undo, remedy } => {
                statement.run(client).map_err(|error| with_remedy(error, remedy.as_deref()))?;
                Ok(undo.clone().map_or(Undo::Nothing, Undo::Sql))
            }
            Self::Check { variables, remedy } => {
                check(client, variables, remedy).map(|()| Undo::Nothing)
            }
        }
    }

    /// Returns the step that writes a file.
    pub(crate) fn writing(path: PathBuf, mode: u32, content: Content) -> Result<Step, SetupError> {
        let (current, wanted) = (file::read(&path)?, content.bytes()?);
        let (done, now) = match &current {
            None => (false, "missing"),
            Some(current) if current.content != wanted => (false, "the content differs"),
            Some(current) if current.mode != mode => (false, "the mode differs"),
            Some(_) => (true, "up to date"),
        };
        Ok(Step { action: Self::Write { path, mode, content }, done, now: now.to_owned() })
    }

    /// Returns the step that removes a file.
    pub(crate) fn deleting(path: &Path) -> Result<Step, SetupError> {
        let exists = file::read(path)?.is_some();
        let now = if exists { "it exists" } else { "missing" };
        Ok(Step {
            action: Self::Delete { path: path.to_owned() },
            done: !exists,
            now: now.to_owned(),
        })
    }
}

fn with_remedy(error: SetupError, remedy: Option<&str>) -> SetupError {
    match (error, remedy) {
        (SetupError::Refused(message), Some(remedy)) => {
            SetupError::Refused(format!("{message}\n{remedy}"))
        }
        (error, _) => error,
    }
}

fn check(
    client: &Client,
    variables: &BTreeMap<String, String>,
    remedy: &str,
) -> Result<(), SetupError> {
    for (name, wanted) in variables {
        let lines = client.run(&format!("SHOW GLOBAL VARIABLES LIKE '{name}';"))?;
        let current = lines
            .iter()
            .find_map(|line| line.split_once('\t').filter(|(current, _)| current == name));
        let current = current.map_or("", |(_, value)| value);
        if current != wanted {
            let wanted = if wanted.is_empty() { "unset".to_owned() } else { format!("{wanted:?}") };
            return Err(SetupError::Unusable(format!(
                "{name} is {current:?}, not {wanted}: {remedy}"
            )));
        }
    }
    Ok(())
}

/// Describes the action in one line, without the content of a file.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, mode, content: Content::Content(_) } => {
                write!(f, "write {} (mode {mode:o})", path.display())
            }
            Self::Write { path, mode, content: Content::CopyOf(from) } => {
                write!(f, "copy {1} to {0} (mode {mode:o})", path.display(), from.display())
            }
            Self::Delete { path } => write!(f, "remove {}", path.display()),
            Self::Sql { statement, .. } => write!(f, "run SQL: {statement}"),
            Self::Check { variables, .. } => {
                let shown = |(name, value): (&String, &String)| {
                    if value.is_empty() {
                        format!("{name} unset")
                    } else {
                        format!("{name} = {value}")
                    }
                };
                let values: Vec<String> = variables.iter().map(shown).collect();
                write!(f, "check the variables {}", values.join(", "))
            }
        }
    }
}

fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:o}"))
}

#[cfg(test)]
mod tests;
