//! `demo`: real logins to real servers, and every way to be refused. It fails where anything goes otherwise than said.

mod engine;
mod person;
mod server;
mod stack;
mod table;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{bold, header, note};
use crate::workspace::Workspace;
use engine::Engine;
use person::Person;
use server::{Login, Server};
use stack::Stack;
use table::Table;

/// Allows every login, and denies them all the same: the deny wins.
const DENY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"},
    {"Sid": "NotDan", "Effect": "Deny", "Action": "rds-db:connect", "Resource": "arn:aws:rds-db:*:*:dbuser:*/dan"}]}"#;

/// The password of the one database user that has one.
const PASSWORD: &str = "a plain old password";

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let down = match arguments {
        [] => false,
        ["--down"] => true,
        _ => return Err(Problem::usage("`demo` takes `--down` or nothing")),
    };
    // Of these, `local up` leaves out what it can't have of MariaDB and MySQL.
    setup::provide(
        workspace,
        &[Need::PostgreSql, Need::Aws, Need::Faketime, Need::MariaDb, Need::Mmdebstrap],
    );
    setup::require(workspace, &[Need::PostgreSql, Need::Aws, Need::Faketime])?;
    header("build");
    command::run(workspace.cargo().args(["build", "--workspace", "--lib", "--bins", "--locked"]))?;
    header("start");
    let stack = Stack::up(workspace)?;
    let shown = show(&stack);
    if down {
        stack.down()?;
    }
    let surprises = shown?;
    if !down {
        println!("{}", by_hand(&stack)?);
    }
    match surprises {
        0 => Ok(()),
        1 => Err(Problem::new("one of these went otherwise than it should: it is marked ✗")),
        more => Err(Problem::new(format!(
            "{more} of these went otherwise than they should: they are marked ✗"
        ))),
    }
}

