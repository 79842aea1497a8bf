//! The three files that make a stock PostgreSQL enforce IAM.

use std::net::SocketAddr;
use std::path::Path;

use countersign_core::name::InstanceId;

use crate::os_user;
use crate::tls::ServerFiles;

/// How the server asks the verifier.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HbaAuth<'a> {
    Pam { service: &'a str },
    Ldap { address: SocketAddr, instance: &'a InstanceId },
}

/// The names of the files.
pub(super) const SETTINGS: &str = "postgresql.conf";
pub(super) const ACCESS: &str = "pg_hba.conf";
pub(super) const ADMINISTRATORS: &str = "pg_ident.conf";

/// The settings. No value needs escaping: [`crate::Layout`] refuses paths that would.
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
         hba_file = '{etc}/{ACCESS}'\n\
         ident_file = '{etc}/{ADMINISTRATORS}'\n\
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
         # For a standby that was stopped meanwhile.\n\
         wal_keep_size = '256MB'\n\
         log_connections = on\n\
         log_line_prefix = '%m [%p] %u@%d %h '\n"
    )
}

/// `pg_hba.conf`. The order matters: a member of `rds_iam` meets IAM first, without TLS nothing, and never a password;
/// but `by_password_alone`.
pub(super) fn host_based_access(
    superuser: &str,
    gate: &HbaAuth<'_>,
    by_password_alone: Option<&str>,
) -> String {
    let method = match gate {
        HbaAuth::Pam { service } => format!("pam pamservice={service}"),
        HbaAuth::Ldap { address, instance } => {
            // The LDAP library makes a URL of them.
            let host = if address.is_ipv6() {
                format!("\"[{}]\"", address.ip())
            } else {
                address.ip().to_string()
            };
            let port = address.port();
            format!(
                "ldap ldapserver={host} ldapport={port} ldapprefix=\"cn=\" ldapsuffix=\",dc={instance}\""
            )
        }
    };
    let exempt = by_password_alone
        .map(|name| format!("host     all       \"{name}\"  all  scram-sha-256\n"))
        .unwrap_or_default();
    format!(
        "# Written by `countersign local up` at each start.\n\
         # TYPE   DATABASE  USER      ADDRESS  METHOD\n\
         local    all       {superuser}           peer map=countersign\n\
         local    replication  {superuser}        peer map=standby\n\
         {exempt}\
         hostssl  all       +rds_iam  all      {method}\n\
         host     all       +rds_iam  all      reject\n\
         host     all       all       all      scram-sha-256\n"
    )
}

/// `pg_ident.conf`: who may be the superuser over the Unix socket, and as which system user the standbys come there.
pub(super) fn administrators(superuser: &str, standby: Option<&str>) -> String {
    let administrators = os_user::administrators();
    let lines = administrators.iter().map(|name| format!("countersign  \"{name}\"  {superuser}\n"));
    let lines = lines.chain(standby.map(|name| format!("standby  \"{name}\"  {superuser}\n")));
    std::iter::once("# Written by `countersign local up` at each start.\n".to_owned())
        .chain(lines)
        .collect()
}

#[cfg(test)]
mod tests;
