//! The PAM service of an instance: a file in /etc/pam.d, which only root may write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_core::name::{InstanceId, ResourceId};
use rustix::fs::{Access, access};

use crate::error::at;
use crate::layout::{install_library, write_atomically};
use crate::{Layout, LocalError};

/// Where PAM looks for services.
const SERVICES: &str = "/etc/pam.d";

/// The service's name: PAM looks for it in lower case.
pub(crate) fn service(resource: &ResourceId) -> String {
    format!("countersign-{}", resource.as_str().to_ascii_lowercase())
}

/// Whether PAM can be used here; the error says why not, which is no failure, for there is LDAP.
pub(crate) fn check(module: Option<&Path>) -> Result<&Path, String> {
    let module = module.ok_or("pam_countersign.so was not found: name it with --pam-module")?;
    access(SERVICES, Access::WRITE_OK)
        .map_err(|error| format!("{SERVICES} can't be written: {error}"))?;
    Ok(module)
}

/// Puts the module where the servers can load it.
pub(crate) fn install(module: &Path, layout: &Layout) -> Result<(), LocalError> {
    install_library(module, &layout.pam_module())
}

/// Writes the service that names the module.
pub(crate) fn register(
    layout: &Layout,
    instance: &InstanceId,
    resource: &ResourceId,
) -> Result<(), LocalError> {
    let (so, socket) = (layout.pam_module(), layout.socket());
    let (so, socket) = (so.display(), socket.display());
    let text = format!(
        "# Written by `countersign local up` for the stack in {}; `countersign local down --wipe` takes it away.\n\
         auth    required {so} socket={socket} instance={instance}\n\
         account required {so}\n",
        layout.root().display(),
    );
    write_atomically(&path(resource), text.as_bytes(), 0o644, None)
}

/// Takes the service away.
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
