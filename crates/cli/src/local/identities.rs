//! `countersign local user` and `countersign local role`.

use std::process::ExitCode;

use countersign_authority::model::IdentityKind;
use countersign_core::failure::Failure;
use countersign_core::name::DbUser;
use countersign_core::token::KeyStatus;
use countersign_local::identities::Grant as Permission;
use countersign_local::{Layout, LocalError};

use super::context::with_identities;
use crate::output;
use crate::process::read_text;

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Create an IAM user with an access key, and a database user with rds_iam
    Create(Create),
    /// Allow it to log in, or attach your own policy
    Grant(Grant),
    /// Remove its policy
    Revoke(Named),
    /// Deactivate its access keys
    DisableKey(Named),
    /// Activate its access keys
    EnableKey(Named),
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum RoleCommand {
    /// Create an IAM role, and a database user with rds_iam
    Create(Create),
    /// Allow it to log in, or attach your own policy
    Grant(Grant),
    /// Remove its policy
    Revoke(Named),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// IAM name
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign local user create jane\n  countersign local user \
     create ci --db-user 'ci bot' --no-policy"
)]
pub(super) struct Create {
    #[command(flatten)]
    named: Named,
    /// Database user [default: the IAM name]
    #[arg(long, value_name = "USER")]
    db_user: Option<DbUser>,
    /// Create it without a policy: logins are denied
    #[arg(long)]
    no_policy: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  countersign local user grant jane --policy-document policy.json"
)]
pub(super) struct Grant {
    #[command(flatten)]
    named: Named,
    /// Database user that it may log in as [default: the IAM name]
    #[arg(long, value_name = "USER", conflicts_with = "policy_document")]
    db_user: Option<DbUser>,
    /// Policy document instead of the default policy; - is standard input
    #[arg(long, value_name = "FILE")]
    policy_document: Option<String>,
}

pub(super) fn user(layout: &Layout, command: &UserCommand) -> Result<ExitCode, Failure> {
    match command {
        UserCommand::Create(arguments) => create(layout, IdentityKind::User, arguments),
        UserCommand::Grant(arguments) => grant(layout, IdentityKind::User, arguments),
        UserCommand::Revoke(named) => revoke(layout, IdentityKind::User, &named.name),
        UserCommand::DisableKey(named) => set_key_status(layout, &named.name, KeyStatus::Inactive),
        UserCommand::EnableKey(named) => set_key_status(layout, &named.name, KeyStatus::Active),
    }
}

pub(super) fn role(layout: &Layout, command: &RoleCommand) -> Result<ExitCode, Failure> {
    match command {
        RoleCommand::Create(arguments) => create(layout, IdentityKind::Role, arguments),
        RoleCommand::Grant(arguments) => grant(layout, IdentityKind::Role, arguments),
        RoleCommand::Revoke(named) => revoke(layout, IdentityKind::Role, &named.name),
    }
}

fn create(layout: &Layout, kind: IdentityKind, arguments: &Create) -> Result<ExitCode, Failure> {
    let name = &arguments.named.name;
    let db_user = with_identities(layout, |identities, _| {
        let db_user = db_user_or_name(arguments.db_user.as_ref(), name)?;
        identities.create(
            kind,
            name,
            &db_user,
            if arguments.no_policy { Permission::None } else { Permission::Default },
        )?;
        Ok(db_user)
    })?;
    let access = if arguments.no_policy {
        "logins are denied until it is granted a policy"
    } else {
        "logins are allowed"
    };
    output::note(&output::escape_control(&format!(
        "created the IAM {} {name} with the database user {db_user}: {access}",
        kind.as_str()
    )));
    Ok(ExitCode::SUCCESS)
}

fn grant(layout: &Layout, kind: IdentityKind, arguments: &Grant) -> Result<ExitCode, Failure> {
    let document = arguments.policy_document.as_deref().map(read_text).transpose()?;
    let name = &arguments.named.name;
    with_identities(layout, |identities, _| {
        identities.grant(
            kind,
            name,
            &db_user_or_name(arguments.db_user.as_ref(), name)?,
            document.as_deref(),
        )
    })?;
    output::note(&format!("attached the policy to the IAM {} {name}", kind.as_str()));
    Ok(ExitCode::SUCCESS)
}

fn revoke(layout: &Layout, kind: IdentityKind, name: &str) -> Result<ExitCode, Failure> {
    let removed = with_identities(layout, |identities, _| identities.revoke(kind, name))?;
    output::note(&format!(
        "{} the IAM {} {name}",
        if removed { "removed the policy of" } else { "found no policy of" },
        kind.as_str()
    ));
    Ok(ExitCode::SUCCESS)
}

fn set_key_status(layout: &Layout, name: &str, status: KeyStatus) -> Result<ExitCode, Failure> {
    let keys = with_identities(layout, |identities, _| identities.set_keys(name, status))?;
    let word = match status {
        KeyStatus::Active => "active",
        KeyStatus::Inactive => "inactive",
    };
    for key in keys {
        output::note(&format!("{key} is {word}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn db_user_or_name(db_user: Option<&DbUser>, name: &str) -> Result<DbUser, LocalError> {
    db_user.cloned().map_or_else(|| Ok(name.parse()?), Ok)
}
