use super::{CLIENTS, Version};

#[test]
fn every_pinned_version_is_found() {
    for client in CLIENTS.iter().filter(|client| matches!(client.version, Version::Pinned(..))) {
        let version = client.version().unwrap();
        assert_eq!(version.split('.').count(), 3, "{} {version}", client.name);
    }
}
