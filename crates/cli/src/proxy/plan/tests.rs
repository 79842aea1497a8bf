use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::settings::{ClientAuth, Listen, ServerAuth, TargetSettings};
use tempfile::TempDir;

use super::{Environment, Plan, make};
use crate::proxy::Request;

mod forms;
mod mistakes;
mod precedence;

/// What stands around a plan in a test.
#[derive(Default)]
struct Case {
    directory: Option<TempDir>,
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    request: Request,
}

impl Case {
    fn with(file: &str) -> Self {
        Self::default().file("countersign.toml", file)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let directory = self.directory.get_or_insert_with(|| tempfile::tempdir().unwrap());
        fs::write(directory.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn root(&self) -> PathBuf {
        self.directory
            .as_ref()
            .map_or_else(|| PathBuf::from("/nonexistent"), |directory| directory.path().to_owned())
    }

    fn plan(&self, arguments: &[&str]) -> Result<Plan, Failure> {
        self.after(arguments, None)
    }

    fn after(&self, arguments: &[&str], before: Option<&Plan>) -> Result<Plan, Failure> {
        let request =
            Line::try_parse_from(std::iter::once("proxy").chain(arguments.iter().copied()))
                .unwrap()
                .request;
        let variable = |name: &str| self.variables.get(name).cloned();
        let environment = Environment { working_directory: &self.root(), variable: &variable };
        make(&request, environment, before.map(|plan| &plan.settings))
    }

    fn target(&self, arguments: &[&str]) -> TargetSettings {
        let mut targets = self.plan(arguments).unwrap().settings.targets;
        assert_eq!(targets.len(), 1, "{targets:?}");
        targets.remove(0)
    }

    /// What is wrong, the directory left out.
    fn refused(&self, arguments: &[&str]) -> String {
        let failure = self.plan(arguments).map(|plan| plan.settings).unwrap_err();
        assert!(matches!(failure.class, Class::Configuration | Class::Usage), "{failure:?}");
        failure.detail.replace(&format!("{}/", self.root().display()), "")
    }
}

/// Where a target listens, as a text.
fn listens(target: &TargetSettings) -> Vec<String> {
    let text = |listen: &Listen| match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Activated(name) => name.clone(),
    };
    target.listen.iter().map(text).collect()
}

fn is_password(auth: &ClientAuth, text: &str) -> bool {
    matches!(auth, ClientAuth::Password(password) if password.0.ct_eq(text))
}

fn logs_in_with(target: &TargetSettings, text: &str) -> bool {
    matches!(&target.server_auth, ServerAuth::Password(password) if password.0.ct_eq(text))
}
