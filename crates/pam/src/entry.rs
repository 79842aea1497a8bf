//! Entry points that libpam calls.

#![allow(unsafe_code, reason = "libpam is a C library and calls these functions")]

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ffi::{Handle, PamHandle};
use crate::login;
use crate::status::{Priority, Status};

/// Runs a call of libpam. A panic does not unwind into libpam and denies the login.
///
/// # Safety
/// `handle` is null, or was passed by libpam to the current call.
unsafe fn guarded(handle: *mut PamHandle, call: impl FnOnce(&Handle) -> Status) -> c_int {
    // SAFETY: guaranteed by the caller.
    let Some(handle) = (unsafe { Handle::new(handle) }) else {
        return Status::SystemError.code();
    };
    let status = catch_unwind(AssertUnwindSafe(|| call(&handle))).unwrap_or_else(|_| {
        handle.log(
            Priority::Critical,
            "login denied: internal: the module panicked; see the server's standard error",
        );
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
    // SAFETY: guaranteed by the caller.
    let arguments = unsafe { std::slice::from_raw_parts(argv, count) };
    // SAFETY: guaranteed by the caller. Invalid UTF-8 becomes U+FFFD, which the parser rejects.
    arguments
        .iter()
        .map(|argument| unsafe { CStr::from_ptr(*argument) }.to_string_lossy().into_owned())
        .collect()
}

/// Runs the auth line.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut PamHandle,
    _flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: libpam passes its handle and the arguments of the line.
    unsafe { guarded(handle, |handle| login::authenticate(handle, &arguments(argc, argv))) }
}

/// Runs the account line.
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

/// Runs after the auth line for servers that set credentials.
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
