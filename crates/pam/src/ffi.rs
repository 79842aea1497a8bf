//! Safe wrappers of the functions of libpam and the C library that the module calls.
//!
//! Types and constants are those of Linux-PAM's `security/_pam_types.h`, `pam_modules.h` and
//! `pam_ext.h`, which have never changed. The build requires the library, but not its headers.

#![allow(unsafe_code, reason = "calls libpam, a C library")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{NonNull, null, null_mut};

use countersign_core::failure::{Class, Failure};
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol;
use zeroize::{Zeroize, Zeroizing};

use crate::status::Priority;

const PAM_SUCCESS: c_int = 0;
const PAM_RHOST: c_int = 4;
const PAM_CONV: c_int = 5;
const PAM_PROMPT_ECHO_OFF: c_int = 1;

/// Name of the data in the handle that holds, until `pam_end`, the user that the verifier allowed.
/// The data is a C string, so that two versions of this module in one service are compatible.
const ALLOWED_USER: &CStr = c"countersign_admitted";

/// `pam_handle_t`, an opaque type.
#[repr(C)]
pub(crate) struct PamHandle {
    _opaque: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    unused: c_int,
}

type Converse =
    unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Option<Converse>,
    data: *mut c_void,
}

type Cleanup = unsafe extern "C" fn(*mut PamHandle, *mut c_void, c_int);

