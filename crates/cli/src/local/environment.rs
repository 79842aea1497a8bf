//! `local env`, `local psql` and `local mysql`.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Duration;

use countersign_authority::store::IdentityKind;
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::timestamp::rfc3339;
use countersign_local::people::DEFAULT_USER;
use countersign_local::state::{InstanceState, State};
use countersign_local::{Layout, LocalError};
use zeroize::Zeroizing;

use super::{InstanceArgument, with_people};
use crate::output;
use crate::token::export;

/// How long temporary credentials last: the least that a role's session lasts by default.
const SESSION: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  eval \"$(countersign local env)\"\n  eval \"$(countersign local env --engine mysql --role reporting)\""
)]
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
#[command(
    after_help = "Examples:\n  countersign local psql -- -c 'create table t (i int)'\n  countersign local mysql --engine mariadb -- app"
)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    instance: InstanceArgument,
    /// What the client is given
    #[arg(last = true, value_name = "CLIENT ARGUMENT")]
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
        let instance = state.instance(&arguments.instance.which(&[]))?;
        Ok(exports(state, instance, &credentials, arguments.db_user.as_ref().unwrap_or(name)))
    })?;
    output::line(&text).map(|()| ExitCode::SUCCESS)
}

fn exports(state: &State, instance: &InstanceState, credentials: &Credentials, user: &str) -> Zeroizing<String> {
    let expires = credentials.expires.map(rfc3339);
    let mut lines = vec![
        export("AWS_ACCESS_KEY_ID", credentials.access_key_id.as_str()),
        export("AWS_SECRET_ACCESS_KEY", credentials.secret.expose()),
        export("AWS_REGION", state.region.as_str()),
        export("AWS_DEFAULT_REGION", state.region.as_str()),
    ];
    lines.extend(state.aws_endpoint_url.as_ref().map(|url| export("AWS_ENDPOINT_URL", url)));
    // What an earlier evaluation set must not stay.
    let optional = [
        ("AWS_SESSION_TOKEN", credentials.session_token.as_ref().map(Secret::expose)),
        ("AWS_CREDENTIAL_EXPIRATION", expires.as_deref()),
        ("AWS_PROFILE", None),
    ];
    lines.extend(optional.map(|(name, value)| value.map_or(format!("unset {name}"), |value| export(name, value))));
    lines.extend(database(state, instance, user));
    Zeroizing::new(lines.join("\n"))
}

/// The variables of libpq, or those that MySQL's clients and people's programs go by.
fn database(state: &State, instance: &InstanceState, user: &str) -> Vec<String> {
    let (host, port, ca) = (instance.host.as_str(), instance.port.to_string(), state.ca.display().to_string());
    let (set, unset): (Vec<(&str, &str)>, _) = match instance.engine {
        Engine::Postgres => (
            vec![
                ("PGHOST", host),
                ("PGPORT", &port),
                ("PGUSER", user),
                ("PGDATABASE", &instance.database),
                ("PGSSLMODE", "verify-full"),
                ("PGSSLROOTCERT", &ca),
            ],
            "PGPASSWORD",
        ),
        Engine::Mariadb | Engine::Mysql => (
            vec![
                ("MYSQL_HOST", host),
                ("MYSQL_TCP_PORT", &port),
                ("MYSQL_USER", user),
                ("MYSQL_DATABASE", &instance.database),
                ("MYSQL_SSL_CA", &ca),
                // What clients of Oracle's library need before they send a token, which they only do over TLS.
                ("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1"),
            ],
            "MYSQL_PWD",
        ),
    };
    set.iter().map(|(name, value)| export(name, value)).chain([format!("unset {unset}")]).collect()
}

/// Becomes the client of one of `engines`, as the administrator.
pub(super) fn client(layout: &Layout, arguments: &ClientArguments, engines: &[Engine]) -> Result<ExitCode, Failure> {
    let mut client = with_people(layout, |people, state| {
        let instance = state.instance(&arguments.instance.which(engines))?;
        if !engines.contains(&instance.engine) {
            let (name, engine) = (&instance.instance, instance.engine);
            return Err(LocalError::Unusable(format!(
                "{name} is a server of {engine}: use `countersign local {}`",
                if engine == Engine::Postgres { "psql" } else { "mysql" }
            )));
        }
        people.client(instance)
    })?;
    // What a terminal and an editor need; nothing that leads the client elsewhere.
    for name in ["EDITOR", "HOME", "LANG", "LC_ALL", "PAGER", "TERM"] {
        client.envs(env::var_os(name).map(|value| (name, value)));
    }
    let error = client.args(&arguments.arguments).exec();
    let program = client.get_program().display();
    Err(Failure::new(Class::Configuration, format!("{program} can't be run: {error}")))
}
