use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Layout, write_atomically};

#[test]
fn paths_that_need_escaping_are_refused() {
    for path in [
        "relative",
        "/a b",
        "/a'b",
        "/a\"b",
        "/a[b",
        "/a\\b",
        "/a\nb",
        "/a#b",
        "/a,b",
        "/aéb",
        &format!("/{}", "x".repeat(90)),
    ] {
        let refused = Layout::new(Path::new(path)).unwrap_err().to_string();
        assert!(refused.contains("--dir"), "{refused}");
    }
    assert!(Layout::new(Path::new("/var/lib/countersign/local")).is_ok());
}

#[test]
fn write_is_atomic_and_sets_the_mode() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    for (text, mode) in [("one, and a long one", 0o644), ("two", 0o600)] {
        write_atomically(&path, text.as_bytes(), mode, None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn foreign_directories_are_refused_and_foreign_files_survive_wipe() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| Layout::new(&directory.path().join(name)).unwrap();
    let (fresh, foreign, open) = (at("fresh"), at("foreign"), at("open"));
    std::fs::create_dir(foreign.root()).unwrap();
    std::fs::write(foreign.root().join("precious"), "hi").unwrap();
    assert!(foreign.create().unwrap_err().to_string().contains("holds files that are not a stack"));
    std::fs::create_dir(open.root()).unwrap();
    std::fs::set_permissions(open.root(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open.create().unwrap_err().to_string().contains("can be changed by other users"));

    fresh.create().unwrap();
    std::fs::write(fresh.lock_file(), "").unwrap();
    fresh.create().unwrap();
    std::fs::write(fresh.root().join("precious"), "hi").unwrap();
    fresh.wipe().unwrap();
    assert_eq!(std::fs::read_to_string(fresh.root().join("precious")).unwrap(), "hi");
    assert_eq!(std::fs::read_dir(fresh.root()).unwrap().count(), 1);
}
