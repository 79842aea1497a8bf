use std::fs;
use std::path::Path;

use super::Installation;

/// Lays out what an unpacked version looks like.
fn unpack(unpacked: &Path, version: &str, program: &str) {
    let bin = unpacked.join(format!("postgresql-{version}/usr/lib/postgresql/{version}/bin"));
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(program), "").unwrap();
}

#[test]
fn the_version_asked_for_or_the_newest_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let unpacked = directory.path();
    unpack(unpacked, "97", "postgres");
    unpack(unpacked, "98", "postgres");
    unpack(unpacked, "99", "psql");
    assert_eq!(Installation::find(None, unpacked).unwrap().version, 98, "a client alone is no server");
    assert_eq!(Installation::find(Some(97), unpacked).unwrap().version, 97);
    let missing = Installation::find(Some(99), unpacked).unwrap_err().to_string();
    assert!(missing.contains("local install --engine postgres:99") && missing.contains("97, 98"), "{missing}");
}
