use std::path::{Path, PathBuf};

use super::{HbaAuth, hba_file, settings};
use crate::tls::ServerFiles;

#[test]
fn hba_requires_iam_of_rds_iam_members_and_passwords_of_others() {
    let hba = HbaAuth::Pam { service: "countersign-db-abc" };
    insta::assert_snapshot!(hba_file("postgres", &hba, None), @r"
    # Written by `countersign local up` at each start.
    # TYPE   DATABASE  USER      ADDRESS  METHOD
    local    all       postgres           peer map=countersign
    local    replication  postgres        peer map=standby
    hostssl  all       +rds_iam  all      pam pamservice=countersign-db-abc
    host     all       +rds_iam  all      reject
    host     all       all       all      scram-sha-256
    ");
}

#[test]
fn ldap_suffix_carries_the_instance() {
    let ldap = HbaAuth::Ldap {
        address: "127.0.0.1:3890".parse().unwrap(),
        instance: &"orders".parse().unwrap(),
    };
    let line = hba_file("postgres", &ldap, None);
    let six = HbaAuth::Ldap {
        address: "[::1]:3890".parse().unwrap(),
        instance: &"orders".parse().unwrap(),
    };
    assert!(hba_file("postgres", &six, None).contains("ldapserver=\"[::1]\" ldapport=3890"));
    assert!(
        line.contains(
            "ldap ldapserver=127.0.0.1 ldapport=3890 ldapprefix=\"cn=\" ldapsuffix=\",dc=orders\"\n"
        ),
        "{line}"
    );
}

#[test]
fn server_listens_on_loopback_only() {
    let tls = ServerFiles {
        certificate: PathBuf::from("/d/server.pem"),
        key: PathBuf::from("/d/server.key"),
    };
    let text = settings(5432, Path::new("/d/data"), Path::new("/d/run"), Path::new("/d/etc"), &tls);
    assert!(
        text.contains("listen_addresses = 'localhost'\n") && text.contains("ssl = on\n"),
        "{text}"
    );
}
