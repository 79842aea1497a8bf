//! Configuration files that make a stock PostgreSQL server enforce IAM.

use std::net::SocketAddr;
use std::path::Path;

use countersign_core::name::InstanceId;

use crate::os_user;
use crate::tls::ServerFiles;

/// Authentication method of `rds_iam` members in `pg_hba.conf`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HbaAuth<'a> {
    Pam { service: &'a str },
    Ldap { address: SocketAddr, instance: &'a InstanceId },
}

/// Names of the files.
pub(super) const SETTINGS: &str = "postgresql.conf";
pub(super) const HBA: &str = "pg_hba.conf";
pub(super) const IDENT: &str = "pg_ident.conf";

/// Returns `postgresql.conf`. No value needs escaping: [`crate::Layout`] refuses such paths.
pub(super) fn settings(
    port: u16,
    data: &Path,
    sockets: &Path,
    etc: &Path,
    tls: &ServerFiles,
) -> String {
    let (data, sockets, etc) = (data.display(), sockets.display(), etc.display());
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    format!(
        "# Written by `countersign local up` at each start.\n\
         data_directory = '{data}'\n\
         hba_file = '{etc}/{HBA}'\n\
         ident_file = '{etc}/{IDENT}'\n\
         listen_addresses = 'localhost'\n\
         port = {port}\n\
         unix_socket_directories = '{sockets}'\n\
         unix_socket_permissions = 0700\n\
         ssl = on\n\
         ssl_min_protocol_version = 'TLSv1.2'\n\
         ssl_cert_file = '{certificate}'\n\
         ssl_key_file = '{key}'\n\
         password_encryption = 'scram-sha-256'\n\
         authentication_timeout = '15s'\n\
         # For a standby that was stopped for a while.\n\
         wal_keep_size = '256MB'\n\
         log_connections = on\n\
         log_line_prefix = '%m [%p] %u@%d %h '\n"
    )
}

/// Returns `pg_hba.conf`.
///
/// The order matters: a member of `rds_iam` uses IAM, over TLS only, and never a password. The
/// exception is `password_only_user`.
pub(super) fn hba_file(
    superuser: &str,
    hba: &HbaAuth<'_>,
    password_only_user: Option<&str>,
) -> String {
    let method = match hba {
        HbaAuth::Pam { service } => format!("pam pamservice={service}"),
        HbaAuth::Ldap { address, instance } => {
            // The LDAP library builds a URL from host and port.
            let host = if address.is_ipv6() {
                format!("\"[{}]\"", address.ip())
            } else {
                address.ip().to_string()
            };
            let port = address.port();
            format!(
                "ldap ldapserver={host} ldapport={port} ldapprefix=\"cn=\" \
                 ldapsuffix=\",dc={instance}\""
            )
        }
    };
    let exception = password_only_user
        .map(|name| format!("host     all       \"{name}\"  all  scram-sha-256\n"))
        .unwrap_or_default();
    format!(
        "# Written by `countersign local up` at each start.\n\
         # TYPE   DATABASE  USER      ADDRESS  METHOD\n\
         local    all       {superuser}           peer map=countersign\n\
         local    replication  {superuser}        peer map=standby\n\
         {exception}\
         hostssl  all       +rds_iam  all      {method}\n\
         host     all       +rds_iam  all      reject\n\
         host     all       all       all      scram-sha-256\n"
    )
}

/// Returns `pg_ident.conf`: the system users that may be the superuser over the Unix socket, and
/// the one as which standbys connect.
pub(super) fn ident_file(superuser: &str, standby: Option<&str>) -> String {
    let administrators = os_user::administrators();
    let lines = administrators.iter().map(|name| format!("countersign  \"{name}\"  {superuser}\n"));
    let lines = lines.chain(standby.map(|name| format!("standby  \"{name}\"  {superuser}\n")));
    std::iter::once("# Written by `countersign local up` at each start.\n".to_owned())
        .chain(lines)
        .collect()
}

#[cfg(test)]
mod tests;
