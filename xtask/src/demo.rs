//! `demo`: logins to the real servers, and each way to be denied. Fails on an unexpected result.

mod engine;
mod server;
mod stack;
mod table;
mod user;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{bold, header, note};
use crate::workspace::Workspace;
use engine::Engine;
use server::{Login, Server};
use stack::Stack;
use table::Table;
use user::User;

/// Policy that allows and denies every login: the deny wins.
const DENY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"},
    {"Sid": "NotDan", "Effect": "Deny", "Action": "rds-db:connect",
     "Resource": "arn:aws:rds-db:*:*:dbuser:*/dan"}]}"#;

/// Password of the database user without IAM.
const PASSWORD: &str = "a plain old password";

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let down = match arguments {
        [] => false,
        ["--down"] => true,
        _ => return Err(Problem::usage("`demo` takes `--down` or nothing")),
    };
    // MariaDB and MySQL are optional: `local up` skips servers that it cannot install.
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
    let mismatches = shown?;
    if !down {
        println!("{}", by_hand(&stack)?);
    }
    match mismatches {
        0 => Ok(()),
        number => Err(Problem::new(format!("{number} unexpected results: see ✗ above"))),
    }
}

/// Expected result of a login.
#[derive(Clone, Copy)]
enum Expected {
    /// The authority allows it.
    Allowed,
    /// The authority denies it with this class of failure.
    Denied(&'static str),
    /// The authority denies it if the server reports the lack of TLS; else the server rejects it.
    DeniedOrRequireSsl,
    /// The server accepts it without consulting the authority, for this reason.
    AcceptedByServer(&'static str),
    /// The server rejects it without consulting the authority, for this reason.
    RejectedByServer(&'static str),
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
                login.client_output().starts_with("ERROR 1045")
                    && matches!(decision, Some(("denied", Some("no-tls")) | ("allowed", None)))
            }
            Self::AcceptedByServer(_) => login.client.is_ok() && decision.is_none(),
            Self::RejectedByServer(_) => login.client.is_err() && decision.is_none(),
        }
    }

    /// Returns true if the authority records the login.
    const fn is_recorded(self) -> bool {
        matches!(self, Self::Allowed | Self::Denied(_) | Self::DeniedOrRequireSsl)
    }

    /// Returns the authority's reason, or that for which it was not consulted.
    fn reason(self, login: &Login) -> String {
        match (self, &login.decision) {
            (Self::DeniedOrRequireSsl, Some(decision)) if decision.outcome == "allowed" => {
                "allowed: this server does not report TLS; it rejects the account by REQUIRE SSL"
                    .to_owned()
            }
            (_, Some(decision)) => decision.reason.clone(),
            (Self::AcceptedByServer(reason) | Self::RejectedByServer(reason), None) => {
                reason.to_owned()
            }
            (_, None) => "no record".to_owned(),
        }
    }
}

/// Creates the users and attempts all logins. Returns the number of unexpected results.
fn show(stack: &Stack<'_>) -> Result<u32, Problem> {
    header("users");
    stack.create("ana", &[])?;
    stack.create("ben", &[])?;
    stack.create("cleo", &["--no-policy"])?;
    stack.create("dan", &[])?;
    stack.grant("dan", DENY)?;
    stack.create("eve", &[])?;
    let mut mismatches = 0;
    for engine in [Engine::Postgres, Engine::Mariadb, Engine::Mysql] {
        header(&format!("logins to {}", engine.title()));
        match stack.skipped(engine)? {
            None => mismatches += Logins::of(stack, engine)?.attempt_all()?,
            Some(reason) => note(&format!("skipped: {reason}")),
        }
    }
    Ok(mismatches)
}

/// Logins to one server, with a table of the results.
struct Logins<'a> {
    stack: &'a Stack<'a>,
    engine: Engine,
    server: Server<'a>,
    table: Table,
}

impl<'a> Logins<'a> {
    fn of(stack: &'a Stack<'a>, engine: Engine) -> Result<Self, Problem> {
        let table = Table::new(["", engine.client(), "authority"]);
        Ok(Self { stack, engine, server: Server::of(stack, engine)?, table })
    }

    fn attempt(
        &mut self,
        title: &str,
        user: &User,
        password: &str,
        expected: Expected,
    ) -> Result<(), Problem> {
        let login = self.server.login(user, password, expected.is_recorded())?;
        let cells = [title, login.client_output(), &expected.reason(&login)];
        self.table.row(expected.is_met_by(&login), cells);
        Ok(())
    }

    fn token(&self, user: &User) -> Result<String, Problem> {
        self.stack.token(user, user.port)
    }

    /// Attempts every login; those with the same result on each engine only on PostgreSQL.
    fn attempt_all(mut self) -> Result<u32, Problem> {
        let ana = self.server.user("ana")?;
        self.attempt_tokens(&ana)?;
        self.attempt_policies()?;
        self.attempt_without_tls(&ana)?;
        self.attempt_password(&ana)?;
        Ok(self.table.mismatches())
    }

