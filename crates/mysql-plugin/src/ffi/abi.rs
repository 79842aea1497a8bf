//! The plugin ABI of both servers: the types of `plugin.h`, `plugin_auth.h` and
//! `plugin_auth_common.h` in MariaDB's and MySQL's `include/mysql`. Types that differ have the
//! server in their name.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_void};
use std::mem::offset_of;

/// `MYSQL_AUTHENTICATION_PLUGIN`
pub(crate) const AUTHENTICATION: c_int = 1 + 6;

/// `PLUGIN_LICENSE_PROPRIETARY`: the servers' value for licences other than GPL (1) and BSD (2).
pub(crate) const LICENSE: c_int = 0;

/// `MariaDB_PLUGIN_MATURITY_STABLE`
pub(crate) const STABLE: c_uint = 5;

/// Versions of the interfaces. A server accepts a plugin with its own major version.
pub(crate) const MARIA_PLUGIN_INTERFACE: c_int = 0x010f;
pub(crate) const MARIA_AUTH_INTERFACE: c_int = 0x0202;
pub(crate) const MYSQL_PLUGIN_INTERFACE: c_int = 0x010b;
pub(crate) const MYSQL_AUTH_INTERFACE: c_int = 0x0201;

/// `CR_OK`: the login is allowed. Any other value denies it.
pub(crate) const CR_OK: c_int = -1;
/// `CR_ERROR`
pub(crate) const CR_ERROR: c_int = 0;

/// `PASSWORD_USED_YES`
pub(crate) const PASSWORD_USED: c_int = 1;

/// Data that the server may write to, and that must therefore be in writable memory.
#[repr(transparent)]
pub(crate) struct Shared<T>(UnsafeCell<T>);

// SAFETY: the server writes under its own lock while it loads or unloads the plugin; the plugin
// reads only in `init`, which the server calls in between.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(crate) const fn pointer(&self) -> *mut T {
        self.0.get()
    }
}

type Init = unsafe extern "C" fn(*mut c_void) -> c_int;

/// `st_maria_plugin`
#[repr(C)]
pub(crate) struct MariaPlugin {
    pub(crate) kind: c_int,
    pub(crate) info: *mut c_void,
    pub(crate) name: *const c_char,
    pub(crate) author: *const c_char,
    pub(crate) description: *const c_char,
    pub(crate) license: c_int,
    pub(crate) init: Option<Init>,
    pub(crate) deinit: Option<Init>,
    pub(crate) version: c_uint,
    pub(crate) status_variables: *mut c_void,
    pub(crate) system_variables: *mut *mut StringVariable,
    pub(crate) version_info: *const c_char,
    pub(crate) maturity: c_uint,
}

/// `st_mysql_plugin`
#[repr(C)]
pub(crate) struct MysqlPlugin {
    pub(crate) kind: c_int,
    pub(crate) info: *mut c_void,
    pub(crate) name: *const c_char,
    pub(crate) author: *const c_char,
    pub(crate) description: *const c_char,
    pub(crate) license: c_int,
    pub(crate) init: Option<Init>,
    pub(crate) check_uninstall: Option<Init>,
    pub(crate) deinit: Option<Init>,
    pub(crate) version: c_uint,
    pub(crate) status_variables: *mut c_void,
    pub(crate) system_variables: *mut *mut StringVariable,
    pub(crate) reserved: *mut c_void,
    pub(crate) flags: c_ulong,
}

/// MariaDB's `st_mysql_auth`
#[repr(C)]
pub(crate) struct MariaAuth {
    pub(crate) interface: c_int,
    pub(crate) client_plugin: *const c_char,
    pub(crate) authenticate: unsafe extern "C" fn(*mut Vio, *mut MariaInfo) -> c_int,
    /// Hashes a password. Not set, so the server rejects `USING PASSWORD('…')` and `SET PASSWORD`.
    pub(crate) hash_password: Option<unsafe extern "C" fn()>,
    /// Checks the string of `AS` or `USING`, or of a stored account; 1 rejects it.
    pub(crate) preprocess_hash:
        Option<unsafe extern "C" fn(*const c_char, usize, *mut c_uchar, *mut usize) -> c_int>,
}

/// MySQL's `st_mysql_auth`
#[repr(C)]
pub(crate) struct MysqlAuth {
    pub(crate) interface: c_int,
    pub(crate) client_plugin: *const c_char,
    pub(crate) authenticate: unsafe extern "C" fn(*mut Vio, *mut MysqlInfo) -> c_int,
    /// Converts the password of `BY` to the stored string; 1 rejects it.
    pub(crate) generate:
        unsafe extern "C" fn(*mut c_char, *mut c_uint, *const c_char, c_uint) -> c_int,
    /// Checks the string of `AS`; 1 rejects it.
    pub(crate) validate: unsafe extern "C" fn(*const c_char, c_uint) -> c_int,
    pub(crate) set_salt:
        unsafe extern "C" fn(*const c_char, c_uint, *mut c_uchar, *mut c_uchar) -> c_int,
    pub(crate) flags: c_ulong,
    pub(crate) compare_password: Option<unsafe extern "C" fn()>,
}

