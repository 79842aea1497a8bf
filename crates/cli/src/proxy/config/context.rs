//! Surroundings of a configuration: its directory and the environment.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use countersign_config_file::{DiagnosticSink, Location};
use zeroize::Zeroizing;

/// Maximum size in bytes of a password file or env file.
const MAX_SIZE: u64 = 64 << 10;

/// Base directory and environment of a configuration.
pub(crate) struct ConfigContext<'a> {
    /// Base of relative paths.
    directory: PathBuf,
    /// Variables of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Files that were read. A change of one changes the configuration.
    pub(crate) files_read: RefCell<Vec<PathBuf>>,
}

impl<'a> ConfigContext<'a> {
    pub(crate) fn new(directory: &Path, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { directory: directory.to_owned(), variable, files_read: RefCell::default() }
    }

    /// Resolves a path against the base directory.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// Reads a file that may hold a secret.
    pub(super) fn read_file(
        &self,
        path: &str,
        location: &Location,
        sink: &DiagnosticSink,
    ) -> Option<Zeroizing<String>> {
        let path = self.path(path);
        self.files_read.borrow_mut().push(path.clone());
        let mut text = Zeroizing::new(String::new());
        let read = fs::File::open(&path)
            .and_then(|file| file.take(MAX_SIZE + 1).read_to_string(&mut text));
        let problem = match read {
            Ok(size) if u64::try_from(size).is_ok_and(|size| size <= MAX_SIZE) => {
                return Some(text);
            }
            Ok(_) => format!("{} is larger than {MAX_SIZE} bytes", path.display()),
            Err(error) => format!("cannot read {}: {error}", path.display()),
        };
        sink.add(location, problem);
        None
    }
}

impl std::fmt::Debug for ConfigContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigContext").field("directory", &self.directory).finish_non_exhaustive()
    }
}
