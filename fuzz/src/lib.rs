//! One function for each parser of untrusted bytes. None may panic, hang or use much memory, and
//! each asserts the invariants of its result.
//!
//! `cargo xtask fuzz` runs them under libFuzzer, and `cargo test` on `seeds/`. The input of a fixed
//! finding becomes a seed. Without libFuzzer the binaries run the files that they are given, to
//! reproduce a finding.

mod exchange;
mod fixture;
mod identity;
mod ldap;
mod mysql;
mod pg;
mod policy;
mod sigv4;
#[cfg(test)]
mod tests;
mod token;
mod verifier_protocol;

use std::process::ExitCode;

pub use identity::identity;
pub use ldap::ldap;
pub use mysql::{mysql_client, mysql_server, mysql_stream};
pub use pg::{pg_client, pg_server, pg_stream};
pub use policy::{policy, simulation};
pub use sigv4::request;
pub use token::token;
pub use verifier_protocol::{verify_request, verify_response};

/// Runs a target on each file that the command line names.
#[must_use]
pub fn replay(target: fn(&[u8])) -> ExitCode {
    for file in std::env::args_os().skip(1) {
        match std::fs::read(&file) {
            Ok(data) => target(&data),
            Err(error) => {
                eprintln!("cannot read {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Defines the entry point of a target's binary.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::replay($crate::$name)
        }
    };
}
