//! Certificate authority of the stack, and server certificates signed by it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::error::at;
use crate::layout::write_atomically;
use crate::os_user::RunAs;
use crate::{Layout, LocalError};

/// Lifetime of the CA. A server's certificate is issued at each start.
const CA_LIFETIME: Duration = Duration::days(3650);
const SERVER_LIFETIME: Duration = Duration::days(398);

/// Certificates are valid from a little before they are issued, because clocks differ.
const BACKDATE: Duration = Duration::hours(1);

/// Subject alternative names of a server's certificate. A token may be signed for each of them.
pub(crate) const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Paths of a server's certificate and key.
#[derive(Debug, Clone)]
pub(crate) struct ServerFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// CA of a stack, created if there is none.
#[derive(Debug)]
pub(crate) struct LocalCa(Issuer<'static, KeyPair>);

impl LocalCa {
    pub(crate) fn open(layout: &Layout) -> Result<Self, LocalError> {
        let (certificate, key) = (layout.ca(), layout.ca_key());
        if !(certificate.exists() && key.exists()) {
            let pair = KeyPair::generate()?;
            let issued = ca_parameters()?.self_signed(&pair)?;
            // The key first: a certificate without its key is created anew at the next start.
            write_atomically(&key, pair.serialize_pem().as_bytes(), 0o600, None)?;
            write_atomically(&certificate, issued.pem().as_bytes(), 0o644, None)?;
        }
        let pair = KeyPair::from_pem(&fs::read_to_string(&key).map_err(at(&key))?)?;
        Ok(Self(Issuer::new(ca_parameters()?, pair)))
    }

    /// Issues a key and a certificate for `names` in `directory`.
    ///
    /// The key is readable by its owner, and by the server's group if that differs: PostgreSQL
    /// accepts a key that root owns in that case.
    pub(crate) fn issue(
        &self,
        names: &[&str],
        directory: &Path,
        server: &RunAs,
    ) -> Result<ServerFiles, LocalError> {
        let files = ServerFiles {
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        };
        let pair = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(
            names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        )?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, names.first().copied().unwrap_or("localhost"));
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (parameters.not_before, parameters.not_after) = validity(SERVER_LIFETIME);
        let issued = parameters.signed_by(&pair, &self.0)?;
        let (_, group) = server.ids();
        write_atomically(
            &files.key,
            pair.serialize_pem().as_bytes(),
            if group.is_some() { 0o640 } else { 0o600 },
            group,
        )?;
        write_atomically(&files.certificate, issued.pem().as_bytes(), 0o644, None)?;
        Ok(files)
    }
}

fn ca_parameters() -> Result<CertificateParams, LocalError> {
    let mut parameters = CertificateParams::new(Vec::<String>::new())?;
    parameters.distinguished_name.push(DnType::CommonName, "Countersign local CA");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (parameters.not_before, parameters.not_after) = validity(CA_LIFETIME);
    Ok(parameters)
}

fn validity(lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - BACKDATE, now + lifetime)
}
