use crate::{Layout, LocalError};

use super::{Lock, State};

fn layout(directory: &tempfile::TempDir) -> Layout {
    Layout::new(directory.path()).unwrap()
}

#[test]
fn lock_has_one_holder_until_dropped() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Lock::holder(&layout(&directory)).unwrap(), None);
    let held = Lock::try_take(&layout(&directory)).unwrap().unwrap();
    assert_eq!(Lock::holder(&layout(&directory)).unwrap(), Some(rustix::process::getpid()));
    assert!(Lock::try_take(&layout(&directory)).unwrap().is_none());
    drop(held);
    assert!(Lock::try_take(&layout(&directory)).unwrap().is_some());
}

#[test]
fn stack_runs_only_with_lock_and_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let layout = layout(&directory);
    assert!(matches!(State::read_running(&layout), Err(LocalError::NotRunning(_))));
    let _held = Lock::try_take(&layout).unwrap();
    assert!(
        matches!(State::read_running(&layout), Err(LocalError::NotRunning(_))),
        "it is starting"
    );
    std::fs::write(layout.state_file(), "{\"pid\":").unwrap();
    assert!(State::read_running(&layout).unwrap_err().to_string().contains("state.json"));
}
