//! The option file with the plugin's settings.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_core::name::InstanceId;

use super::server::Variables;
use crate::SetupError;

/// First line of a file that this program wrote. A file without it is never replaced or removed.
pub(super) const MARK: &str =
    "# Written by `countersign setup plugin`; `countersign setup plugin --remove` removes it.\n";

/// Maximum length of a Unix socket's path, without the final NUL: unix(7).
const MAX_SOCKET_PATH: usize = 107;

/// Directory from which Debian's servers of both engines include option files, and the file name in
/// it.
const DIRECTORY: &str = "etc/mysql/conf.d";
const FILE: &str = "countersign.cnf";

/// The option files that servers read by default.
const READ_BY_DEFAULT: [&str; 2] = ["etc/my.cnf", "etc/mysql/my.cnf"];

/// Options of an installation.
#[derive(Debug, Clone)]
pub struct InstallOptions {
    /// Path of the library to copy.
    pub library: PathBuf,
    /// Path of the option file to write. The server must read it.
    pub config_file: PathBuf,
    /// Path of the verifier's socket.
    pub verifier_socket: PathBuf,
    /// Name of the instance in requests to the verifier.
    pub instance: InstanceId,
    /// System user that the verifier may run as, in addition to root and the server's own user.
    pub verifier_user: Option<String>,
}

/// Returns the file in `/etc/mysql/conf.d` if that directory exists and one of the default option
/// files includes it; otherwise the caller must name a file.
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

/// Returns the plugin's variables, as `SHOW VARIABLES` lists them. An empty value means unset.
/// Other variables are left to the administrator.
pub(super) fn variables(options: &InstallOptions) -> Result<Variables, SetupError> {
    let socket = options
        .verifier_socket
        .to_str()
        .filter(|text| is_plain(text) && text.starts_with('/') && text.len() <= MAX_SOCKET_PATH);
    let socket = socket.ok_or_else(|| {
        let socket = options.verifier_socket.display();
        SetupError::Unusable(format!(
            "--verifier-socket {socket} must be an absolute path of at most {MAX_SOCKET_PATH} \
             letters, digits and /._@+-"
        ))
    })?;
    let user = options.verifier_user.as_deref();
    if let Some(user) = user.filter(|user| user.is_empty() || !is_plain(user)) {
        return Err(SetupError::Unusable(format!(
            "--verifier-user {user:?} is not a valid name of a system user"
        )));
    }
    Ok(Variables::from([
        ("awsauthenticationplugin_instance".to_owned(), options.instance.to_string()),
        ("awsauthenticationplugin_socket".to_owned(), socket.to_owned()),
        ("awsauthenticationplugin_verifier_user".to_owned(), user.unwrap_or_default().to_owned()),
    ]))
}

/// Returns true if an option file can hold the text unquoted: no quote, `#`, backslash or space.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._@+-".contains(&byte))
}

/// Formats the file. The names are in lower case, because MySQL requires it, and hyphenated, as
/// usual in option files.
pub(super) fn text(variables: &Variables) -> String {
    let set = variables.iter().filter(|(_, value)| !value.is_empty());
    let lines: String =
        set.map(|(name, value)| format!("loose-{} = {value}\n", name.replace('_', "-"))).collect();
    format!("{MARK}[mysqld]\n{lines}")
}
