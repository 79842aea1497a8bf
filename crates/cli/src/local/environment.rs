//! `countersign local env`, `countersign local psql` and `countersign local mysql`.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use countersign_authority::model::IdentityKind;
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::timestamp::rfc3339;
use countersign_local::identities::DEFAULT_USER;
use countersign_local::sources::{Account, Source, Sources, Variable};
use countersign_local::state::{InstanceState, State};
use countersign_local::{Layout, LocalError};
use zeroize::Zeroizing;

use super::context::{InstanceArgument, with_identities, with_store};
use crate::output;
use crate::token::export;

/// Lifetime of temporary credentials: the default of a role's session.
const SESSION: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  eval \"$(countersign local env)\"\n  eval \"$(countersign local \
     env --engine mysql --role reporting)\"\n  \
                  eval \"$(countersign local env --source irsa --service-account default/app)\""
)]
pub(super) struct Arguments {
    /// Source of credentials, as on the platform of that name: access keys (static), a service
    /// account's token (irsa, pod-identity), container credentials (ecs), instance metadata (imds),
    /// or an IAM Identity Center sign-in (sso)
    #[arg(long, value_enum, default_value_t)]
    source: SourceName,
    /// IAM user whose keys are exported; also the name of the database user
    #[arg(long, value_name = "NAME", default_value = DEFAULT_USER)]
    user: String,
    /// Assume this IAM role for one hour; with --source, the role of the credentials [default with
    /// --source: app-pod]
    #[arg(long, value_name = "NAME", conflicts_with = "temporary")]
    role: Option<String>,
    /// Service account for irsa and pod-identity; created if it does not exist
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "default/app")]
    service_account: AccountName,
    /// Export temporary credentials of the user, with a session token, valid for one hour
    #[arg(long)]
    temporary: bool,
    /// Database user, if its name differs
    #[arg(long, value_name = "USER")]
    db_user: Option<String>,
    #[command(flatten)]
    instance: InstanceArgument,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  countersign local psql -- -c 'create table t (i int)'\n  \
     countersign local mysql --engine mariadb -- app")]
pub(super) struct ClientArguments {
    #[command(flatten)]
    instance: InstanceArgument,
    /// Arguments of the client
    #[arg(last = true, value_name = "CLIENT ARGUMENT")]
    arguments: Vec<OsString>,
}

/// Prints `export` lines.
pub(super) fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { role, user, temporary, db_user, source, .. } = arguments;
    if *source == SourceName::Static && role.is_some() && user != DEFAULT_USER {
        return Err(Failure::new(
            Class::Usage,
            "cannot use both --user and --role: name one identity",
        ));
    }
    if *source != SourceName::Static && *temporary {
        return Err(Failure::new(
            Class::Usage,
            "cannot use --temporary with --source: it applies to a user's keys; omit one of them",
        ));
    }
    let text = with_store(layout, |identities, state, store| {
        let variables = match (arguments.source(), role) {
            (Some(source), role) => {
                Sources::new(layout, state, store).variables(source, role.as_deref())?
            }
            (None, Some(role)) => keys(&identities.session(IdentityKind::Role, role, SESSION)?),
            (None, None) if *temporary => {
                keys(&identities.session(IdentityKind::User, user, SESSION)?)
            }
            (None, None) => keys(&identities.access_key(user)?),
        };
        let instance = state.instance(&arguments.instance.selector(&[]))?;
        let name = role.as_ref().unwrap_or(user);
        Ok(exports(state, instance, &variables, db_user.as_ref().unwrap_or(name)))
    })?;
    output::line(&text).map(|()| ExitCode::SUCCESS)
}

/// `--source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum SourceName {
    /// Access keys of a user, or of a role's session, in environment variables
    #[default]
    Static,
    /// IAM roles for service accounts: a pod's token for STS
    Irsa,
    /// EKS Pod Identity: a pod's token for the agent
    PodIdentity,
    /// ECS container credentials endpoint
    Ecs,
    /// EC2 instance metadata, for a stack with --instance-profile
    Imds,
    /// IAM Identity Center profile, signed in as --user
    Sso,
}

