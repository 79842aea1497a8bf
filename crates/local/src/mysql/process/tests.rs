use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::{holder, is_held, spawn, stop};

fn start(log: &Path) -> std::process::Child {
    let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let mut server = Command::new("sleep");
    server.arg("1000");
    spawn(server, file).unwrap()
}

#[test]
fn a_server_is_found_by_its_log_and_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("server.log");
    assert!(!is_held(&log), "there is no log yet");
    stop(&log, Duration::from_secs(60)).unwrap();

    let mut child = start(&log);
    assert!(is_held(&log));
    assert_eq!(holder(&log).map(|pid| pid.as_raw_nonzero().get().unsigned_abs()), Some(child.id()));
    stop(&log, Duration::from_secs(60)).unwrap();
    assert!(!is_held(&log));
    assert!(!child.wait().unwrap().success(), "it was ended by a signal");
    assert_eq!(holder(&log), None);
}