#[link(name = "libpam.so.0", modifiers = "+verbatim")]
unsafe extern "C" {
    fn pam_get_user(
        handle: *mut PamHandle,
        user: *mut *const c_char,
        prompt: *const c_char,
    ) -> c_int;
    fn pam_get_item(handle: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_set_data(
        handle: *mut PamHandle,
        name: *const c_char,
        data: *mut c_void,
        cleanup: Option<Cleanup>,
    ) -> c_int;
    fn pam_get_data(
        handle: *const PamHandle,
        name: *const c_char,
        data: *mut *const c_void,
    ) -> c_int;
    fn pam_syslog(handle: *const PamHandle, priority: c_int, format: *const c_char, ...);
}

unsafe extern "C" {
    fn free(memory: *mut c_void);
}

/// The login of the current call of libpam.
pub(crate) struct Handle(NonNull<PamHandle>);

impl Handle {
    /// Wraps a pointer; `None` if it is null.
    ///
    /// # Safety
    /// A non-null pointer was passed by libpam to the current call.
    pub(crate) unsafe fn new(handle: *mut PamHandle) -> Option<Self> {
        NonNull::new(handle).map(Self)
    }

    /// The user to log in as.
    pub(crate) fn user(&self) -> Result<String, Failure> {
        let mut user = null();
        // SAFETY: the handle is valid, and `user` is writable.
        let status = unsafe { pam_get_user(self.0.as_ptr(), &raw mut user, null()) };
        if status != PAM_SUCCESS || user.is_null() {
            return Err(Failure::new(
                Class::Malformed,
                format!("cannot read the user name: PAM error {status}"),
            ));
        }
        // SAFETY: on success it is a C string that is valid until the item is set again; it is
        // copied.
        let user = unsafe { CStr::from_ptr(user) };
        user.to_str()
            .map(str::to_owned)
            .map_err(|_| Failure::new(Class::Malformed, format!("user name {user:?} is not UTF-8")))
    }

    /// The client's address. PostgreSQL passes `[local]` for a client on its Unix socket.
    pub(crate) fn client(&self) -> Result<Option<String>, Failure> {
        let Some(host) = self.item(PAM_RHOST) else {
            return Ok(None);
        };
        // SAFETY: `PAM_RHOST` is a C string that is valid until the item is set again; it is
        // copied.
        let host = unsafe { CStr::from_ptr(host.as_ptr().cast()) };
        match host.to_str() {
            Ok("" | "[local]") => Ok(None),
            Ok(host) => Ok(Some(host.to_owned())),
            Err(_) => {
                Err(Failure::new(Class::Malformed, format!("client address {host:?} is not UTF-8")))
            }
        }
    }

    /// Requests the client's password, with U+FFFD for invalid UTF-8. The server's copy is wiped
    /// and freed.
    pub(crate) fn password(&self) -> Result<Zeroizing<String>, Failure> {
        let absent = |cause: String| {
            Err(Failure::new(Class::Malformed, format!("client sent no token: {cause}")))
        };
        let Some(conversation) = self.item(PAM_CONV) else {
            return absent("the server has no conversation function".to_owned());
        };
        // SAFETY: `PAM_CONV` is a `struct pam_conv` that is valid as long as the handle.
        let conversation = unsafe { conversation.cast::<Conversation>().as_ref() };
        let Some(converse) = conversation.converse else {
            return absent("the server has no conversation function".to_owned());
        };
        let message = Message { style: PAM_PROMPT_ECHO_OFF, text: c"Password: ".as_ptr() };
        let (mut messages, mut response) = ([&raw const message], null_mut());
        // SAFETY: one message is passed with the count 1; the server sets `response` on success.
        let status =
            unsafe { converse(1, messages.as_mut_ptr(), &raw mut response, conversation.data) };
        if status != PAM_SUCCESS {
            // PostgreSQL fails if the client closes the connection, as psql does before it prompts,
            // and if the password is too long for it.
            return absent(format!("the server received none or rejected it (PAM error {status})"));
        }
        // SAFETY: a response that was set is owned by the caller, allocated with malloc, and is not
        // used again.
        unsafe { take_password(response) }
    }

    /// Records in the handle that the verifier allowed `user`.
    pub(crate) fn set_allowed_user(&self, user: &str) -> Result<(), Failure> {
        let user = CString::new(user)
            .map_err(|_| Failure::new(Class::Malformed, "user name contains a NUL character"))?;
        let data = user.into_raw();
        // SAFETY: libpam passes `data`, which `into_raw` returned, to `free_user` once.
        let status = unsafe {
            pam_set_data(self.0.as_ptr(), ALLOWED_USER.as_ptr(), data.cast(), Some(free_user))
        };
        if status == PAM_SUCCESS {
            return Ok(());
        }
        // SAFETY: libpam did not store it.
        drop(unsafe { CString::from_raw(data) });
        Err(Failure::new(
            Class::Internal,
            format!("cannot store the user in the handle: PAM error {status}"),
        ))
    }

    /// Removes the allowed user from the handle.
    pub(crate) fn clear_allowed_user(&self) -> Result<(), Failure> {
        // SAFETY: the handle is valid; null data needs no cleanup.
        match unsafe { pam_set_data(self.0.as_ptr(), ALLOWED_USER.as_ptr(), null_mut(), None) } {
            PAM_SUCCESS => Ok(()),
            status => Err(Failure::new(
                Class::Internal,
                format!("cannot store the user in the handle: PAM error {status}"),
            )),
        }
    }

    /// The user that the verifier allowed on this handle.
    pub(crate) fn allowed_user(&self) -> Option<String> {
        let mut data = null();
        // SAFETY: the handle is valid, and `data` is writable.
        let status = unsafe { pam_get_data(self.0.as_ptr(), ALLOWED_USER.as_ptr(), &raw mut data) };
        if status != PAM_SUCCESS || data.is_null() {
            return None;
        }
        // SAFETY: `set_allowed_user` stored a C string that is valid until the data is set again.
        unsafe { CStr::from_ptr(data.cast()) }.to_str().ok().map(str::to_owned)
    }

    /// Writes a line to syslog with the names of module and service. Control characters become `?`.
    pub(crate) fn log(&self, priority: Priority, line: &str) {
        let line: String =
            line.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the format requires one C string, which is passed.
        unsafe { pam_syslog(self.0.as_ptr(), priority as c_int, c"%s".as_ptr(), line.as_ptr()) };
    }

    fn item(&self, item: c_int) -> Option<NonNull<c_void>> {
        let mut value = null();
        // SAFETY: the handle is valid, and `value` is writable.
        let status = unsafe { pam_get_item(self.0.as_ptr(), item, &raw mut value) };
        if status == PAM_SUCCESS { NonNull::new(value.cast_mut()) } else { None }
    }
}

/// Copies the password from a response, then wipes and frees the response.
///
/// # Safety
/// `response` is null, or one response that a successful conversation allocated with `malloc` and
/// that has no other owner.
unsafe fn take_password(response: *mut Response) -> Result<Zeroizing<String>, Failure> {
    let malformed = |detail: &str| Err(Failure::new(Class::Malformed, detail));
    // SAFETY: as the caller says.
    let Some(text) = (unsafe { response.as_ref() }).map(|response| response.text) else {
        return malformed("client sent no token");
    };
    let mut password = malformed("client sent no token");
    if !text.is_null() {
        // SAFETY: the text of a response is a C string.
        let given = unsafe { CStr::from_ptr(text) };
        let length = given.count_bytes();
        password = match given.to_bytes() {
            [] => malformed("token is empty"),
            long if long.len() > MAX_TOKEN => malformed("token is too long"),
            bytes => Ok(verifier_protocol::password(bytes)),
        };
        // SAFETY: the string has `length` bytes before its NUL; `given` is not used again.
        unsafe { std::slice::from_raw_parts_mut(text.cast::<u8>(), length) }.zeroize();
    }
    // SAFETY: both were allocated with malloc, and `free` ignores null.
    unsafe {
        free(text.cast());
        free(response.cast());
    }
    password
}

/// Frees the stored user when libpam replaces it or the handle ends.
unsafe extern "C" fn free_user(_handle: *mut PamHandle, data: *mut c_void, _status: c_int) {
    if !data.is_null() {
        // SAFETY: `into_raw` returned it in `set_allowed_user`, and libpam passes it once.
        drop(unsafe { CString::from_raw(data.cast()) });
    }
}
