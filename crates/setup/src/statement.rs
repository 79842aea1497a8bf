//! A statement, and what it waits for.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Client, SetupError};

/// How long to wait between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// SQL that the server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What has to be over before it runs.
    #[serde(skip)]
    pub after: Option<WaitCondition>,
}

/// Something in the server that comes to its end without being told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitCondition {
    /// It is over once this query has no row.
    pub query: &'static str,
    /// How long to wait for that.
    pub patience: Duration,
    /// What it is, and what to do where it lasts longer.
    pub advice: &'static str,
}

impl Statement {
    /// Waits for what it has to wait for, and runs it.
    pub(crate) fn run(&self, client: &Client) -> Result<(), SetupError> {
        if let Some(ending) = &self.after {
            ending.wait(client)?;
        }
        client.run(&self.text).map(drop)
    }
}

impl From<&str> for Statement {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), after: None }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl WaitCondition {
    fn wait(&self, client: &Client) -> Result<(), SetupError> {
        let start = Instant::now();
        while !client.run(self.query)?.is_empty() {
            if start.elapsed() >= self.patience {
                return Err(SetupError::Unusable(format!(
                    "after {} s, {}",
                    self.patience.as_secs(),
                    self.advice
                )));
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
