//! The plugin's system variables: lines of an option file, and rows of `SHOW VARIABLES`.

use std::ffi::{CStr, c_char, c_int};
use std::ptr::{null, null_mut};

use super::abi::{Shared, StringVariable};

/// `PLUGIN_VAR_STR | PLUGIN_VAR_READONLY | PLUGIN_VAR_MEMALLOC`. The last has the server keep a copy of each value: without
/// it, `INSTALL PLUGIN` leaves pointers to an option file's text that it has freed.
const FLAGS: c_int = 0x0005 | 0x0200 | 0x8000;

const COUNT: usize = 5;

/// The names, without the plugin's own, as the servers take them: they write a hyphen for each underscore in options.
const NAMES: [&CStr; COUNT] =
    [c"socket", c"instance", c"timeout", c"verifier_user", c"verifier_uid"];

const COMMENTS: [&CStr; COUNT] = [
    c"Where the verifier listens: an absolute path",
    c"The name of the database instance that this server is",
    c"The bound of connecting to the verifier, asking and being answered, together: 1ms to 60s, else 5s",
    c"The system user to trust as the verifier, beside root and the server's own user",
    c"The number of the system user to trust as the verifier, beside root and the server's own user",
];

static VALUES: Shared<[*mut c_char; COUNT]> = Shared::new([null_mut(); COUNT]);

static VARIABLES: Shared<[StringVariable; COUNT]> =
    Shared::new([variable(0), variable(1), variable(2), variable(3), variable(4)]);

static LIST: Shared<[*mut StringVariable; COUNT + 1]> =
    Shared::new([address(0), address(1), address(2), address(3), address(4), null_mut()]);

/// What the plugin's declaration points to.
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

/// What is set, by name. What is not UTF-8 has U+FFFD for it.
///
/// # Safety
/// The server is calling `init`.
pub(crate) unsafe fn read() -> Vec<(String, String)> {
    // SAFETY: the server has set the values before it calls `init`, and changes none while it does.
    let values = unsafe { *VALUES.pointer() };
    let set = NAMES.into_iter().zip(values).filter(|(_, value)| !value.is_null());
    // SAFETY: a value that is set is a C string of the server's.
    set.map(|(name, value)| (text(name), text(unsafe { CStr::from_ptr(value) }))).collect()
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().into_owned()
}
