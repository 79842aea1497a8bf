use std::path::Path;

use super::{CLIENTS, Place, Version, number};

#[test]
fn every_pinned_version_is_found() {
    let place = Place { tools: Path::new(""), mysql: Path::new("") };
    for client in CLIENTS.iter().filter(|client| matches!(client.version, Version::Pinned(..))) {
        let version = client.version(&place).unwrap();
        assert_eq!(version.split('.').count(), 3, "{} {version}", client.name);
    }
}

#[test]
fn a_version_ends_where_it_does() {
    assert_eq!(number("10.11.19-MariaDB, for debian-linux-gnu").as_deref(), Some("10.11.19"));
    assert_eq!(number("9.7.4").as_deref(), Some("9.7.4"));
    assert_eq!(number("none"), None);
}
