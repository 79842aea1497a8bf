//! `demo`: real logins to a real PostgreSQL, and every way to be refused. It fails where anything goes otherwise than said.

mod stack;
mod table;

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{bold, header};
use crate::workspace::Workspace;
use stack::{Login, Person, Stack};
use table::Table;

/// What is asked of the server once in.
const QUERY: &str = "select current_user, version from pg_stat_ssl where ssl and pid = pg_backend_pid()";

/// Allows every login, and denies them all the same: the deny wins.
const DENY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"},
    {"Sid": "NotDan", "Effect": "Deny", "Action": "rds-db:connect", "Resource": "arn:aws:rds-db:*:*:dbuser:*/dan"}]}"#;

/// The password of the one role that has one.
const PASSWORD: &str = "a plain old password";

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<(), Problem> {
    let down = match arguments {
        [] => false,
        ["--down"] => true,
        _ => return Err(Problem::usage("`demo` takes `--down` or nothing")),
    };
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
        println!("{}", by_hand(&stack));
    }
    match surprises {
        0 => Ok(()),
        1 => Err(Problem::new("one of these went otherwise than it should: it is marked ✗")),
        more => Err(Problem::new(format!("{more} of these went otherwise than they should: they are marked ✗"))),
    }
}

/// What has to come of a login.
#[derive(Clone, Copy)]
enum Expected {
    /// It opens, for the authority allowed it.
    Allowed,
    /// The authority denies it, with this class of failure.
    Denied(&'static str),
    /// It opens, and the authority is not asked, because…
    OpensUnasked(&'static str),
    /// PostgreSQL refuses it, and the authority is not asked, because…
    RefusedUnasked(&'static str),
}

impl Expected {
    fn is_met_by(self, login: &Login) -> bool {
        let decision = login.decision.as_ref().map(|decision| (decision.outcome.as_str(), decision.class.as_deref()));
        match self {
            Self::Allowed => login.client.is_ok() && decision == Some(("allowed", None)),
            Self::Denied(class) => login.client.is_err() && decision == Some(("denied", Some(class))),
            Self::OpensUnasked(_) => login.client.is_ok() && decision.is_none(),
            Self::RefusedUnasked(_) => login.client.is_err() && decision.is_none(),
        }
    }

    const fn asks(self) -> bool {
        matches!(self, Self::Allowed | Self::Denied(_))
    }

    /// What stands where the authority's reason would.
    const fn unasked(self) -> &'static str {
        match self {
            Self::Allowed | Self::Denied(_) => "has no record of it",
            Self::OpensUnasked(why) | Self::RefusedUnasked(why) => why,
        }
    }
}

/// Makes the people, tries the logins and shows what came of each. Gives back how many went otherwise than expected.
fn show(stack: &Stack<'_>) -> Result<u32, Problem> {
    header("people");
    let ana = stack.create("ana", &[])?;
    let ben = stack.create("ben", &[])?;
    let cleo = stack.create("cleo", &["--no-policy"])?;
    let dan = stack.create("dan", &[])?;
    stack.grant("dan", DENY)?;
    let eve = stack.create("eve", &[])?;
    stack.sql(&format!("create role zoe login password '{PASSWORD}'"))?;

    header("logins");
    let mut table = Table::new(["", "psql", "the authority"]);
    let mut attempt = |what: &str, person: &Person, password: String, expected: Expected| {
        let login = stack.login(person, &password, QUERY, expected.asks())?;
        let decision = login.decision.as_ref().map_or(expected.unasked(), |decision| &decision.because);
        table.row(expected.is_met_by(&login), [what, login.said(), decision]);
        Ok(())
    };
    attempt("a token of the aws CLI", &ana, stack.aws_token(&ana, &[])?, Expected::Allowed)?;
    attempt("one of countersign token", &ana, stack.token(&ana, ana.port()?)?, Expected::Allowed)?;

    let old = stack.aws_token(&ana, &["faketime", "-f", "-16m"])?;
    attempt("expired", &ana, old, Expected::Denied("expired"))?;
    attempt("ana's token, as ben", &ben, stack.token(&ana, ana.port()?)?, Expected::Denied("wrong-user"))?;
    attempt("for another port", &ana, stack.token(&ana, ana.port()? ^ 1)?, Expected::Denied("wrong-port"))?;
    attempt("signature tampered with", &ana, tampered(&stack.token(&ana, ana.port()?)?), Expected::Denied("signature-mismatch"))?;
    attempt("cleo has no policy", &cleo, stack.token(&cleo, cleo.port()?)?, Expected::Denied("not-allowed"))?;
    attempt("a policy denies dan", &dan, stack.token(&dan, dan.port()?)?, Expected::Denied("explicitly-denied"))?;
    let early = stack.token(&eve, eve.port()?)?;
    stack.disable_key("eve")?;
    attempt("eve's key is disabled", &eve, early, Expected::Denied("inactive-key"))?;

    let plain = ana.with("PGSSLMODE", "disable");
    let tls_only = Expected::RefusedUnasked("is not asked: pg_hba.conf turns members of rds_iam away that come without TLS");
    attempt("no TLS", &plain, stack.token(&ana, ana.port()?)?, tls_only)?;

    let zoe = ana.with("PGUSER", "zoe");
    let scram = "is not asked: zoe is no member of rds_iam, PostgreSQL checks its password (SCRAM)";
    attempt("zoe, by her password", &zoe, PASSWORD.to_owned(), Expected::OpensUnasked(scram))?;
    attempt("zoe, by a token", &zoe, stack.token(&zoe, zoe.port()?)?, Expected::RefusedUnasked(scram))?;
    Ok(table.surprises())
}

/// The same token with another last digit.
fn tampered(token: &str) -> String {
    let mut token = token.to_owned();
    let last = token.pop();
    token.push(if last == Some('0') { '1' } else { '0' });
    token
}

/// The lines to paste.
fn by_hand(stack: &Stack<'_>) -> String {
    let title = bold("It is still running. Try it by hand:");
    let (path, directory) = (stack.programs().join(":"), stack.directory().display());
    format!(
        r#"
{title}

  export PATH="{path}:$PATH" COUNTERSIGN_LOCAL_DIR="{directory}"
  eval "$(countersign local env --user ana)"
  PGPASSWORD="$(aws rds generate-db-auth-token --hostname "$PGHOST" --port "$PGPORT" --username ana)" psql
  countersign connect "postgres://ana@$PGHOST:$PGPORT/$PGDATABASE"

  countersign local user revoke ana     # and log in again
  countersign local log

  countersign local down --wipe         # the end of it
"#
    )
}
