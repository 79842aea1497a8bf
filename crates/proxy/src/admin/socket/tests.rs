use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;

use countersign_unix_socket::remove;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn it_is_private_and_so_is_the_directory_that_is_made_for_it() {
    let base = tempfile::tempdir().expect("a directory");
    let path = base.path().join("countersign/proxy.sock");
    let _listener = bind(&path).expect("a socket");
    assert_eq!((mode(&path), mode(&base.path().join("countersign"))), (0o600, 0o700));
    UnixStream::connect(&path).expect("a connection");
    remove(&path).expect("removed");
    assert!(!path.exists());
    remove(&path).expect("it is gone already");
}

#[test]
fn only_a_socket_that_nobody_listens_on_is_replaced() {
    let base = tempfile::tempdir().expect("a directory");
    let path = base.path().join("proxy.sock");
    let first = bind(&path).expect("a socket");
    assert!(bind(&path).expect_err("in use").detail.contains("another process listens"));
    UnixStream::connect(&path).expect("the first one is still there");
    drop(first);
    bind(&path).expect("a stale one is replaced");

    let file = base.path().join("file");
    fs::write(&file, "kept").expect("a file");
    assert!(bind(&file).expect_err("a file").detail.contains("not a socket"));
    remove(&file).expect("left alone");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "kept");
}

#[test]
fn no_symbolic_link_is_followed() {
    let base = tempfile::tempdir().expect("a directory");
    let elsewhere = base.path().join("elsewhere");
    DirBuilder::new().mode(0o700).create(&elsewhere).expect("a directory");
    symlink(&elsewhere, base.path().join("link")).expect("a link");
    bind(&base.path().join("link/proxy.sock")).expect_err("the directory is a link");
    symlink(elsewhere.join("proxy.sock"), base.path().join("proxy.sock")).expect("a link");
    assert!(
        bind(&base.path().join("proxy.sock")).expect_err("a link").detail.contains("not a socket")
    );
    assert_eq!(fs::read_dir(&elsewhere).expect("a directory").count(), 0);
}

#[test]
fn a_directory_in_which_others_write_is_refused() {
    let base = tempfile::tempdir().expect("a directory");
    let open = base.path().join("open");
    fs::create_dir(&open).expect("a directory");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("its mode");
    assert!(
        bind(&open.join("proxy.sock"))
            .expect_err("open to all")
            .detail
            .contains("others may write")
    );
}
