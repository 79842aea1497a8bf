//! Buffers that all connections of a thread share, in use only while a connection is polled.

use std::cell::RefCell;

/// Size of one read. A larger one needs fewer system calls for a large result, but delays the first
/// bytes to the receiver.
const READ_SIZE: usize = 32 * 1024;

/// The buffers of one thread.
pub struct Scratch {
    /// Bytes read from a socket.
    pub incoming: Vec<u8>,
    /// Decrypted bytes.
    pub plain: Vec<u8>,
    /// Encrypted bytes.
    pub outgoing: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch")
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch {
            incoming: vec![0; READ_SIZE],
            plain: Vec::new(),
            outgoing: Vec::new(),
        });
}

impl Scratch {
    /// Runs `f` with the thread's buffers. Must not be called within `f`.
    pub fn with<T>(f: impl FnOnce(&mut Self) -> T) -> T {
        SCRATCH.with_borrow_mut(f)
    }
}
