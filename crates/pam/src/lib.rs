//! `pam_countersign.so`: PAM module with which a database server has the verifier authenticate IAM
//! tokens.
//!
//! ```text
//! # /etc/pam.d/rds_iam
//! auth    required pam_countersign.so socket=/run/countersign/verifier.sock instance=orders
//! account required pam_countersign.so
//! ```
//! `socket=PATH` and `instance=NAME` are required. `timeout=5s` bounds the whole exchange between
//! the module and the verifier. `verifier_user=NAME` or `verifier_uid=NUMBER` trusts a verifier
//! that runs neither as root nor as the server's user. An argument that is unknown, malformed or
//! duplicate denies every login. The account line ignores arguments: it repeats the decision of the
//! auth line for this user on this handle, so a service with only an account line denies every
//! login.
//!
//! Any failure denies the login and writes one line with its class to syslog. The token stays in
//! the memory of the module, which is wiped, and never becomes a PAM item that other modules can
//! read.

#![cfg(target_os = "linux")]

mod arguments;
mod entry;
mod ffi;
mod login;
mod status;
