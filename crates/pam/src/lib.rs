//! `pam_countersign.so`: lets a database server ask the verifier, through PAM, whether an IAM token may log in.
//!
//! ```text
//! # /etc/pam.d/rds_iam
//! auth    required pam_countersign.so socket=/run/countersign/verifier.sock instance=orders
//! account required pam_countersign.so
//! ```
//! `socket=PATH` and `instance=NAME` are needed; `timeout=5s` bounds all that passes between the module and the verifier,
//! and `verifier_user=NAME` or `verifier_uid=NUMBER` trusts a verifier that runs neither as root nor as the server's
//! own user. An argument that is unknown, malformed or given twice lets nobody in. The account line takes no arguments
//! and reads none: it repeats what the auth line decided about this user on this handle, so that a service with an
//! account line alone lets nobody in.
//!
//! Whatever goes wrong means no, and leaves one line in syslog with its class. The token stays in the module's own
//! memory, which is wiped, and never becomes a PAM item that other modules could read.

#![cfg(target_os = "linux")]

mod arguments;
mod entry;
mod ffi;
mod login;
mod status;
