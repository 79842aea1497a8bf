//! The option file with the plugin's settings.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Variables, Wanted};
use crate::SetupError;

/// What a file of ours begins with; one that does not is never replaced or taken away.
pub(super) const MARK: &str =
    "# Written by `countersign setup plugin`; with --remove it takes this file away again.\n";

/// The longest path of a Unix socket that leaves room for the final NUL: unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// Where Debian and its relatives have both engines read files from, and the name of ours there.
const DIRECTORY: &str = "etc/mysql/conf.d";
const FILE: &str = "countersign.cnf";

/// The option files that servers read without being told.
const READ_BY_DEFAULT: [&str; 2] = ["etc/my.cnf", "etc/mysql/my.cnf"];

/// The file below `/etc/mysql/conf.d`, where that is there and one of the usual option files includes it; otherwise it has to be named.
#[must_use]
pub fn default_file(root: &Path) -> Option<PathBuf> {
    let directory = root.join(DIRECTORY);
    let included = Path::new("/").join(DIRECTORY);
    let includes = |line: &str| {
        line.trim()
            .strip_prefix("!includedir")
            .is_some_and(|named| Path::new(named.trim()) == included)
    };
    let is_included = |file: &&str| {
        fs::read_to_string(root.join(file)).is_ok_and(|text| text.lines().any(includes))
    };
    (directory.is_dir() && READ_BY_DEFAULT.iter().any(is_included)).then(|| directory.join(FILE))
}

/// The plugin's variables, as `SHOW VARIABLES` has them; one that is empty is to be unset. Those that are not here are the
/// administrator's own.
pub(super) fn variables(wanted: &Wanted) -> Result<Variables, SetupError> {
    let socket = wanted
        .verifier_socket
        .to_str()
        .filter(|text| is_plain(text) && text.starts_with('/') && text.len() <= MAX_SOCKET_PATH);
    let socket = socket.ok_or_else(|| {
        let socket = wanted.verifier_socket.display();
        SetupError::Unusable(format!(
            "--verifier-socket {socket} is not an absolute path of at most {MAX_SOCKET_PATH} letters, digits and /._@+-"
        ))
    })?;
    let user = wanted.verifier_user.as_deref();
    if let Some(user) = user.filter(|user| user.is_empty() || !is_plain(user)) {
        return Err(SetupError::Unusable(format!(
            "--verifier-user {user:?} is not a system user's name"
        )));
    }
    Ok(Variables::from([
        ("awsauthenticationplugin_instance".to_owned(), wanted.instance.to_string()),
        ("awsauthenticationplugin_socket".to_owned(), socket.to_owned()),
        ("awsauthenticationplugin_verifier_user".to_owned(), user.unwrap_or_default().to_owned()),
    ]))
}

/// What stands for itself in an option file: no quote, no `#`, no backslash, no space.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._@+-".contains(&byte))
}

/// The file. The names are in lower case, for MySQL knows no others, and with hyphens, as option files have them.
pub(super) fn text(variables: &Variables) -> String {
    let set = variables.iter().filter(|(_, value)| !value.is_empty());
    let lines: String =
        set.map(|(name, value)| format!("loose-{} = {value}\n", name.replace('_', "-"))).collect();
    format!("{MARK}[mysqld]\n{lines}")
}
