//! One function for each parser that a stranger's bytes reach. None may panic, hang or take much memory, and each
//! asserts what must hold of whatever it was given.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; an ordinary `cargo test` runs them on `seeds/`. A finding that is
//! mended becomes a seed. Without libFuzzer the binaries run the files that they are given: so a finding is tried again.

mod exchange;
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
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};

pub use identity::identity;
pub use ldap::ldap;
pub use mysql::{mysql_dial, mysql_login, mysql_stream};
pub use pg::{pg_dial, pg_login, pg_stream};
pub use policy::{policy, simulation};
pub use sigv4::request;
pub use token::token;
pub use verifier_protocol::{answer, question};

/// Runs a target on each file named on the command channel.
#[must_use]
pub fn replay(target: fn(&[u8])) -> ExitCode {
    for file in std::env::args_os().skip(1) {
        match std::fs::read(&file) {
            Ok(data) => target(&data),
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The entry point of a target's binary.
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

/// When it always is: noon of 15 January 2024, the date of the seeds.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000)
}

/// Who always signs; the seeds are signed with AWS's example key.
fn key() -> Option<Credentials> {
    let access_key_id = "AKIAIOSFODNN7EXAMPLE".parse().ok()?;
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")?;
    Some(Credentials { access_key_id, secret, session_token: None, expires: None })
}
