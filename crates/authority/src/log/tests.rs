//! Lines that a crash or a full disk cut short.

use std::fs;
use std::io::{self, Write};
use std::time::SystemTime;

use countersign_core::failure::{AuditOutcome, Class};
use countersign_core::name::Engine;
use tempfile::TempDir;

use super::{AccessLog, AuditRecord, DECISIONS, Lines, RDS_ERRORS};

fn denial() -> AuditRecord {
    let mut record = AuditRecord::open(
        SystemTime::UNIX_EPOCH,
        Engine::Postgres,
        "orders".parse().unwrap(),
        "jane".parse().unwrap(),
    );
    (record.outcome, record.class) = (AuditOutcome::Denied, Some(Class::Expired));
    record
}

/// Returns the last lines of both files after a denial, if the files contain `left` before.
fn after(left: &str) -> [Vec<String>; 2] {
    let directory = TempDir::new().unwrap();
    for file in [DECISIONS, RDS_ERRORS] {
        fs::write(directory.path().join(file), left).unwrap();
    }
    AccessLog::open(directory.path()).unwrap().write(&denial()).unwrap();
    [DECISIONS, RDS_ERRORS].map(|file| {
        fs::read_to_string(directory.path().join(file))
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    })
}

#[test]
fn a_torn_line_does_not_affect_the_next() {
    let [decisions, errors] = after("");
    for left in ["{\"version\":1,\"ti", "{\"version\":1,\"ti\n"] {
        let half = left.trim_end().to_owned();
        assert_eq!(
            after(left),
            [vec![half.clone(), decisions[0].clone()], vec![half, errors[0].clone()]]
        );
    }
    assert_eq!(serde_json::from_str::<AuditRecord>(&decisions[0]).unwrap(), denial());
}

/// A disk with room for a number of bytes.
struct Disk {
    room: usize,
    written: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.written.extend_from_slice(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_cut_short_by_a_full_disk_is_an_error_and_does_not_affect_the_next() {
    for (room, written) in
        [(4, "one\ntwo\nthree\n"), (5, "one\nt\ntwo\nthree\n"), (7, "one\ntwo\ntwo\nthree\n")]
    {
        let mut lines = Lines::new(Disk { room, written: Vec::new() });
        lines.add("one").unwrap();
        lines.add("two").unwrap_err();
        lines.add("two").unwrap_err();
        lines.out.room = 1000;
        lines.add("two").unwrap();
        lines.add("three").unwrap();
        assert_eq!(String::from_utf8(lines.out.written).unwrap(), written);
    }
}

#[test]
fn each_instance_has_its_own_denials_until_they_are_removed() {
    let directory = TempDir::new().unwrap();
    let log = AccessLog::open(directory.path()).unwrap();
    let (orders, unknown) = ("orders".parse().unwrap(), denial());
    log.write(&unknown).unwrap();
    assert_eq!(log.denials(&orders).unwrap(), None, "an unknown instance has no file");
    let mut known = denial();
    known.resource =
        Some("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane".parse().unwrap());
    log.write(&known).unwrap();
    let text = String::from_utf8(log.read_denials(&orders, 0, 1000).unwrap()).unwrap();
    assert!(
        text.contains("user jane because the token age") && text.lines().count() == 1,
        "{text}"
    );
    assert_eq!(log.read_denials(&orders, 5, 3).unwrap().len(), 3);
    log.remove_denials(&orders).unwrap();
    log.remove_denials(&orders).unwrap();
    assert_eq!(log.denials(&orders).unwrap(), None);
}
