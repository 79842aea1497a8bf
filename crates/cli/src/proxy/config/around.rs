//! What a configuration refers to: files beside it, variables of the environment.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use countersign_config_file::{DiagnosticSink, Location};
use zeroize::Zeroizing;

/// The largest file of a password or of variables that is read, in bytes.
const MAX_SIZE: u64 = 64 << 10;

/// Where a configuration stands.
pub(crate) struct ConfigContext<'a> {
    /// What relative paths are relative to.
    pub(crate) directory: PathBuf,
    /// The environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What was read: a change of any of them is a change of the configuration.
    pub(crate) read: RefCell<Vec<PathBuf>>,
}

impl<'a> ConfigContext<'a> {
    pub(crate) fn new(directory: &Path, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { directory: directory.to_owned(), variable, read: RefCell::default() }
    }

    /// A path as it is written, from here.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// The text of a file, which may be a secret.
    pub(super) fn text(
        &self,
        path: &str,
        place: &Location,
        report: &DiagnosticSink,
    ) -> Option<Zeroizing<String>> {
        let path = self.path(path);
        self.read.borrow_mut().push(path.clone());
        let mut text = Zeroizing::new(String::new());
        let read = fs::File::open(&path)
            .and_then(|file| file.take(MAX_SIZE + 1).read_to_string(&mut text));
        let problem = match read {
            Ok(size) if u64::try_from(size).is_ok_and(|size| size <= MAX_SIZE) => {
                return Some(text);
            }
            Ok(_) => format!("{} has more than {MAX_SIZE} bytes", path.display()),
            Err(error) => format!("{} can't be read: {error}", path.display()),
        };
        report.add(place, problem);
        None
    }
}

impl std::fmt::Debug for ConfigContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("directory", &self.directory).finish_non_exhaustive()
    }
}
