//! What of libpam and of the C library the module calls, behind safe methods.
//!
//! The shapes and numbers are those of Linux-PAM's `security/_pam_types.h`, `pam_modules.h` and `pam_ext.h`; none has
//! changed since they came into being. Only the library is needed to build, not its headers.

#![allow(unsafe_code, reason = "talks to libpam, which is C")]

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

/// Where the handle keeps, until `pam_end`, the name of the user that the verifier let in. It is a C string, so that two
/// versions of this module in one service agree on it.
const ADMITTED: &CStr = c"countersign_admitted";

/// `pam_handle_t`, of which only pointers exist.
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

/// The login that libpam called about, for the time of that call.
pub(crate) struct Handle(NonNull<PamHandle>);

impl Handle {
    /// The handle behind a pointer; nothing for a null one.
    ///
    /// # Safety
    /// A pointer that is not null is one that libpam passed to the call that is under way.
    pub(crate) unsafe fn new(handle: *mut PamHandle) -> Option<Self> {
        NonNull::new(handle).map(Self)
    }

    /// The user who wants in.
    pub(crate) fn user(&self) -> Result<String, Failure> {
        let mut user = null();
        // SAFETY: the handle is libpam's own, and `user` is a place for the pointer.
        let status = unsafe { pam_get_user(self.0.as_ptr(), &raw mut user, null()) };
        if status != PAM_SUCCESS || user.is_null() {
            return Err(Failure::new(
                Class::Malformed,
                format!("the server named no user (PAM says {status})"),
            ));
        }
        // SAFETY: on success it is a C string that lives until the item is set anew, and it is copied at once.
        let user = unsafe { CStr::from_ptr(user) };
        user.to_str().map(str::to_owned).map_err(|_| {
            Failure::new(Class::Malformed, format!("the user name {user:?} is not UTF-8"))
        })
    }

    /// The client's address; PostgreSQL says `[local]` for one on its Unix socket.
    pub(crate) fn client(&self) -> Result<Option<String>, Failure> {
        let Some(host) = self.item(PAM_RHOST) else {
            return Ok(None);
        };
        // SAFETY: the item `PAM_RHOST` is a C string that lives until the item is set anew, and it is copied at once.
        let host = unsafe { CStr::from_ptr(host.as_ptr().cast()) };
        match host.to_str() {
            Ok("" | "[local]") => Ok(None),
            Ok(host) => Ok(Some(host.to_owned())),
            Err(_) => Err(Failure::new(
                Class::Malformed,
                format!("the client's address {host:?} is not UTF-8"),
            )),
        }
    }

    /// What the client sends as its password, with U+FFFD for what is not UTF-8 in it; the copy that the server handed over is wiped and freed.
    pub(crate) fn password(&self) -> Result<Zeroizing<String>, Failure> {
        let absent = |why: String| {
            Err(Failure::new(Class::Malformed, format!("the client sent no token: {why}")))
        };
        let Some(conversation) = self.item(PAM_CONV) else {
            return absent("the server offers no conversation".to_owned());
        };
        // SAFETY: the item `PAM_CONV` is a `struct pam_conv` that lives as long as the handle.
        let conversation = unsafe { conversation.cast::<Conversation>().as_ref() };
        let Some(converse) = conversation.converse else {
            return absent("the server offers no conversation".to_owned());
        };
        let message = Message { style: PAM_PROMPT_ECHO_OFF, text: c"Password: ".as_ptr() };
        let (mut messages, mut response) = ([&raw const message], null_mut());
        // SAFETY: one message is announced and one is there; the server sets `response` where it succeeds.
        let status =
            unsafe { converse(1, messages.as_mut_ptr(), &raw mut response, conversation.data) };
        if status != PAM_SUCCESS {
            // PostgreSQL says so of a client that hangs up, psql before it prompts, and of a password that is too long for it.
            return absent(format!(
                "the server got none, or none that it takes (PAM says {status})"
            ));
        }
        // SAFETY: a response that was set is ours, made with malloc, and is not used again.
        unsafe { taken(response) }
    }