    fn attempt_tokens(&mut self, ana: &User) -> Result<(), Problem> {
        let token = self.stack.aws_token(ana, &[])?;
        self.attempt("token of the aws CLI", ana, &token, Expected::Allowed)?;
        let token = self.token(ana)?;
        self.attempt("token of countersign", ana, &token, Expected::Allowed)?;
        let expired = self.stack.aws_token(ana, &["faketime", "-f", "-16m"])?;
        self.attempt("expired", ana, &expired, Expected::Denied("expired"))?;
        let ben = self.server.user("ben")?;
        self.attempt("token of ana, user ben", &ben, &token, Expected::Denied("wrong-user"))?;
        if self.engine == Engine::Postgres {
            let token = self.stack.token(ana, ana.port ^ 1)?;
            self.attempt("for another port", ana, &token, Expected::Denied("wrong-port"))?;
        }
        let tampered = tampered(&token);
        self.attempt("altered signature", ana, &tampered, Expected::Denied("signature-mismatch"))
    }

    fn attempt_policies(&mut self) -> Result<(), Problem> {
        for (title, name, class) in [
            ("cleo has no policy", "cleo", "not-allowed"),
            ("a policy denies dan", "dan", "explicitly-denied"),
        ] {
            let user = self.server.user(name)?;
            let token = self.token(&user)?;
            self.attempt(title, &user, &token, Expected::Denied(class))?;
        }
        if self.engine == Engine::Postgres {
            let eve = self.server.user("eve")?;
            let token = self.token(&eve)?;
            self.stack.disable_key("eve")?;
            self.attempt("eve's key is disabled", &eve, &token, Expected::Denied("inactive-key"))?;
        }
        Ok(())
    }

    fn attempt_without_tls(&mut self, ana: &User) -> Result<(), Problem> {
        let expected = match self.engine {
            Engine::Postgres => Expected::RejectedByServer(
                "not consulted: pg_hba.conf rejects members of rds_iam without TLS",
            ),
            Engine::Mariadb | Engine::Mysql => Expected::DeniedOrRequireSsl,
        };
        let token = self.token(ana)?;
        self.attempt("no TLS", &ana.without_tls(), &token, expected)
    }

    fn attempt_password(&mut self, ana: &User) -> Result<(), Problem> {
        let reason = match self.engine {
            Engine::Postgres => {
                "not consulted: zoe is not a member of rds_iam; PostgreSQL checked a password \
                 (SCRAM)"
            }
            Engine::Mariadb | Engine::Mysql => {
                "not consulted: zoe is not an account of AWSAuthenticationPlugin; the server \
                 checked a password"
            }
        };
        self.server.create_with_password("zoe", PASSWORD)?;
        let zoe = ana.with_user("zoe");
        self.attempt("zoe with a password", &zoe, PASSWORD, Expected::AcceptedByServer(reason))?;
        if self.engine == Engine::Postgres {
            let token = self.token(&zoe)?;
            self.attempt("zoe with a token", &zoe, &token, Expected::RejectedByServer(reason))?;
        }
        Ok(())
    }
}

/// Replaces the last digit of a token's signature.
fn tampered(token: &str) -> String {
    let mut token = token.to_owned();
    let last = token.pop();
    token.push(if last == Some('0') { '1' } else { '0' });
    token
}

/// Commands to paste if MariaDB runs.
const MARIADB: &str = r#"
  eval "$(countersign local env --user ana --engine mariadb)"
  MYSQL_PWD="$(aws rds generate-db-auth-token --hostname "$MYSQL_HOST" \
    --port "$MYSQL_TCP_PORT" --username ana)" mariadb --protocol=TCP --host="$MYSQL_HOST" \
    --user=ana --ssl-verify-server-cert --ssl-ca="$MYSQL_SSL_CA"
"#;

/// Commands to paste if MySQL runs; `connect` finds the client, mysql or mariadb.
const MYSQL: &str = r#"
  eval "$(countersign local env --user ana --engine mysql)"
  countersign connect "mysql://ana@$MYSQL_HOST:$MYSQL_TCP_PORT/$MYSQL_DATABASE"
"#;

/// Returns the commands to paste.
fn by_hand(stack: &Stack<'_>) -> Result<String, Problem> {
    let title = bold("The stack is still running. Commands to try:");
    let (path, directory) = (stack.programs().join(":"), stack.directory().display());
    let mut others = String::new();
    for (engine, lines) in [(Engine::Mariadb, MARIADB), (Engine::Mysql, MYSQL)] {
        if stack.skipped(engine)?.is_none() {
            others.push_str(lines);
        }
    }
    Ok(format!(
        r#"
{title}

  export PATH="{path}:$PATH" COUNTERSIGN_LOCAL_DIR="{directory}"
  eval "$(countersign local env --user ana)"
  PGPASSWORD="$(aws rds generate-db-auth-token --hostname "$PGHOST" --port "$PGPORT" \
    --username ana)" psql
  countersign connect "postgres://ana@$PGHOST:$PGPORT/$PGDATABASE"
{others}
  countersign local user revoke ana     # then log in again
  countersign local log

  countersign local down --wipe         # stop and delete everything
"#
    ))
}

#[cfg(test)]
mod tests;
