//! The functions that the servers call.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::abi::{CR_ERROR, CR_OK, MariaInfo, MysqlInfo, Vio};
use super::connection::{Connection, Info};
use super::variables;
use crate::log::{self, Level};
use crate::{login, settings};

const DONE: c_int = 0;
const REFUSED: c_int = 1;

/// Runs what a server called for. A panic goes no further than here, and means `no`: the panic hook has logged it.
fn guarded(no: c_int, call: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(no)
}

/// Called when the plugin is loaded, once the system variables are set.
pub(super) unsafe extern "C" fn init(_plugin: *mut c_void) -> c_int {
    guarded(REFUSED, || {
        log::name_panics_by_place();
        // SAFETY: this is `init`.
        match settings::take(&unsafe { variables::read() }) {
            Ok(()) => DONE,
            Err(failure) => {
                log::write(
                    Level::Error,
                    &format!("not loaded: {}: {}", failure.class, failure.detail),
                );
                REFUSED
            }
        }
    })
}

/// Called when the plugin is unloaded: no login is under way then, because each holds the plugin.
pub(super) unsafe extern "C" fn deinit(_plugin: *mut c_void) -> c_int {
    guarded(DONE, || {
        settings::forget();
        DONE
    })
}

/// Called by MariaDB for each login.
pub(super) unsafe extern "C" fn authenticate_mariadb(vio: *mut Vio, info: *mut MariaInfo) -> c_int {
    // SAFETY: MariaDB passes both, in its shape.
    unsafe { authenticate(vio, NonNull::new(info).map(Info::Mariadb)) }
}

/// Called by MySQL for each login.
pub(super) unsafe extern "C" fn authenticate_mysql(vio: *mut Vio, info: *mut MysqlInfo) -> c_int {
    // SAFETY: MySQL passes both, in its shape.
    unsafe { authenticate(vio, NonNull::new(info).map(Info::Mysql)) }
}

/// # Safety
/// Both are null, or what the server passed to the call that is under way.
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

/// Called by MariaDB with what an account has behind `AS`: when the account is made or altered, when the server reads its
/// accounts, or at the first login. What is left in `out` is what `authenticate` gets.
pub(super) unsafe extern "C" fn preprocess(
    hash: *const c_char,
    length: usize,
    out: *mut c_uchar,
    out_length: *mut usize,
) -> c_int {
    guarded(REFUSED, || {
        // SAFETY: MariaDB passes so many bytes.
        let given = unsafe { bytes(hash, length) };
        // SAFETY: MariaDB passes how many bytes there are at `out`.
        let room = unsafe { out_length.as_ref() }.copied().unwrap_or(0);
        if !login::is_auth_string(given) || out.is_null() || room < given.len() {
            log::write(Level::Warning, login::ONLY_RDS);
            return REFUSED;
        }
        // SAFETY: there is room, and the two are different memory.
        unsafe {
            std::ptr::copy_nonoverlapping(given.as_ptr(), out, given.len());
            *out_length = given.len();
        }
        DONE
    })
}

/// Called by MySQL for `BY`: a password that MySQL would have to store.
pub(super) unsafe extern "C" fn generate(
    _out: *mut c_char,
    _out_length: *mut c_uint,
    _in: *const c_char,
    _length: c_uint,
) -> c_int {
    guarded(REFUSED, || {
        log::write(Level::Warning, login::ONLY_RDS);
        REFUSED
    })
}

/// Called by MySQL with what `AS` gave, before it stores that.
pub(super) unsafe extern "C" fn validate(given: *const c_char, length: c_uint) -> c_int {
    guarded(REFUSED, || {
        // SAFETY: MySQL passes so many bytes.
        if login::is_auth_string(unsafe { bytes(given, usize::try_from(length).unwrap_or(0)) }) {
            return DONE;
        }
        log::write(Level::Warning, login::ONLY_RDS);
        REFUSED
    })
}

/// Called by MySQL for what it may keep of an account's password in memory: nothing.
pub(super) unsafe extern "C" fn set_salt(
    _given: *const c_char,
    _length: c_uint,
    _salt: *mut c_uchar,
    salt_length: *mut c_uchar,
) -> c_int {
    // SAFETY: MySQL passes a place for the length.
    if let Some(length) = unsafe { salt_length.as_mut() } {
        *length = 0;
    }
    DONE
}

/// # Safety
/// `text` is null or has `length` bytes for as long as the result is used.
unsafe fn bytes<'a>(text: *const c_char, length: usize) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(text.cast(), length) }
}

#[cfg(test)]
mod tests;