    /// Marks the handle: the verifier has let `user` in.
    pub(crate) fn admit(&self, user: &str) -> Result<(), Failure> {
        let user = CString::new(user).map_err(|_| {
            Failure::new(Class::Malformed, "the user name contains a NUL character")
        })?;
        let mark = user.into_raw();
        // SAFETY: libpam hands `mark`, which `into_raw` made, to `unmark` once.
        let status =
            unsafe { pam_set_data(self.0.as_ptr(), ADMITTED.as_ptr(), mark.cast(), Some(unmark)) };
        if status == PAM_SUCCESS {
            return Ok(());
        }
        // SAFETY: libpam did not take it.
        drop(unsafe { CString::from_raw(mark) });
        Err(Failure::new(
            Class::Internal,
            format!("the handle could not be marked (PAM says {status})"),
        ))
    }

    /// Takes the mark off the handle.
    pub(crate) fn withdraw(&self) -> Result<(), Failure> {
        // SAFETY: the handle is libpam's own; no data needs no cleanup.
        match unsafe { pam_set_data(self.0.as_ptr(), ADMITTED.as_ptr(), null_mut(), None) } {
            PAM_SUCCESS => Ok(()),
            status => Err(Failure::new(
                Class::Internal,
                format!("the handle could not be marked (PAM says {status})"),
            )),
        }
    }

    /// Whom the verifier has let in on this handle.
    pub(crate) fn admitted(&self) -> Option<String> {
        let mut mark = null();
        // SAFETY: the handle is libpam's own, and `mark` is a place for the pointer.
        let status = unsafe { pam_get_data(self.0.as_ptr(), ADMITTED.as_ptr(), &raw mut mark) };
        if status != PAM_SUCCESS || mark.is_null() {
            return None;
        }
        // SAFETY: what is there was put there by `admit`: a C string that lives until the data is set anew.
        unsafe { CStr::from_ptr(mark.cast()) }.to_str().ok().map(str::to_owned)
    }

    /// Writes a line to syslog, under the module's name and the service's; control characters are left out of it.
    pub(crate) fn log(&self, priority: Priority, line: &str) {
        let line: String =
            line.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the format takes one C string, and one is given.
        unsafe { pam_syslog(self.0.as_ptr(), priority as c_int, c"%s".as_ptr(), line.as_ptr()) };
    }

    fn item(&self, item: c_int) -> Option<NonNull<c_void>> {
        let mut value = null();
        // SAFETY: the handle is libpam's own, and `value` is a place for the pointer.
        let status = unsafe { pam_get_item(self.0.as_ptr(), item, &raw mut value) };
        if status == PAM_SUCCESS { NonNull::new(value.cast_mut()) } else { None }
    }
}

/// Copies the password out of a response, then wipes and frees what the server made.
///
/// # Safety
/// `response` is null, or one response made with `malloc` by a conversation that succeeded, and nobody else's.
unsafe fn taken(response: *mut Response) -> Result<Zeroizing<String>, Failure> {
    let refused = |why: &str| Err(Failure::new(Class::Malformed, why));
    // SAFETY: as the caller says.
    let Some(text) = (unsafe { response.as_ref() }).map(|response| response.text) else {
        return refused("the client sent no token");
    };
    let mut password = refused("the client sent no token");
    if !text.is_null() {
        // SAFETY: the text of a response is a C string.
        let given = unsafe { CStr::from_ptr(text) };
        let length = given.count_bytes();
        password = match given.to_bytes() {
            [] => refused("the token is empty"),
            long if long.len() > MAX_TOKEN => refused("the token is longer than any token is read"),
            bytes => Ok(verifier_protocol::password(bytes)),
        };
        // SAFETY: these are the bytes of the string before its NUL; `given` is not used again.
        unsafe { std::slice::from_raw_parts_mut(text.cast::<u8>(), length) }.zeroize();
    }
    // SAFETY: both came from malloc, and `free` ignores null.
    unsafe {
        free(text.cast());
        free(response.cast());
    }
    password
}

/// Frees a mark, when libpam replaces it or the handle ends.
unsafe extern "C" fn unmark(_handle: *mut PamHandle, mark: *mut c_void, _status: c_int) {
    if !mark.is_null() {
        // SAFETY: `admit` made it with `into_raw`, and libpam hands it here once.
        drop(unsafe { CString::from_raw(mark.cast()) });
    }
}
