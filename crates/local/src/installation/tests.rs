use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use countersign_core::name::Engine;

use super::{Installation, series};

/// Creates the files of an unpacked version.
fn unpack(unpacked: &Path, version: &str, program: &str) {
    let bin = unpacked.join(format!("postgres-{version}/usr/lib/postgresql/{version}/bin"));
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(program), "").unwrap();
}

/// Creates a program that prints a version as the real servers do.
fn server(unpacked: &Path, name: &str, program: &str, says: &str) {
    let directory = unpacked.join(name).join("usr/sbin");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(program), format!("#!/bin/sh\necho '{says}'\n")).unwrap();
    fs::set_permissions(directory.join(program), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn requested_or_newest_version_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let unpacked = directory.path();
    unpack(unpacked, "97", "postgres");
    unpack(unpacked, "98", "postgres");
    unpack(unpacked, "99", "psql");
    let find = |wanted: Option<&str>| {
        Installation::find(Engine::Postgres, wanted.map(|text| text.parse().unwrap()), unpacked)
    };
    assert_eq!(find(None).unwrap().version.to_string(), "98", "a client alone is no server");
    assert_eq!(find(Some("97")).unwrap().version.to_string(), "97");
    let missing = find(Some("99")).unwrap_err().to_string();
    assert!(
        missing.contains("local install --engine postgres:99") && missing.contains("97, 98"),
        "{missing}"
    );
}

#[test]
fn engine_is_read_from_the_version_output() {
    let directory = tempfile::tempdir().unwrap();
    let unpacked = directory.path();
    server(
        unpacked,
        "mysql-97.1",
        "mysqld",
        "/usr/sbin/mysqld  Ver 97.1.4-2 for Linux on x86_64 ((Debian))",
    );
    server(
        unpacked,
        "mariadb-98.2",
        "mysqld",
        "mysqld  Ver 98.2.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
    );
    server(
        unpacked,
        "mariadb-98.2",
        "mariadbd",
        "mariadbd  Ver 98.2.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
    );
    let newest = |engine| Installation::find(engine, None, unpacked).unwrap().version.to_string();
    assert_eq!(
        (newest(Engine::Mysql), newest(Engine::Mariadb)),
        ("97.1".to_owned(), "98.2".to_owned())
    );
    let major = Installation::find(Engine::Mysql, Some("97".parse().unwrap()), unpacked).unwrap();
    assert_eq!(major.program("mysqld"), unpacked.join("mysql-97.1/usr/sbin/mysqld"));
    let missing = Installation::find(Engine::Mysql, Some("96.4".parse().unwrap()), unpacked)
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("cannot find MySQL 96.4") && missing.contains("--engine mysql:96.4"),
        "{missing}"
    );
}

#[test]
fn programs_without_version_are_ignored() {
    for said in ["", "Ver", "Ver 9", "Ver x.y", "mysqld Ver 10.11.1-MariaDB"] {
        assert_eq!(series(Engine::Mysql, said), None, "{said}");
    }
}
