//! `proxy check`: what a proxy would do.

use std::process::ExitCode;

use countersign_connect::tls::Verification;
use countersign_core::failure::Failure;
use countersign_proxy::settings::{
    ClientAuth, Listen, ServerAuth, TargetSessionAttrs, TargetSettings,
};
use serde_json::{Value, json};

use super::plan::{Operation, Plan};
use super::{Request, duration};
use crate::output::{self, Format};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy check
  countersign proxy check --config staging.toml --output json | jq '.targets[].listen'")]
pub(crate) struct Arguments {
    #[command(flatten)]
    request: Request,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let plan = super::plan(&arguments.request, None)?;
    plan.left_out
        .iter()
        .for_each(|said| output::note(&output::escape_control(&format!("left out: {said}"))));
    match arguments.output {
        Format::Json => output::json(&value(&plan))?,
        Format::Text => output::line(&text(&plan))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A block for each target, and one for the rest.
pub(super) fn text(plan: &Plan) -> String {
    let lines = |value: &Value| -> String {
        let members = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "name" && !value.is_null());
        let words = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(list) => list
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        members
            .map(|(key, value)| format!("\n  {key:<24} {}", output::escape_control(&words(value))))
            .collect()
    };
    let targets = plan
        .settings
        .targets
        .iter()
        .map(|target| format!("{}{}", target.name, lines(&self::target(target))));
    let proxy = format!("the proxy{}", lines(&operation(plan)));
    targets.chain(std::iter::once(proxy)).collect::<Vec<_>>().join("\n\n")
}

fn value(plan: &Plan) -> Value {
    let targets: Vec<Value> = plan.settings.targets.iter().map(target).collect();
    json!({ "targets": targets, "proxy": operation(plan) })
}

fn target(target: &TargetSettings) -> Value {
    let server_auth = match &target.server_auth {
        ServerAuth::Iam(settings) => format!("IAM, with {settings}"),
        ServerAuth::Password(_) => "a password".to_owned(),
    };
    let tls = match target.tls.verification {
        Verification::VerifyFull => "verify-full",
        Verification::VerifyCa => "verify-ca",
        Verification::Require => "require",
        Verification::Disable => "disable",
    };
    let session_attrs = match target.target_session_attrs {
        TargetSessionAttrs::Any => "any",
        TargetSessionAttrs::ReadWrite => "read-write",
    };
    let pool = target.pool;
    json!({
        "name": target.name,
        "engine": target.engine,
        "dials": format!("{}:{}", target.host, target.port),
        "signs-for": target.sign.as_ref().map(|(host, port)| format!("{host}:{port}")),
        "region": target.region,
        "user": target.user,
        "database": target.database,
        "server-auth": server_auth,
        "tls": tls,
        "ca-file": target.tls.ca_file,
        "target-session-attrs": session_attrs,
        "listen": target.listen.iter().map(listen).collect::<Vec<_>>(),
        "client-auth": client_auth(&target.client_auth),
        "client-tls": target.client_tls.as_ref().map(|tls| if tls.required { "required" } else { "offered" }),
        "pool": format!(
            "min-idle {}, {}, max-idle {}, idle-timeout {}, max-lifetime {}",
            pool.min_idle, if pool.reuse { "reused" } else { "not reused" }, pool.max_idle,
            duration::written(pool.idle_timeout), duration::written(pool.max_lifetime),
        ),
        "max-connections": unlimited(target.max_connections),
        "logins-per-second": target.logins_per_second,
        "connect-timeout": duration::written(target.connect_timeout),
        "session-timeout": target.session_timeout.map(duration::written),
    })
}

fn unlimited(most: usize) -> Value {
    if most == 0 { "no limit".into() } else { most.into() }
}

/// A listener as the file has it.
fn listen(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
        Listen::Activated(name) => format!("systemd:{name}"),
    }
}

fn client_auth(auth: &ClientAuth) -> String {
    match auth {
        ClientAuth::Trust => "trust".to_owned(),
        ClientAuth::TrustNetwork => "trust, open to the network".to_owned(),
        ClientAuth::Password(_) => "password".to_owned(),
        ClientAuth::Users(users) => {
            format!("users {}", users.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

fn operation(plan: &Plan) -> Value {
    let Operation { http, admin, admin_socket, otlp_endpoint, connection_test, logs, grace } =
        &plan.operation;
    let http = http.map(|http| {
        let what = match (http.health, http.metrics) {
            (true, true) => "health, metrics",
            (true, false) => "health",
            _ => "metrics",
        };
        format!("{} ({what})", http.address)
    });
    let admin = admin.map(|admin| {
        let what = match (admin.debug, admin.quit) {
            (true, true) => "debug, quitquitquit",
            (true, false) => "debug",
            _ => "quitquitquit",
        };
        format!("{} ({what})", admin.address)
    });
    json!({
        "files": plan.files,
        "max-connections": unlimited(plan.settings.max_connections),
        "login-timeout": duration::written(plan.settings.login_timeout),
        "http": http,
        "admin": admin,
        "admin-socket": admin_socket.as_ref().map(|socket| &socket.path),
        "otlp-endpoint": otlp_endpoint,
        "run-connection-test": connection_test,
        "structured-logs": logs.structured,
        "quiet": logs.quiet,
        "min-sigterm-delay": duration::written(grace.least),
        "max-sigterm-delay": duration::written(grace.most),
        "exit-zero-on-sigterm": grace.exit_zero,
    })
}
