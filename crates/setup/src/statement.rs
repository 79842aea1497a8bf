//! SQL statements, and conditions that they wait for.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Client, SetupError};

/// Interval between two checks of a condition.
const INTERVAL: Duration = Duration::from_millis(100);

/// A SQL statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Statement {
    /// Text of the statement.
    pub text: String,
    /// Condition to wait for before it runs.
    #[serde(skip)]
    pub after: Option<WaitCondition>,
}

/// A state of the server that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitCondition {
    /// Query that returns no rows after the end of the state.
    pub query: &'static str,
    /// Maximum time to wait.
    pub timeout: Duration,
    /// Description of the state, and the remedy after the timeout.
    pub remedy: &'static str,
}

impl Statement {
    /// Waits for the condition, then runs the statement.
    pub(crate) fn run(&self, client: &Client) -> Result<(), SetupError> {
        if let Some(condition) = &self.after {
            condition.wait(client)?;
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
            if start.elapsed() >= self.timeout {
                return Err(SetupError::Unusable(format!(
                    "timed out after {} s: {}",
                    self.timeout.as_secs(),
                    self.remedy
                )));
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
