//! Entry points that the servers call.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::abi::{CR_ERROR, CR_OK, MariaInfo, MysqlInfo, Vio};
use super::connection::{Connection, Info};
use super::variables;
use crate::log::{self, Level};
use crate::{login, settings};

const DONE: c_int = 0;
const FAILED: c_int = 1;

/// Runs a call of a server. A panic, which its hook has logged, does not unwind into the server and
/// returns `on_panic`.
fn guarded(on_panic: c_int, call: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(on_panic)
}

/// Loads the plugin; the system variables are set.
pub(super) unsafe extern "C" fn init(_plugin: *mut c_void) -> c_int {
    guarded(FAILED, || {
        log::log_panics_by_location();
        // SAFETY: the server is calling `init`.
        match settings::load(&unsafe { variables::read() }) {
            Ok(()) => DONE,
            Err(failure) => {
                log::write(
                    Level::Error,
                    &format!("not loaded: {}: {}", failure.class, failure.detail),
                );
                FAILED
            }
        }
    })
}

/// Unloads the plugin. The server does not call it during a login, because a login locks the
/// plugin.
pub(super) unsafe extern "C" fn deinit(_plugin: *mut c_void) -> c_int {
    guarded(DONE, || {
        settings::unload();
        DONE
    })
}

/// Authenticates a login of MariaDB.
pub(super) unsafe extern "C" fn authenticate_mariadb(vio: *mut Vio, info: *mut MariaInfo) -> c_int {
    // SAFETY: MariaDB passes pointers to its types.
    unsafe { authenticate(vio, NonNull::new(info).map(Info::Mariadb)) }
}

/// Authenticates a login of MySQL.
pub(super) unsafe extern "C" fn authenticate_mysql(vio: *mut Vio, info: *mut MysqlInfo) -> c_int {
    // SAFETY: MySQL passes pointers to its types.
    unsafe { authenticate(vio, NonNull::new(info).map(Info::Mysql)) }
}

/// # Safety
/// Both are null, or were passed by the server to the current call.
unsafe fn authenticate(vio: *mut Vio, info: Option<Info>) -> c_int {
    let (Some(vio), Some(info)) = (NonNull::new(vio), info) else {
        return CR_ERROR;
    };
    guarded(CR_ERROR, || {
        // SAFETY: as the caller says.
        let connection = unsafe { Connection::new(vio, info) };
        if login::authenticate(&connection) { CR_OK } else { CR_ERROR }
    })
}

/// Checks the authentication string of an account for MariaDB: when the account is created or
/// altered, when the server loads its accounts, or at the first login. `authenticate` receives the
/// contents of `out`.
pub(super) unsafe extern "C" fn preprocess(
    hash: *const c_char,
    length: usize,
    out: *mut c_uchar,
    out_length: *mut usize,
) -> c_int {
    guarded(FAILED, || {
        // SAFETY: MariaDB passes `length` bytes.
        let given = unsafe { bytes(hash, length) };
        // SAFETY: MariaDB passes the size of `out`.
        let room = unsafe { out_length.as_ref() }.copied().unwrap_or(0);
        if !login::is_auth_string(given) || out.is_null() || room < given.len() {
            log::write(Level::Warning, login::INVALID_AUTH_STRING);
            return FAILED;
        }
        // SAFETY: `out` is large enough, and the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(given.as_ptr(), out, given.len());
            *out_length = given.len();
        }
        DONE
    })
}

/// Rejects `BY` in MySQL, because this plugin stores no password.
pub(super) unsafe extern "C" fn generate(
    _out: *mut c_char,
    _out_length: *mut c_uint,
    _in: *const c_char,
    _length: c_uint,
) -> c_int {
    guarded(FAILED, || {
        log::write(Level::Warning, login::INVALID_AUTH_STRING);
        FAILED
    })
}

/// Checks the string of `AS` for MySQL before it is stored.
pub(super) unsafe extern "C" fn validate(given: *const c_char, length: c_uint) -> c_int {
    guarded(FAILED, || {
        // SAFETY: MySQL passes `length` bytes.
        if login::is_auth_string(unsafe { bytes(given, usize::try_from(length).unwrap_or(0)) }) {
            return DONE;
        }
        log::write(Level::Warning, login::INVALID_AUTH_STRING);
        FAILED
    })
}

/// Sets the data that MySQL keeps in memory for an account's password: none.
pub(super) unsafe extern "C" fn set_salt(
    _given: *const c_char,
    _length: c_uint,
    _salt: *mut c_uchar,
    salt_length: *mut c_uchar,
) -> c_int {
    // SAFETY: MySQL passes a pointer to the length, or null.
    if let Some(length) = unsafe { salt_length.as_mut() } {
        *length = 0;
    }
    DONE
}

/// # Safety
/// `text` is null or has `length` bytes that are valid while the result is used.
unsafe fn bytes<'a>(text: *const c_char, length: usize) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(text.cast(), length) }
}

#[cfg(test)]
mod tests;
