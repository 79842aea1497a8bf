use std::path::{Path, PathBuf};

use super::{HbaAuth, host_based_access, settings};
use crate::tls::ServerFiles;

#[test]
fn members_of_rds_iam_meet_iam_then_nothing_and_others_their_password() {
    insta::assert_snapshot!(host_based_access("postgres", &HbaAuth::Pam { service: "countersign-db-abc" }, None), @r"
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
fn ldap_carries_the_instance_in_its_suffix() {
    let gate = HbaAuth::Ldap {
        address: "127.0.0.1:3890".parse().unwrap(),
        instance: &"orders".parse().unwrap(),
    };
    let line = host_based_access("postgres", &gate, None);
    let six = HbaAuth::Ldap {
        address: "[::1]:3890".parse().unwrap(),
        instance: &"orders".parse().unwrap(),
    };
    assert!(
        host_based_access("postgres", &six, None).contains("ldapserver=\"[::1]\" ldapport=3890")
    );
    assert!(
        line.contains(
            "ldap ldapserver=127.0.0.1 ldapport=3890 ldapprefix=\"cn=\" ldapsuffix=\",dc=orders\"\n"
        ),
        "{line}"
    );
}

#[test]
fn no_setting_opens_more_than_this_machine() {
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
