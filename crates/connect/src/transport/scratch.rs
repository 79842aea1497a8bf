//! Buffers that all connections of a thread share: they are in use only while a connection is being polled.

use std::cell::RefCell;

/// What is read at once: the more, the fewer system calls a large result takes, and the later its receiver can begin on it.
const READ: usize = 32 * 1024;

/// The buffers of a thread.
pub struct Scratch {
    /// What a socket is read into.
    pub incoming: Vec<u8>,
    /// What has been decrypted.
    pub plain: Vec<u8>,
    /// What has been encrypted.
    pub outgoing: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch")
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { incoming: vec![0; READ], plain: Vec::new(), outgoing: Vec::new() });
}

impl Scratch {
    /// Lends the thread's buffers. Whoever polls a connection within takes them only once.
    pub fn with<T>(use_them: impl FnOnce(&mut Self) -> T) -> T {
        SCRATCH.with_borrow_mut(use_them)
    }
}