/// `--service-account`.
#[derive(Debug, Clone)]
struct AccountName {
    namespace: String,
    name: String,
}

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once('/').ok_or("not of the form NAMESPACE/NAME")?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl Arguments {
    /// Returns the source of credentials. `None` for access keys.
    fn source(&self) -> Option<Source<'_>> {
        let account = Account {
            namespace: &self.service_account.namespace,
            name: &self.service_account.name,
        };
        match self.source {
            SourceName::Static => None,
            SourceName::Irsa => Some(Source::Irsa(account)),
            SourceName::PodIdentity => Some(Source::PodIdentity(account)),
            SourceName::Ecs => Some(Source::Ecs),
            SourceName::Imds => Some(Source::Imds),
            SourceName::Sso => Some(Source::Sso { user: &self.user }),
        }
    }
}

/// Returns the variables of static credentials.
fn keys(credentials: &Credentials) -> Vec<Variable> {
    let text = |text: &str| Zeroizing::new(text.to_owned());
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", text(credentials.access_key_id.as_str())),
        ("AWS_SECRET_ACCESS_KEY", text(credentials.secret.expose())),
    ];
    variables.extend(
        credentials
            .session_token
            .as_ref()
            .map(Secret::expose)
            .map(|token| ("AWS_SESSION_TOKEN", text(token))),
    );
    variables
        .extend(credentials.expires.map(|end| ("AWS_CREDENTIAL_EXPIRATION", text(&rfc3339(end)))));
    variables
}

/// Variables that select credentials. Those of an earlier evaluation are unset.
const CREDENTIALS: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

fn exports(
    state: &State,
    instance: &InstanceState,
    variables: &[Variable],
    user: &str,
) -> Zeroizing<String> {
    let is_set = |name: &str| variables.iter().any(|(set, _)| *set == name);
    let mut lines = Vec::new();
    // A sign-in changes HOME; the next evaluation restores it.
    lines.push(match is_set("HOME") {
        true => r#"export COUNTERSIGN_HOME="${COUNTERSIGN_HOME-${HOME-}}""#.to_owned(),
        false => concat!(
            r#"test -z "${COUNTERSIGN_HOME-}" || export HOME="$COUNTERSIGN_HOME"; "#,
            "unset COUNTERSIGN_HOME"
        )
        .to_owned(),
    });
    lines.extend(variables.iter().map(|(name, value)| export(name, value)));
    lines.push(export("AWS_REGION", state.region.as_str()));
    lines.push(export("AWS_DEFAULT_REGION", state.region.as_str()));
    lines.extend(state.aws_endpoint_url.as_ref().map(|url| export("AWS_ENDPOINT_URL", url)));
    // SDKs do not query instance metadata if it is disabled.
    let off = is_set("AWS_EC2_METADATA_SERVICE_ENDPOINT").then_some("AWS_EC2_METADATA_DISABLED");
    let unset: Vec<&str> =
        CREDENTIALS.into_iter().filter(|name| !is_set(name)).chain(off).collect();
    lines.push(format!("unset {}", unset.join(" ")));
    lines.extend(database(state, instance, user));
    Zeroizing::new(lines.join("\n"))
}

/// Returns the variables of libpq, or those of MySQL clients.
fn database(state: &State, instance: &InstanceState, user: &str) -> Vec<String> {
    let (host, port, ca) =
        (instance.host.as_str(), instance.port.to_string(), state.ca.display().to_string());
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
                // Required by clients of libmysqlclient to send a token, which they do only over
                // TLS.
                ("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1"),
            ],
            "MYSQL_PWD",
        ),
    };
    set.iter().map(|(name, value)| export(name, value)).chain([format!("unset {unset}")]).collect()
}

/// Executes the client of one of `engines` as the administrator.
pub(super) fn client(
    layout: &Layout,
    arguments: &ClientArguments,
    engines: &[Engine],
) -> Result<ExitCode, Failure> {
    let mut client = with_identities(layout, |identities, state| {
        let instance = state.instance(&arguments.instance.selector(engines))?;
        if !engines.contains(&instance.engine) {
            let (name, engine) = (&instance.instance, instance.engine);
            return Err(LocalError::Unusable(format!(
                "cannot connect to {name} with this client: its engine is {engine}; use \
                 `countersign local {}`",
                if engine == Engine::Postgres { "psql" } else { "mysql" }
            )));
        }
        identities.client(instance)
    })?;
    // Variables for terminal and editor. None changes the address.
    for name in ["EDITOR", "HOME", "LANG", "LC_ALL", "PAGER", "TERM"] {
        client.envs(env::var_os(name).map(|value| (name, value)));
    }
    let error = client.args(&arguments.arguments).exec();
    let program = client.get_program().display();
    Err(Failure::new(Class::Configuration, format!("cannot run {program}: {error}")))
}
