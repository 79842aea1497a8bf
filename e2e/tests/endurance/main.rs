//! What only shows after many logins, or under a checker of memory. Each test has the machine to itself.

mod fake;
mod memcheck;
mod soak;
mod wire;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_e2e::Stack;

static MACHINE: Mutex<()> = Mutex::new(());

/// To be held for as long as a test runs.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the server's process, as it wrote it down.
fn pid_of(stack: &Stack) -> u32 {
    let file = stack
        .directory()
        .join("instances")
        .join(stack.way().engine().to_string())
        .join("run/mysqld.pid");
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}
