//! PAM service of an instance: a file in /etc/pam.d, which only root may write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_core::name::{InstanceId, ResourceId};
use rustix::fs::{Access, access};

use crate::error::at;
use crate::layout::{install_library, write_atomically};
use crate::{Layout, LocalError};

/// Directory of PAM services.
const SERVICES: &str = "/etc/pam.d";

/// Returns the service's name. PAM looks it up in lower case.
pub(crate) fn service(resource: &ResourceId) -> String {
    format!("countersign-{}", resource.as_str().to_ascii_lowercase())
}

/// Returns the module's path if PAM can be used, otherwise the reason why not.
///
/// The reason is not a failure: LDAP is the alternative.
pub(crate) fn check(module: Option<&Path>) -> Result<&Path, String> {
    let module = module.ok_or("cannot find pam_countersign.so: name it with --pam-module")?;
    access(SERVICES, Access::WRITE_OK)
        .map_err(|error| format!("cannot write {SERVICES}: {error}"))?;
    Ok(module)
}

/// Installs the module where the servers can load it.
pub(crate) fn install(module: &Path, layout: &Layout) -> Result<(), LocalError> {
    install_library(module, &layout.pam_module())
}

/// Writes the service file that names the module.
pub(crate) fn register(
    layout: &Layout,
    instance: &InstanceId,
    resource: &ResourceId,
) -> Result<(), LocalError> {
    let (so, socket) = (layout.pam_module(), layout.socket());
    let (so, socket) = (so.display(), socket.display());
    let text = format!(
        "# Written by `countersign local up` for the stack in {}; removed by `countersign local \
         down --wipe`.\n\
         auth    required {so} socket={socket} instance={instance}\n\
         account required {so}\n",
        layout.root().display(),
    );
    write_atomically(&path(resource), text.as_bytes(), 0o644, None)
}

/// Removes the service file.
pub(crate) fn remove(resource: &ResourceId) -> Result<(), LocalError> {
    let path = path(resource);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
        _ => Ok(()),
    }
}

fn path(resource: &ResourceId) -> PathBuf {
    Path::new(SERVICES).join(service(resource))
}