/// What has to come of a login.
#[derive(Clone, Copy)]
enum Expected {
    /// It opens, for the authority allowed it.
    Allowed,
    /// The authority denies it, with this class of failure.
    Denied(&'static str),
    /// The authority denies it where the server tells that there is no TLS; else it allows, and the server itself refuses.
    DeniedOrRequireSsl,
    /// It opens, and the authority is not asked, because…
    OpensUnasked(&'static str),
    /// The server refuses it, and the authority is not asked, because…
    RefusedUnasked(&'static str),
}

impl Expected {
    fn is_met_by(self, login: &Login) -> bool {
        let decision = login
            .decision
            .as_ref()
            .map(|decision| (decision.outcome.as_str(), decision.class.as_deref()));
        match self {
            Self::Allowed => login.client.is_ok() && decision == Some(("allowed", None)),
            Self::Denied(class) => {
                login.client.is_err() && decision == Some(("denied", Some(class)))
            }
            Self::DeniedOrRequireSsl => {
                login.said().starts_with("ERROR 1045")
                    && matches!(decision, Some(("denied", Some("no-tls")) | ("allowed", None)))
            }
            Self::OpensUnasked(_) => login.client.is_ok() && decision.is_none(),
            Self::RefusedUnasked(_) => login.client.is_err() && decision.is_none(),
        }
    }

    const fn asks(self) -> bool {
        matches!(self, Self::Allowed | Self::Denied(_) | Self::DeniedOrRequireSsl)
    }

    /// The authority's reason, or what stands in its place.
    fn reason(self, login: &Login) -> String {
        match (self, &login.decision) {
            (Self::DeniedOrRequireSsl, Some(decision)) if decision.outcome == "allowed" => {
                "allows it, for this server does not tell it about TLS; the server refuses, by the account's REQUIRE SSL".to_owned()
            }
            (_, Some(decision)) => decision.reason.clone(),
            (Self::OpensUnasked(why) | Self::RefusedUnasked(why), None) => why.to_owned(),
            (_, None) => "has no record of it".to_owned(),
        }
    }
}

/// Makes the people, and tries the logins to each server. Gives back how many went otherwise than expected.
fn show(stack: &Stack<'_>) -> Result<u32, Problem> {
    header("people");
    stack.create("ana", &[])?;
    stack.create("ben", &[])?;
    stack.create("cleo", &["--no-policy"])?;
    stack.create("dan", &[])?;
    stack.grant("dan", DENY)?;
    stack.create("eve", &[])?;
    let mut surprises = 0;
    for engine in [Engine::Postgres, Engine::Mariadb, Engine::Mysql] {
        header(&format!("logins to {}", engine.title()));
        match stack.left_out(engine)? {
            None => surprises += logins(stack, engine)?,
            Some(why) => note(&format!("It was left out: {why}")),
        }
    }
    Ok(surprises)
}

/// Tries the logins to one server and shows what came of each. What goes the same way everywhere is tried on PostgreSQL alone.
fn logins(stack: &Stack<'_>, engine: Engine) -> Result<u32, Problem> {
    let server = Server::of(stack, engine)?;
    let everything = engine == Engine::Postgres;
    let token = |person: &Person| stack.token(person, person.port);
    let mut table = Table::new(["", engine.client(), "the authority"]);
    let mut attempt = |what: &str, person: &Person, password: String, expected: Expected| {
        let login = server.login(person, &password, expected.asks())?;
        table.row(expected.is_met_by(&login), [what, login.said(), &expected.reason(&login)]);
        Ok(())
    };

    let ana = server.person("ana")?;
    attempt("a token of the aws CLI", &ana, stack.aws_token(&ana, &[])?, Expected::Allowed)?;
    attempt("one of countersign token", &ana, token(&ana)?, Expected::Allowed)?;

    let old = stack.aws_token(&ana, &["faketime", "-f", "-16m"])?;
    attempt("expired", &ana, old, Expected::Denied("expired"))?;
    attempt(
        "ana's token, as ben",
        &server.person("ben")?,
        token(&ana)?,
        Expected::Denied("wrong-user"),
    )?;
    if everything {
        attempt(
            "for another port",
            &ana,
            stack.token(&ana, ana.port ^ 1)?,
            Expected::Denied("wrong-port"),
        )?;
    }
    attempt(
        "signature tampered with",
        &ana,
        tampered(&token(&ana)?),
        Expected::Denied("signature-mismatch"),
    )?;
    let (cleo, dan) = (server.person("cleo")?, server.person("dan")?);
    attempt("cleo has no policy", &cleo, token(&cleo)?, Expected::Denied("not-allowed"))?;
    attempt("a policy denies dan", &dan, token(&dan)?, Expected::Denied("explicitly-denied"))?;
    if everything {
        let eve = server.person("eve")?;
        let early = token(&eve)?;
        stack.disable_key("eve")?;
        attempt("eve's key is disabled", &eve, early, Expected::Denied("inactive-key"))?;
    }

    let without_tls = match engine {
        Engine::Postgres => Expected::RefusedUnasked(
            "is not asked: pg_hba.conf turns members of rds_iam away that come without TLS",
        ),
        Engine::Mariadb | Engine::Mysql => Expected::DeniedOrRequireSsl,
    };
    attempt("no TLS", &ana.without_tls(), token(&ana)?, without_tls)?;

    let by_password = match engine {
        Engine::Postgres => {
            "is not asked: zoe is no member of rds_iam, PostgreSQL checks its password (SCRAM)"
        }
        Engine::Mariadb | Engine::Mysql => {
            "is not asked: zoe is no account of AWSAuthenticationPlugin, the server checks its password"
        }
    };
    server.create_with_password("zoe", PASSWORD)?;
    let zoe = ana.with_user("zoe");
    attempt(
        "zoe, by her password",
        &zoe,
        PASSWORD.to_owned(),
        Expected::OpensUnasked(by_password),
    )?;
    if everything {
        attempt("zoe, by a token", &zoe, token(&zoe)?, Expected::RefusedUnasked(by_password))?;
    }
    Ok(table.surprises())
}

/// The same token with another last digit.
fn tampered(token: &str) -> String {
    let mut token = token.to_owned();
    let last = token.pop();
    token.push(if last == Some('0') { '1' } else { '0' });
    token
}

/// Lines to paste, where there is MariaDB.
const MARIADB: &str = r#"
  eval "$(countersign local env --user ana --engine mariadb)"
  MYSQL_PWD="$(aws rds generate-db-auth-token --hostname "$MYSQL_HOST" --port "$MYSQL_TCP_PORT" --username ana)" \
    mariadb --protocol=TCP --host="$MYSQL_HOST" --user=ana --ssl-verify-server-cert --ssl-ca="$MYSQL_SSL_CA"
"#;

/// Lines to paste, where there is MySQL. They open whichever client is there, mysql or mariadb.
const MYSQL: &str = r#"
  eval "$(countersign local env --user ana --engine mysql)"
  countersign connect "mysql://ana@$MYSQL_HOST:$MYSQL_TCP_PORT/$MYSQL_DATABASE"
"#;

/// The lines to paste.
fn by_hand(stack: &Stack<'_>) -> Result<String, Problem> {
    let title = bold("It is still running. Try it by hand:");
    let (path, directory) = (stack.programs().join(":"), stack.directory().display());
    let mut others = String::new();
    for (engine, lines) in [(Engine::Mariadb, MARIADB), (Engine::Mysql, MYSQL)] {
        if stack.left_out(engine)?.is_none() {
            others.push_str(lines);
        }
    }
    Ok(format!(
        r#"
{title}

  export PATH="{path}:$PATH" COUNTERSIGN_LOCAL_DIR="{directory}"
  eval "$(countersign local env --user ana)"
  PGPASSWORD="$(aws rds generate-db-auth-token --hostname "$PGHOST" --port "$PGPORT" --username ana)" psql
  countersign connect "postgres://ana@$PGHOST:$PGPORT/$PGDATABASE"
{others}
  countersign local user revoke ana     # and log in again
  countersign local log

  countersign local down --wipe         # the end of it
"#
    ))
}

#[cfg(test)]
mod tests;
