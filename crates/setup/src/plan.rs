//! What is to be done, as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::error::at;
use crate::file::{self, Found};
use crate::{Client, SetupError, Statement};

/// The steps to where a server is to be, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// All of them, those too that are done already.
    pub steps: Vec<Step>,
    /// Whether the server has to be restarted after them. That is for its administrator to do.
    pub restart: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// Whether that is so already: then nothing is done.
    pub done: bool,
    /// What is there now, in words.
    pub now: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Puts a file in its place, by rename.
    Write {
        /// Where.
        path: PathBuf,
        /// Its permissions.
        #[serde(serialize_with = "octal")]
        mode: u32,
        /// What it holds.
        #[serde(flatten)]
        content: Content,
    },
    /// Takes a file away.
    Delete {
        /// Which one.
        path: PathBuf,
    },
    /// Runs a statement in the server.
    Sql {
        /// The statement.
        statement: Statement,
        /// The statement that takes it back; none where there is nothing to take back.
        undo: Option<Statement>,
        /// What to look at where it fails.
        #[serde(skip)]
        advice: Option<String>,
    },
    /// Looks whether the server's variables have these values.
    Check {
        /// Values by name; an empty one is of a variable that is unset.
        variables: BTreeMap<String, String>,
        /// What to look at where they don't.
        #[serde(skip)]
        advice: String,
    },
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// This text.
    Content(String),
    /// What another file holds.
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

/// How to take back what a step did.
enum Undo {
    Nothing,
    File { path: PathBuf, before: Option<Found> },
    Sql(Statement),
}

impl Plan {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.done)
    }

    /// Does what is not done yet, from top to bottom; `progress` hears of each step before it is taken. Where one fails, those
    /// before it are taken back, from bottom to top. (A run that is killed leaves what it did, which the next plan takes into
    /// account.)
    ///
    /// # Errors
    /// [`OperateError::Step`]
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
                Err(cause) => return Err(take_back(&step.action, cause, undos, client)),
            }
        }
        Ok(())
    }
}

fn take_back(action: &Action, cause: SetupError, undos: Vec<Undo>, client: &Client) -> SetupError {
    let (mut taken_back, mut by_hand) = (Vec::new(), Vec::new());
    for undo in undos.into_iter().rev().filter(|undo| !matches!(undo, Undo::Nothing)) {
        match undo.apply(client) {
            Ok(()) => taken_back.push(undo.to_string()),
            Err(error) => by_hand.push(format!("{undo} ({error})")),
        }
    }
    SetupError::Step { step: action.to_string(), cause: Box::new(cause), taken_back, by_hand }
}

impl Undo {
    fn apply(&self, client: &Client) -> Result<(), SetupError> {
        match self {
            Self::Nothing => Ok(()),
            Self::File { path, before: Some(Found { content, mode }) } => {
                file::write(path, content, *mode)
            }
            Self::File { path, before: None } => file::remove(path).map_err(at(path)),
            Self::Sql(statement) => statement.run(client),
        }
    }
}

/// As what it does.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::File { path, before: Some(_) } => write!(f, "{} as it was", path.display()),
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
            Self::Sql { statement, undo, advice } => {
                statement.run(client).map_err(|error| advised(error, advice.as_deref()))?;
                Ok(undo.clone().map_or(Undo::Nothing, Undo::Sql))
            }
            Self::Check { variables, advice } => {
                check(client, variables, advice).map(|()| Undo::Nothing)
            }
        }
    }

    /// The file that it writes, as it is to be; the step is done where it is so.
    pub(crate) fn writing(path: PathBuf, mode: u32, content: Content) -> Result<Step, SetupError> {
        let (found, wanted) = (file::read(&path)?, content.bytes()?);
        let (done, now) = match &found {
            None => (false, "nothing is there"),
            Some(found) if found.content != wanted => (false, "another content is there"),
            Some(found) if found.mode != mode => (false, "it is there with another mode"),
            Some(_) => (true, "it is there"),
        };
        Ok(Step { action: Self::Write { path, mode, content }, done, now: now.to_owned() })
    }

    /// A file's end; the step is done where there is none.
    pub(crate) fn deleting(path: &Path) -> Result<Step, SetupError> {
        let there = file::read(path)?.is_some();
        let now = if there { "it is there" } else { "nothing is there" };
        Ok(Step {
            action: Self::Delete { path: path.to_owned() },
            done: !there,
            now: now.to_owned(),
        })
    }
}

fn advised(error: SetupError, advice: Option<&str>) -> SetupError {
    match (error, advice) {
        (SetupError::Refused(said), Some(advice)) => {
            SetupError::Refused(format!("{said}\n{advice}"))
        }
        (error, _) => error,
    }
}

fn check(
    client: &Client,
    variables: &BTreeMap<String, String>,
    advice: &str,
) -> Result<(), SetupError> {
    for (name, wanted) in variables {
        let lines = client.run(&format!("SHOW GLOBAL VARIABLES LIKE '{name}';"))?;
        let found =
            lines.iter().find_map(|line| line.split_once('\t').filter(|(found, _)| found == name));
        let found = found.map_or("", |(_, value)| value);
        if found != wanted {
            let wanted = if wanted.is_empty() { "unset".to_owned() } else { format!("{wanted:?}") };
            return Err(SetupError::Unusable(format!(
                "{name} is {found:?} and not {wanted}: {advice}"
            )));
        }
    }
    Ok(())
}

/// In a line, without a file's content.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, mode, content: Content::Content(_) } => {
                write!(f, "write {}, mode {mode:o}", path.display())
            }
            Self::Write { path, mode, content: Content::CopyOf(from) } => {
                write!(f, "write {}, mode {mode:o}, a copy of {}", path.display(), from.display())
            }
            Self::Delete { path } => write!(f, "remove {}", path.display()),
            Self::Sql { statement, .. } => write!(f, "run in the server: {statement}"),
            Self::Check { variables, .. } => {
                let shown = |(name, value): (&String, &String)| {
                    if value.is_empty() {
                        format!("{name} unset")
                    } else {
                        format!("{name} = {value}")
                    }
                };
                let values: Vec<String> = variables.iter().map(shown).collect();
                write!(f, "check that the server has {}", values.join(", "))
            }
        }
    }
}

fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:o}"))
}

#[cfg(test)]
mod tests;