/// Prefix of MariaDB's `MYSQL_SERVER_AUTH_INFO` that the plugin accesses.
#[repr(C)]
pub(crate) struct MariaInfo {
    pub(crate) user: *const c_char,
    pub(crate) user_length: c_uint,
    pub(crate) auth_string: *const c_char,
    pub(crate) auth_string_length: c_ulong,
    pub(crate) authenticated_as: [c_char; 513],
    pub(crate) external_user: [c_char; 513],
    pub(crate) password_used: c_int,
    pub(crate) host: *const c_char,
    pub(crate) host_length: c_uint,
}

/// Prefix of MySQL's `MYSQL_SERVER_AUTH_INFO` that the plugin accesses.
#[repr(C)]
pub(crate) struct MysqlInfo {
    pub(crate) user: *const c_char,
    pub(crate) user_length: c_uint,
    pub(crate) auth_string: *const c_char,
    pub(crate) auth_string_length: c_ulong,
    pub(crate) authenticated_as: [c_char; 97],
    pub(crate) external_user: [c_char; 512],
    pub(crate) password_used: c_int,
    pub(crate) host: *const c_char,
    pub(crate) host_length: c_uint,
}

/// `MYSQL_PLUGIN_VIO`: the connection.
#[repr(C)]
pub(crate) struct Vio {
    pub(crate) read_packet: Option<unsafe extern "C" fn(*mut Vio, *mut *mut c_uchar) -> c_int>,
    pub(crate) write_packet: Option<unsafe extern "C" fn(*mut Vio, *const c_uchar, c_int) -> c_int>,
    pub(crate) info: Option<unsafe extern "C" fn(*mut Vio, *mut VioInfo)>,
}

/// `MYSQL_PLUGIN_VIO_INFO` with spare room: the server writes as much as its version defines (8 or
/// 12 bytes).
#[repr(C, align(8))]
pub(crate) struct VioInfo(pub(crate) [u8; 64]);

/// `DECLARE_MYSQL_SYSVAR_BASIC` for a string: a system variable, the same on both servers.
#[repr(C)]
pub(crate) struct StringVariable {
    pub(crate) flags: c_int,
    pub(crate) name: *const c_char,
    pub(crate) comment: *const c_char,
    /// The server sets these two to its own functions.
    pub(crate) check: *mut c_void,
    pub(crate) update: *mut c_void,
    pub(crate) value: *mut *mut c_char,
    pub(crate) default: *const c_char,
}

/// Layouts measured in MariaDB 10.11 and MySQL 9.7 on x86-64, which apply to any 64-bit Linux.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<MariaPlugin>() == 104);
    assert!(offset_of!(MariaPlugin, init) == 48);
    assert!(offset_of!(MariaPlugin, version) == 64);
    assert!(offset_of!(MariaPlugin, system_variables) == 80);
    assert!(offset_of!(MariaPlugin, maturity) == 96);

    assert!(size_of::<MysqlPlugin>() == 112);
    assert!(offset_of!(MysqlPlugin, init) == 48);
    assert!(offset_of!(MysqlPlugin, deinit) == 64);
    assert!(offset_of!(MysqlPlugin, version) == 72);
    assert!(offset_of!(MysqlPlugin, system_variables) == 88);
    assert!(offset_of!(MysqlPlugin, flags) == 104);

    assert!(size_of::<MariaAuth>() == 40);
    assert!(offset_of!(MariaAuth, authenticate) == 16);
    assert!(offset_of!(MariaAuth, preprocess_hash) == 32);

    assert!(size_of::<MysqlAuth>() == 64);
    assert!(offset_of!(MysqlAuth, authenticate) == 16);
    assert!(offset_of!(MysqlAuth, validate) == 32);
    assert!(offset_of!(MysqlAuth, flags) == 48);
    assert!(offset_of!(MysqlAuth, compare_password) == 56);

    assert!(offset_of!(MariaInfo, auth_string) == 16);
    assert!(offset_of!(MariaInfo, authenticated_as) == 32);
    assert!(offset_of!(MariaInfo, external_user) == 545);
    assert!(offset_of!(MariaInfo, password_used) == 1060);
    assert!(offset_of!(MariaInfo, host) == 1064);
    assert!(offset_of!(MariaInfo, host_length) == 1072);

    assert!(offset_of!(MysqlInfo, auth_string) == 16);
    assert!(offset_of!(MysqlInfo, authenticated_as) == 32);
    assert!(offset_of!(MysqlInfo, external_user) == 129);
    assert!(offset_of!(MysqlInfo, password_used) == 644);
    assert!(offset_of!(MysqlInfo, host) == 648);
    assert!(offset_of!(MysqlInfo, host_length) == 656);

    assert!(size_of::<Vio>() == 24);
    assert!(size_of::<VioInfo>() == 64);

    assert!(size_of::<StringVariable>() == 56);
    assert!(offset_of!(StringVariable, name) == 8);
    assert!(offset_of!(StringVariable, value) == 40);
    assert!(offset_of!(StringVariable, default) == 48);
};
