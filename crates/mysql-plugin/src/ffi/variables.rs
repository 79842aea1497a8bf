//! System variables of the plugin, set in an option file and shown by `SHOW VARIABLES`.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::{null, null_mut};

use super::abi::{Shared, StringVariable};

/// `PLUGIN_VAR_STR | PLUGIN_VAR_READONLY | PLUGIN_VAR_MEMALLOC`. With the last, the server keeps a
/// copy of each value. Without it, `INSTALL PLUGIN` leaves dangling pointers to the text of an
/// option file.
const FLAGS: c_int = 0x0005 | 0x0200 | 0x8000;

const COUNT: usize = 5;

/// Names without the prefix of the plugin. The servers replace underscores by hyphens in options.
const NAMES: [&CStr; COUNT] =
    [c"socket", c"instance", c"timeout", c"verifier_user", c"verifier_uid"];

const COMMENTS: [&CStr; COUNT] = [
    c"Absolute paths of the verifier's sockets, separated by commas",
    c"Name of the database instance of this server",
    c"Timeout of the exchange with the verifier: 1ms to 60s, default 5s",
    c"System user that may run the verifier, in addition to root and the server's user",
    c"Uid that may run the verifier, in addition to root and the server's user",
];

static VALUES: Shared<[*mut c_char; COUNT]> = Shared::new([null_mut(); COUNT]);

static VARIABLES: Shared<[StringVariable; COUNT]> =
    Shared::new([variable(0), variable(1), variable(2), variable(3), variable(4)]);

static LIST: Shared<[*mut StringVariable; COUNT + 1]> =
    Shared::new([address(0), address(1), address(2), address(3), address(4), null_mut()]);

/// The list of variables for the declaration of the plugin.
pub(crate) const fn list() -> *mut *mut StringVariable {
    LIST.pointer().cast()
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn variable(number: usize) -> StringVariable {
    let value = VALUES.pointer().cast::<*mut c_char>().wrapping_add(number);
    let (name, comment) = (NAMES[number].as_ptr(), COMMENTS[number].as_ptr());
    StringVariable {
        flags: FLAGS,
        name,
        comment,
        check: null_mut(),
        update: null_mut(),
        value,
        default: null(),
    }
}

const fn address(number: usize) -> *mut StringVariable {
    VARIABLES.pointer().cast::<StringVariable>().wrapping_add(number)
}

/// Returns the variables that are set, by name, with U+FFFD for invalid UTF-8.
///
/// # Safety
/// The server is calling `init`.
pub(crate) unsafe fn read() -> Vec<(String, String)> {
    // SAFETY: the server sets the values before it calls `init`, and does not change them
    // meanwhile.
    let values = unsafe { *VALUES.pointer() };
    let set = NAMES.into_iter().zip(values).filter(|(_, value)| !value.is_null());
    // SAFETY: a value that is set is a C string of the server.
    set.map(|(name, value)| (text(name), text(unsafe { CStr::from_ptr(value) }))).collect()
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().into_owned()
}
