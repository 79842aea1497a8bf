//! `countersign proxy check`: prints the effective configuration.

use std::process::ExitCode;

use countersign_connect::tls::Verification;
use countersign_core::failure::Failure;
use countersign_proxy::settings::{
    ClientAuth, Listen, ServerAuth, TargetSessionAttrs, TargetSettings,
};
use serde_json::{Value, json};

use super::duration;
use super::options::Request;
use super::plan::{Operation, Plan};
use crate::output::{self, Format};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy check
  countersign proxy check --config staging.toml --output json | jq '.targets[].listen'")]
pub(crate) struct Arguments {
    #[command(flatten)]
    request: Request,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `countersign proxy check`.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let plan = Plan::resolve_here(&arguments.request, None)?;
    for error in &plan.skipped {
        output::note(&output::escape_control(&format!("target skipped: {error}")));
    }
    match arguments.output {
        Format::Json => output::json(&plan_json(&plan))?,
        Format::Text => output::line(&plan_text(&plan))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Formats a block for each target, and one for the proxy.
pub(super) fn plan_text(plan: &Plan) -> String {
    let targets = plan
        .settings
        .targets
        .iter()
        .map(|target| format!("{}{}", target.name, members_text(&target_json(target))));
    let proxy = format!("the proxy{}", members_text(&operation_json(plan)));
    targets.chain(std::iter::once(proxy)).collect::<Vec<_>>().join("\n\n")
}

fn members_text(value: &Value) -> String {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| *key != "name" && !value.is_null())
        .map(|(key, value)| format!("\n  {key:<24} {}", output::escape_control(&value_text(value))))
        .collect()
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(value_text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn plan_json(plan: &Plan) -> Value {
    let targets: Vec<Value> = plan.settings.targets.iter().map(target_json).collect();
    json!({ "targets": targets, "proxy": operation_json(plan) })
}

fn target_json(target: &TargetSettings) -> Value {
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
    let client_tls =
        target.client_tls.as_ref().map(|tls| if tls.required { "required" } else { "offered" });
    let pool = target.pool;
    json!({
        "name": target.name,
        "engine": target.engine,
        "endpoint": format!("{}:{}", target.host, target.port),
        "sign-host": target.sign.as_ref().map(|(host, port)| format!("{host}:{port}")),
        "region": target.region,
        "user": target.user,
        "database": target.database,
        "server-auth": server_auth,
        "tls": tls,
        "ca-file": target.tls.ca_file,
        "target-session-attrs": session_attrs,
        "listen": target.listen.iter().map(listen).collect::<Vec<_>>(),
        "client-auth": client_auth(&target.client_auth),
        "client-tls": client_tls,
        "pool": format!(
            "min-idle {}, {}, max-idle {}, idle-timeout {}, max-lifetime {}",
            pool.min_idle, if pool.reuse { "reused" } else { "not reused" }, pool.max_idle,
            duration::format(pool.idle_timeout), duration::format(pool.max_lifetime),
        ),
        "max-connections": limit(target.max_connections),
        "logins-per-second": target.logins_per_second,
        "connect-timeout": duration::format(target.connect_timeout),
        "session-timeout": target.session_timeout.map(duration::format),
    })
}

fn limit(max: usize) -> Value {
    if max == 0 { "no limit".into() } else { max.into() }
}

/// Formats a listener as it is written in the file.
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

fn operation_json(plan: &Plan) -> Value {
    let Operation { http, admin, admin_socket, otlp_endpoint, connection_test, logs, shutdown } =
        &plan.operation;
    let http = http.map(|http| {
        let served = match (http.health, http.metrics) {
            (true, true) => "health, metrics",
            (true, false) => "health",
            _ => "metrics",
        };
        format!("{} ({served})", http.address)
    });
    let admin = admin.map(|admin| {
        let served = match (admin.debug, admin.quit) {
            (true, true) => "debug, quitquitquit",
            (true, false) => "debug",
            _ => "quitquitquit",
        };
        format!("{} ({served})", admin.address)
    });
    json!({
        "files": plan.files,
        "max-connections": limit(plan.settings.max_connections),
        "login-timeout": duration::format(plan.settings.login_timeout),
        "http": http,
        "admin": admin,
        "admin-socket": admin_socket.as_ref().map(|socket| &socket.path),
        "otlp-endpoint": otlp_endpoint,
        "run-connection-test": connection_test,
        "structured-logs": logs.structured,
        "quiet": logs.quiet,
        "min-sigterm-delay": duration::format(shutdown.min_delay),
        "max-sigterm-delay": duration::format(shutdown.max_delay),
        "exit-zero-on-sigterm": shutdown.exit_zero,
    })
}
