//! `countersign token inspect`: shows a token's parts and whether it is valid.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::ExitCode;
use std::time::SystemTime;

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure, exit};
use countersign_core::name::{DbUser, Engine};
use countersign_core::proof::UnverifiedProof;
use countersign_core::sigv4::KeyCache;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::{KeyStatus, MAX_TOKEN, UnverifiedToken};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::output::{self, Format};
use crate::process::io_failure;
use crate::signing::Signing;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Also verify the signature with your own credentials for this host, port and user
    #[arg(long, requires = "hostname", requires = "port", requires = "username")]
    verify: bool,
    /// Host of the database
    #[arg(long, requires = "verify", value_name = "HOST", value_parser = crate::signing::host)]
    hostname: Option<HostName>,
    /// Port of the database
    #[arg(long, requires = "verify", value_name = "PORT")]
    port: Option<u16>,
    /// Database user
    #[arg(long, requires = "verify", value_name = "USER")]
    username: Option<DbUser>,
    #[command(flatten)]
    signing: Signing,
    /// Catches a token passed as an argument, where every process list and error message would show
    /// it
    #[arg(hide = true)]
    misplaced: Option<OsString>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

const EXAMPLES: &str = "Examples:
  countersign token inspect < token.txt
  countersign token inspect --verify --hostname $H --port 5432 --username jane < token.txt";

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments").field("verify", &self.verify).finish_non_exhaustive()
    }
}

/// Printed report. It contains neither the signature nor the session token.
#[derive(Debug, Serialize)]
struct Report {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Class>,
    detail: String,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

#[derive(Debug, Serialize)]
struct Parts {
    host: String,
    port: Option<u16>,
    user: Option<String>,
    action: String,
    service: String,
    region: String,
    access_key_id: String,
    signed: String,
    age_seconds: i64,
    lifetime_seconds: u64,
    session_token_bytes: Option<usize>,
    /// Names that a proof of identity is bound to. They are signed, but not part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
}

/// Reads a token from standard input, checks it, and prints a report.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.misplaced.is_some() {
        return Err(Failure::new(
            Class::Usage,
            "cannot take the token as an argument: pass it on standard input, countersign token \
             inspect < FILE",
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TOKEN + 2));
    let most = u64::try_from(MAX_TOKEN + 2).unwrap_or(u64::MAX);
    io::stdin()
        .lock()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| io_failure("standard input", &error))?;
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let text = text.trim_end_matches(['\r', '\n']);
    let now = SystemTime::now();
    let proof = text.starts_with("https://") || text.starts_with("http://");
    let (parts, checked) = if proof {
        (
            UnverifiedProof::parse(text).ok().map(|proof| proof_parts(&proof, now)),
            check_proof(text, arguments, now),
        )
    } else {
        (
            UnverifiedToken::parse(text).ok().map(|token| parts(&token, now)),
            check(text, arguments, now),
        )
    };
    // Missing credentials are a failure of this command, not a verdict on the token.
    let report = match checked {
        Err(failure) if failure.class.exit_status() != exit::DENIED => return Err(failure),
        Ok(()) => {
            let detail = if arguments.verify {
                "valid for this login"
            } else {
                "format and age are valid; the signature was not verified"
            };
            Report {
                valid: true,
                reason: None,
                detail: detail.to_owned(),
                verified: arguments.verify,
                parts,
            }
        }
        Err(Failure { class, detail }) => {
            Report { valid: false, reason: Some(class), detail, verified: arguments.verify, parts }
        }
    };
    match arguments.output {
        Format::Json => output::json(&report)?,
        Format::Text => print(&report)?,
    }
    Ok(if report.valid { ExitCode::SUCCESS } else { ExitCode::from(exit::DENIED) })
}

fn check(text: &str, arguments: &Arguments, now: SystemTime) -> Result<(), Failure> {
    let token = UnverifiedToken::parse(text)?;
    let (Some(host), Some(port), Some(user)) =
        (&arguments.hostname, arguments.port, &arguments.username)
    else {
        token.check()?;
        return token.current(now);
    };
    let signer = arguments.signing.signer(Engine::Postgres, host, port)?;
    let addressed = token.addressed_to(&[signer.endpoint], user)?;
    addressed.verify(&signer.credentials, KeyStatus::Active, &KeyCache::default(), now).map(drop)
}

/// Checks format and age of a proof. Only STS can verify it.
fn check_proof(text: &str, arguments: &Arguments, now: SystemTime) -> Result<(), Failure> {
    if arguments.verify {
        return Err(Failure::new(
            Class::Usage,
            "cannot verify a proof: only STS can; omit --verify",
        ));
    }
    UnverifiedProof::parse(text)?.current(now)
}

fn proof_parts(proof: &UnverifiedProof<'_>, now: SystemTime) -> Parts {
    Parts {
        host: proof.authority().to_owned(),
        port: None,
        user: None,
        action: "GetCallerIdentity".to_owned(),
        service: "sts".to_owned(),
        region: proof.region().to_owned(),
        access_key_id: proof.access_key_id().to_string(),
        signed: rfc3339(proof.date()),
        age_seconds: age(proof.date(), now),
        lifetime_seconds: proof.lifetime().as_secs(),
        session_token_bytes: proof.session_token_length(),
        proof: Some(if proof.names_user() {
            "bound to one database and one user"
        } else {
            "bound to one database"
        }),
    }
}

fn age(date: SystemTime, now: SystemTime) -> i64 {
    let whole =
        |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    now.duration_since(date).map_or_else(|ahead| -whole(ahead.duration()), whole)
}

fn parts(token: &UnverifiedToken<'_>, now: SystemTime) -> Parts {
    Parts {
        host: token.host().to_owned(),
        port: token.port(),
        user: token.user().map(str::to_owned),
        action: token.action().to_owned(),
        service: token.service().to_owned(),
        region: token.region().to_owned(),
        access_key_id: token.access_key_id().to_string(),
        signed: rfc3339(token.date()),
        age_seconds: age(token.date(), now),
        lifetime_seconds: token.lifetime().as_secs(),
        session_token_bytes: token.session_token_length(),
        proof: None,
    }
}

fn print(report: &Report) -> Result<(), Failure> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("valid", if report.valid { "yes" } else { "no" }.to_owned());
    if let Some(class) = report.reason {
        row("reason", format!("{class}: {}", class.public()));
    }
    row("detail", report.detail.clone());
    if let Some(parts) = &report.parts {
        let or_missing = |value: Option<String>| value.unwrap_or_else(|| "missing".to_owned());
        row("host", parts.host.clone());
        match parts.proof {
            Some(bound) => row("proof", bound.to_owned()),
            None => {
                row("port", or_missing(parts.port.map(|port| port.to_string())));
                row(
                    "user",
                    or_missing(parts.user.as_ref().map(|user| user.escape_debug().to_string())),
                );
            }
        }
        row("action", parts.action.escape_debug().to_string());
        row("service", parts.service.escape_debug().to_string());
        row("region", parts.region.escape_debug().to_string());
        row("access key", parts.access_key_id.clone());
        row(
            "signed",
            format!(
                "{} ({} s ago, valid for {} s)",
                parts.signed, parts.age_seconds, parts.lifetime_seconds
            ),
        );
        row(
            "session token",
            parts.session_token_bytes.map_or("none".to_owned(), |bytes| format!("{bytes} bytes")),
        );
    }
    output::line(&output::columns(&rows))
}
