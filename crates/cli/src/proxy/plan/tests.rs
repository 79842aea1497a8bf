use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::settings::{ClientAuth, Listen, ServerAuth, TargetSettings};
use tempfile::TempDir;

use super::{Environment, Plan};
use crate::proxy::options::Request;

mod compat;
mod errors;
mod precedence;

/// Files and variables of a test.
#[derive(Default)]
struct Fixture {
    directory: Option<TempDir>,
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    request: Request,
}

impl Fixture {
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
        self.reload(arguments, None)
    }

    fn reload(&self, arguments: &[&str], previous: Option<&Plan>) -> Result<Plan, Failure> {
        let request =
            CommandLine::try_parse_from(std::iter::once("proxy").chain(arguments.iter().copied()))
                .unwrap()
                .request;
        let variable = |name: &str| self.variables.get(name).cloned();
        let environment = Environment { working_directory: &self.root(), variable: &variable };
        Plan::resolve(&request, environment, previous.map(|plan| &plan.settings))
    }

    fn target(&self, arguments: &[&str]) -> TargetSettings {
        let mut targets = self.plan(arguments).unwrap().settings.targets;
        assert_eq!(targets.len(), 1, "{targets:?}");
        targets.remove(0)
    }

    /// Returns the error of an invalid configuration, without the temporary directory.
    fn error(&self, arguments: &[&str]) -> String {
        let failure = self.plan(arguments).map(|plan| plan.settings).unwrap_err();
        assert!(matches!(failure.class, Class::Configuration | Class::Usage), "{failure:?}");
        failure.detail.replace(&format!("{}/", self.root().display()), "")
    }
}

fn listeners(target: &TargetSettings) -> Vec<String> {
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
