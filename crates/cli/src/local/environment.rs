//! `local env` and `local psql`.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use countersign_authority::store::IdentityKind;
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::timestamp::rfc3339;
use countersign_local::Layout;
use countersign_local::people::DEFAULT_USER;
use countersign_local::state::{InstanceState, State};
use zeroize::Zeroizing;

use super::{InstanceArgument, with_people};
use crate::output;
use crate::token::export;

/// How long temporary credentials last: the least that a role's session lasts by default.
const SESSION: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  eval \"$(countersign local env)\"\n  eval \"$(countersign local env --role reporting)\"")]
pub(super) struct Arguments {
    /// The IAM user whose keys are exported, and the database user of the same name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_USER)]
    user: String,
    /// Assume this IAM role for an hour instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user", "temporary"])]
    role: Option<String>,
    /// Export temporary credentials of the user, with a session token, good for an hour
    #[arg(long)]
    temporary: bool,
    /// The database user, where it has another name
    #[arg(long, value_name = "USER")]
    db_user: Option<String>,
    #[command(flatten)]
    instance: InstanceArgument,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  countersign local psql -- -c 'create table t (i int)'")]
pub(super) struct PsqlArguments {
    #[command(flatten)]
    instance: InstanceArgument,
    /// What psql is given
    #[arg(last = true, value_name = "PSQL ARGUMENT")]
    arguments: Vec<OsString>,
}

/// Prints the exports.
pub(super) fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let name = arguments.role.as_ref().unwrap_or(&arguments.user);
    let text = with_people(layout, |people, state| {
        let credentials = match (&arguments.role, arguments.temporary) {
            (Some(role), _) => people.session(IdentityKind::Role, role, SESSION)?,
            (None, true) => people.session(IdentityKind::User, &arguments.user, SESSION)?,
            (None, false) => people.access_key(&arguments.user)?,
        };
        let instance = state.instance(arguments.instance.instance.as_ref())?;
        Ok(exports(state, instance, &credentials, arguments.db_user.as_ref().unwrap_or(name)))
    })?;
    output::line(&text).map(|()| ExitCode::SUCCESS)
}

fn exports(state: &State, instance: &InstanceState, credentials: &Credentials, user: &str) -> Zeroizing<String> {
    let (port, ca) = (instance.port.to_string(), state.ca.display().to_string());
    let expires = credentials.expires.map(rfc3339);
    let mut lines = vec![
        export("AWS_ACCESS_KEY_ID", credentials.access_key_id.as_str()),
        export("AWS_SECRET_ACCESS_KEY", credentials.secret.expose()),
        export("AWS_REGION", state.region.as_str()),
        export("AWS_DEFAULT_REGION", state.region.as_str()),
        export("PGHOST", instance.host.as_str()),
        export("PGPORT", &port),
        export("PGUSER", user),
        export("PGDATABASE", &instance.database),
        export("PGSSLMODE", "verify-full"),
        export("PGSSLROOTCERT", &ca),
    ];
    lines.extend(state.aws_endpoint_url.as_ref().map(|url| export("AWS_ENDPOINT_URL", url)));
    // What an earlier evaluation set must not stay.
    let optional = [
        ("AWS_SESSION_TOKEN", credentials.session_token.as_ref().map(Secret::expose)),
        ("AWS_CREDENTIAL_EXPIRATION", expires.as_deref()),
        ("AWS_PROFILE", None),
        ("PGPASSWORD", None),
    ];
    lines.extend(optional.map(|(name, value)| value.map_or(format!("unset {name}"), |value| export(name, value))));
    Zeroizing::new(lines.join("\n"))
}

/// Becomes psql.
pub(super) fn psql(layout: &Layout, arguments: &PsqlArguments) -> Result<ExitCode, Failure> {
    let mut psql = with_people(layout, |people, state| people.psql(state.instance(arguments.instance.instance.as_ref())?))?;
    // What a terminal and an editor need; nothing that leads psql elsewhere.
    for name in ["EDITOR", "HOME", "LANG", "LC_ALL", "PAGER", "TERM"] {
        psql.envs(env::var_os(name).map(|value| (name, value)));
    }
    let error = psql.args(&arguments.arguments).exec();
    Err(Failure::new(Class::Configuration, format!("psql can't be run: {error}")))
}
