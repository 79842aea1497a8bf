use std::fs;

use super::Watch;

#[test]
fn a_change_is_noticed_once_it_has_settled() {
    let directory = tempfile::tempdir().unwrap();
    let (file, other) = (directory.path().join("a"), directory.path().join("b"));
    fs::write(&file, "1").unwrap();
    let mut watch = Watch::new(vec![file.clone(), other.clone()]);
    assert!(!watch.has_changed());
    fs::write(&file, "12").unwrap();
    assert!(!watch.has_changed());
    fs::write(&file, "123").unwrap();
    assert!(!watch.has_changed());
    assert!(watch.has_changed());
    assert!(!watch.has_changed());
    fs::write(&other, "").unwrap();
    assert!(!watch.has_changed());
    assert!(watch.has_changed());
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new, link) =
        (directory.path().join("old"), directory.path().join("new"), directory.path().join("link"));
    [&old, &new].iter().for_each(|file| fs::write(file, "same").unwrap());
    std::os::unix::fs::symlink(&old, &link).unwrap();
    let mut watch = Watch::new(vec![link.clone()]);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&new, &link).unwrap();
    assert!(!watch.has_changed());
    assert!(watch.has_changed());
}
