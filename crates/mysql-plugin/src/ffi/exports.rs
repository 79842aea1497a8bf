//! Exported symbols of the plugin: the first three are for MariaDB, the others for MySQL. MariaDB
//! would also accept MySQL's, but with a lower maturity.

#![allow(non_upper_case_globals, reason = "the servers define the names")]

use std::ffi::{CStr, c_int};
use std::ptr::null_mut;

use super::abi::{
    AUTHENTICATION, LICENSE, MARIA_AUTH_INTERFACE, MARIA_PLUGIN_INTERFACE, MYSQL_AUTH_INTERFACE,
    MYSQL_PLUGIN_INTERFACE, MariaAuth, MariaPlugin, MysqlAuth, MysqlPlugin, STABLE, Shared,
};
use super::entry;
use super::variables;
use crate::log::PLUGIN;

const AUTHOR: &CStr = c"Countersign";
const DESCRIPTION: &CStr = c"AWS IAM database authentication by a Countersign verifier";
const CLIENT_PLUGIN: &CStr = c"mysql_clear_password";

/// Version 0.1, with each part in a byte.
const VERSION: u32 = 0x0001;

#[unsafe(no_mangle)]
static _maria_plugin_interface_version_: Shared<c_int> = Shared::new(MARIA_PLUGIN_INTERFACE);

#[unsafe(no_mangle)]
static _maria_sizeof_struct_st_plugin_: Shared<c_int> =
    Shared::new(size_of::<MariaPlugin>() as c_int);

#[unsafe(no_mangle)]
static _maria_plugin_declarations_: Shared<[MariaPlugin; 2]> = Shared::new([
    MariaPlugin {
        kind: AUTHENTICATION,
        info: MARIA_AUTH.pointer().cast(),
        name: PLUGIN.as_ptr(),
        author: AUTHOR.as_ptr(),
        description: DESCRIPTION.as_ptr(),
        license: LICENSE,
        init: Some(entry::init),
        deinit: Some(entry::deinit),
        version: VERSION,
        status_variables: null_mut(),
        system_variables: variables::list(),
        version_info: c"0.1".as_ptr(),
        maturity: STABLE,
    },
    // SAFETY: all fields are numbers, pointers or optional functions, which may be zero.
    unsafe { std::mem::zeroed() },
]);

#[unsafe(no_mangle)]
static _mysql_plugin_interface_version_: Shared<c_int> = Shared::new(MYSQL_PLUGIN_INTERFACE);

#[unsafe(no_mangle)]
static _mysql_sizeof_struct_st_plugin_: Shared<c_int> =
    Shared::new(size_of::<MysqlPlugin>() as c_int);

#[unsafe(no_mangle)]
static _mysql_plugin_declarations_: Shared<[MysqlPlugin; 2]> = Shared::new([
    MysqlPlugin {
        kind: AUTHENTICATION,
        info: MYSQL_AUTH.pointer().cast(),
        name: PLUGIN.as_ptr(),
        author: AUTHOR.as_ptr(),
        description: DESCRIPTION.as_ptr(),
        license: LICENSE,
        init: Some(entry::init),
        check_uninstall: None,
        deinit: Some(entry::deinit),
        version: VERSION,
        status_variables: null_mut(),
        system_variables: variables::list(),
        reserved: null_mut(),
        flags: 0,
    },
    // SAFETY: as above.
    unsafe { std::mem::zeroed() },
]);

static MARIA_AUTH: Shared<MariaAuth> = Shared::new(MariaAuth {
    interface: MARIA_AUTH_INTERFACE,
    client_plugin: CLIENT_PLUGIN.as_ptr(),
    authenticate: entry::authenticate_mariadb,
    hash_password: None,
    preprocess_hash: Some(entry::preprocess),
});

static MYSQL_AUTH: Shared<MysqlAuth> = Shared::new(MysqlAuth {
    interface: MYSQL_AUTH_INTERFACE,
    client_plugin: CLIENT_PLUGIN.as_ptr(),
    authenticate: entry::authenticate_mysql,
    generate: entry::generate,
    validate: entry::validate,
    set_salt: entry::set_salt,
    flags: 0,
    compare_password: None,
});
