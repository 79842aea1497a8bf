//! Working directory and variables of the process, and the configuration file found with them.

use std::path::{Path, PathBuf};

use countersign_core::failure::{Class, Failure};

/// Working directory and variables.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a> {
    pub(super) working_directory: &'a Path,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("working_directory", &self.working_directory)
            .finish_non_exhaustive()
    }
}

impl Environment<'_> {
    /// Returns the configuration file: `named`, else countersign.toml of the working directory,
    /// else that of the user.
    pub(super) fn config_file(&self, named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
        if let Some(named) = named {
            let path = self.working_directory.join(named);
            if path.exists() {
                return Ok(Some(path));
            }
            let detail = format!("cannot find the configuration file {}", path.display());
            return Err(Failure::new(Class::Configuration, detail));
        }
        let directory =
            |name: &str| (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = directory("XDG_CONFIG_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".config")))
            .map(|directory| directory.join("countersign/countersign.toml"));
        let local = self.working_directory.join("countersign.toml");
        Ok([Some(local), user].into_iter().flatten().find(|path| path.exists()))
    }
}
