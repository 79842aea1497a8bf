//! The functions that libpam calls.

#![allow(unsafe_code, reason = "libpam, which is C, calls in here")]

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ffi::{Handle, PamHandle};
use crate::login;
use crate::status::{Priority, Status};

/// Runs what libpam called for. A panic goes no further than here, and means no.
///
/// # Safety
/// `handle` is null, or what libpam passed to the call that is under way.
unsafe fn guarded(handle: *mut PamHandle, call: impl FnOnce(&Handle) -> Status) -> c_int {
    // SAFETY: as the caller says.
    let Some(handle) = (unsafe { Handle::new(handle) }) else {
        return Status::SystemError.code();
    };
    let status = catch_unwind(AssertUnwindSafe(|| call(&handle))).unwrap_or_else(|_| {
        handle.log(Priority::Critical, "a login refused: internal: the module panicked; the server's standard error says where");
        Status::Abort
    });
    status.code()
}

/// # Safety
/// `argv` points to `argc` C strings.
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(argc).unwrap_or(0);
    if argv.is_null() {
        return Vec::new();
    }
    // SAFETY: as the caller says.
    let arguments = unsafe { std::slice::from_raw_parts(argv, count) };
    // SAFETY: as the caller says. What is not UTF-8 becomes U+FFFD here, and is refused with the rest of its argument.
    arguments
        .iter()
        .map(|argument| unsafe { CStr::from_ptr(*argument) }.to_string_lossy().into_owned())
        .collect()
}

/// Called for the auth line.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut PamHandle,
    _flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: libpam passes its handle, and the arguments of the line, so.
    unsafe { guarded(handle, |handle| login::authenticate(handle, &arguments(argc, argv))) }
}

/// Called for the account line.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_acct_mgmt(
    handle: *mut PamHandle,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    // SAFETY: libpam passes its handle.
    unsafe { guarded(handle, login::account) }
}

/// Called for the auth line, after it, by servers that set credentials.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_setcred(
    handle: *mut PamHandle,
    _flags: c_int,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    // SAFETY: libpam passes its handle.
    unsafe { guarded(handle, login::credentials) }
}
