//! `local user` and `local role`.

use std::process::ExitCode;

use countersign_authority::model::IdentityKind;
use countersign_core::failure::Failure;
use countersign_core::name::DbUser;
use countersign_core::token::KeyStatus;
use countersign_local::identities::Grant as Permission;
use countersign_local::{Layout, LocalError};

use super::with_people;
use crate::output;
use crate::policy::read_text;

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Make an IAM user with an access key, and a database user with rds_iam
    Create(Create),
    /// Let it log in, or give it a policy of your own
    Grant(Grant),
    /// Take its policy away
    Revoke(Named),
    /// Switch its access keys off
    DisableKey(Named),
    /// Switch its access keys on again
    EnableKey(Named),
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum RoleCommand {
    /// Make an IAM role, and a database user with rds_iam
    Create(Create),
    /// Let it log in, or give it a policy of your own
    Grant(Grant),
    /// Take its policy away
    Revoke(Named),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The IAM name
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign local user create jane\n  countersign local user create ci --db-user 'ci bot' --no-policy"
)]
pub(super) struct Create {
    #[command(flatten)]
    named: Named,
    /// The database user [default: the IAM name]
    #[arg(long, value_name = "USER")]
    db_user: Option<DbUser>,
    /// Don't let it log in yet
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
    /// The database user that it may be [default: the IAM name]
    #[arg(long, value_name = "USER", conflicts_with = "policy_document")]
    db_user: Option<DbUser>,
    /// The policy, in place of the usual one; - is standard input
    #[arg(long, value_name = "FILE")]
    policy_document: Option<String>,
}

pub(super) fn user(layout: &Layout, command: &UserCommand) -> Result<ExitCode, Failure> {
    match command {
        UserCommand::Create(create) => make(layout, IdentityKind::User, create),
        UserCommand::Grant(grant) => allow(layout, IdentityKind::User, grant),
        UserCommand::Revoke(named) => revoke(layout, IdentityKind::User, &named.name),
        UserCommand::DisableKey(named) => switch(layout, &named.name, KeyStatus::Inactive),
        UserCommand::EnableKey(named) => switch(layout, &named.name, KeyStatus::Active),
    }
}

pub(super) fn role(layout: &Layout, command: &RoleCommand) -> Result<ExitCode, Failure> {
    match command {
        RoleCommand::Create(create) => make(layout, IdentityKind::Role, create),
        RoleCommand::Grant(grant) => allow(layout, IdentityKind::Role, grant),
        RoleCommand::Revoke(named) => revoke(layout, IdentityKind::Role, &named.name),
    }
}

fn make(layout: &Layout, kind: IdentityKind, create: &Create) -> Result<ExitCode, Failure> {
    let name = &create.named.name;
    let db_user = with_people(layout, |people, _| {
        let db_user = or_same(create.db_user.as_ref(), name)?;
        people.create(
            kind,
            name,
            &db_user,
            if create.no_policy { Permission::None } else { Permission::Default },
        )?;
        Ok(db_user)
    })?;
    let may = if create.no_policy {
        "which may not log in until it is granted"
    } else {
        "which may log in"
    };
    output::note(&output::plain(&format!(
        "made the IAM {} {name}, {may} as the database user {db_user}",
        kind.as_str()
    )));
    Ok(ExitCode::SUCCESS)
}

fn allow(layout: &Layout, kind: IdentityKind, grant: &Grant) -> Result<ExitCode, Failure> {
    let document = grant.policy_document.as_deref().map(read_text).transpose()?;
    let name = &grant.named.name;
    with_people(layout, |people, _| {
        people.grant(kind, name, &or_same(grant.db_user.as_ref(), name)?, document.as_deref())
    })?;
    output::note(&format!("the IAM {} {name} has its policy", kind.as_str()));
    Ok(ExitCode::SUCCESS)
}

fn revoke(layout: &Layout, kind: IdentityKind, name: &str) -> Result<ExitCode, Failure> {
    let had = with_people(layout, |people, _| people.revoke(kind, name))?;
    output::note(&format!(
        "the IAM {} {name} {}",
        kind.as_str(),
        if had { "has no policy any more" } else { "had no policy" }
    ));
    Ok(ExitCode::SUCCESS)
}

fn switch(layout: &Layout, name: &str, status: KeyStatus) -> Result<ExitCode, Failure> {
    let keys = with_people(layout, |people, _| people.set_keys(name, status))?;
    let word = match status {
        KeyStatus::Active => "active",
        KeyStatus::Inactive => "inactive",
    };
    for key in keys {
        output::note(&format!("{key} is {word}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn or_same(db_user: Option<&DbUser>, name: &str) -> Result<DbUser, LocalError> {
    db_user.cloned().map_or_else(|| Ok(name.parse()?), Ok)
}
