//! Tests of many logins and under a memory checker. Tests run one at a time.

mod fake;
mod memcheck;
mod soak;
mod wire;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_e2e::Stack;

static MACHINE: Mutex<()> = Mutex::new(());

/// Returns the lock that each test holds while it runs.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the server's process id from its PID file.
fn pid_of(stack: &Stack) -> u32 {
    let file = stack
        .directory()
        .join("instances")
        .join(stack.kind().engine().to_string())
        .join("run/mysqld.pid");
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}
