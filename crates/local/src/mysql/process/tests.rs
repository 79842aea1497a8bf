use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::{end, holder, is_held, spawn};

fn start(log: &Path) -> std::process::Child {
    let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let mut server = Command::new("sleep");
    server.arg("1000");
    spawn(server, file).unwrap()
}

#[test]
fn server_is_found_by_its_log_lock_and_stopped() {
    let directory = tempfile::tempdir().unwrap();
    // By another path than the one that the process was started with.
    let (place, link) = (directory.path().join("place"), directory.path().join("link"));
    std::fs::create_dir(&place).unwrap();
    std::os::unix::fs::symlink(&place, &link).unwrap();
    let log = link.join("server.log");
    let stop = |signal| end(&log, signal, Duration::from_secs(60)).unwrap();
    assert!(!is_held(&log), "there is no log yet");
    stop(Signal::TERM);

    let mut child = start(&place.join("server.log"));
    assert!(is_held(&log));
    assert_eq!(holder(&log).map(|pid| pid.as_raw_nonzero().get().unsigned_abs()), Some(child.id()));
    stop(Signal::TERM);
    assert!(!is_held(&log));
    assert!(!child.wait().unwrap().success(), "it was ended by a signal");
    assert_eq!(holder(&log), None);
}
