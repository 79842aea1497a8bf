//! `countersign token`: prints an authentication token, as `aws rds generate-db-auth-token` does.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::ValueEnum;
use countersign_connect::credentials;
use countersign_core::credentials::Credentials;
use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use countersign_core::proof::{Audience, Binding, MAX_PROOF, mint};
use countersign_core::sigv4::encode;
use countersign_core::timestamp::{AmzDate, rfc3339};
use countersign_core::token::LIFETIME;
use zeroize::Zeroizing;

use crate::signing::{self, Signer, Signing};
use crate::{inspect, output};

const EXAMPLES: &str = "Examples:
  countersign token --hostname mydb.abc.eu-west-1.rds.amazonaws.com --port 5432 --username jane
  PGPASSWORD=$(countersign token --hostname $H --port 5432 --username jane) psql -h $H -U jane
  (umask 077; countersign token --hostname $H --port 5432 --username jane --output pgpass > pgpass)
  PGPASSFILE=pgpass psql -h $H -U jane
  countersign token --proof sts --audience orders
  countersign token inspect < token.txt";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) mint: MintArguments,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a token's parts, its age, and why it is invalid; reads it from standard input
    Inspect(inspect::Arguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct MintArguments {
    /// Host of the database: the endpoint that RDS shows, not an alias
    #[arg(long, required_unless_present = "proof", conflicts_with = "proof",
          value_name = "HOST", value_parser = signing::host)]
    hostname: Option<HostName>,
    /// Port of the database
    #[arg(long, required_unless_present = "proof", conflicts_with = "proof",
          value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Database user, in the exact case of the database; a proof is bound to it only if given
    #[arg(long, required_unless_present = "proof", value_name = "USER")]
    username: Option<DbUser>,
    /// Print a proof of identity for your own database, verified by AWS STS, instead of an RDS
    /// token
    #[arg(long, value_enum, requires = "audience")]
    proof: Option<ProofKind>,
    /// Database that the proof is for: the instance name that its verifier uses
    #[arg(long, requires = "proof", value_name = "INSTANCE")]
    audience: Option<Audience>,
    #[command(flatten)]
    signing: Signing,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Database engine, for `env` and `uri` [default: mysql on port 3306, otherwise postgres]
    #[arg(long, value_name = "ENGINE", conflicts_with = "proof")]
    engine: Option<Engine>,
}

/// Verifier of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProofKind {
    /// AWS STS, or the one that AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL names
    Sts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum Output {
    /// Token only
    #[default]
    #[value(alias = "text")]
    Token,
    /// Token, what it is for, and its expiry
    Json,
    /// Lines for a shell to evaluate
    Env,
    /// Line of a PostgreSQL password file
    Pgpass,
    /// URL with the token as its password
    Uri,
}

/// Mints a token or proof and prints it.
pub(crate) fn run(arguments: &MintArguments) -> Result<ExitCode, Failure> {
    if let (Some(ProofKind::Sts), Some(audience)) = (arguments.proof, &arguments.audience) {
        return proof(arguments, audience);
    }
    // clap requires all three without a subcommand or proof.
    let (Some(host), Some(port), Some(user)) =
        (&arguments.hostname, arguments.port, &arguments.username)
    else {
        return Ok(ExitCode::from(countersign_core::failure::exit::USAGE));
    };
    let engine = arguments.engine.unwrap_or(if port == Engine::Mysql.default_port() {
        Engine::Mysql
    } else {
        Engine::Postgres
    });
    let signer = arguments.signing.signer(engine, host, port)?;
    let now = SystemTime::now();
    let token = signer.token(user, now)?;
    let text = match arguments.output {
        Output::Token => return output::line(token.expose()).map(|()| ExitCode::SUCCESS),
        Output::Json => return json(&signer, user, token.expose(), now),
        Output::Env => environment(&signer, user, token.expose()),
        Output::Pgpass => pgpass(&signer, user, token.expose()),
        Output::Uri => uri(&signer, user, token.expose()),
    };
    output::line(&text).map(|()| ExitCode::SUCCESS)
}

fn proof(arguments: &MintArguments, audience: &Audience) -> Result<ExitCode, Failure> {
    if !matches!(arguments.output, Output::Token | Output::Json) {
        return Err(Failure::new(
            Class::Usage,
            "cannot print a proof in this format: it names no host; use --output token or json",
        ));
    }
    let signer = arguments.signing.proof_signer()?;
    let now = SystemTime::now();
    credentials::check_lifetime(&signer.credentials, now)?;
    let user = arguments.username.as_ref();
    let proof = mint(
        &signer.credentials,
        &signer.endpoint,
        &signer.region,
        Binding { audience, user },
        now,
    );
    if proof.expose().len() > MAX_PROOF {
        let detail = "cannot make a proof: the session token is too long; give the session a \
         shorter policy, or fewer tags";
        return Err(Failure::new(Class::NoCredentials, detail));
    }
    if arguments.output == Output::Token {
        return output::line(proof.expose()).map(|()| ExitCode::SUCCESS);
    }
    let value = serde_json::json!({
        "token": proof.expose(),
        "audience": audience,
        "username": user,
        "sts": signer.endpoint.to_string(),
        "region": signer.region,
        "access_key_id": signer.credentials.access_key_id,
        "expires": expiry(&signer.credentials, now),
    });
    output::json(&value).map(|()| ExitCode::SUCCESS)
}

/// Returns the expiry of a token minted `now`, in whole seconds.
fn expiry(credentials: &Credentials, now: SystemTime) -> String {
    let end = AmzDate::at(now).to_system_time() + LIFETIME;
    rfc3339(credentials.expires.map_or(end, |ends| ends.min(end)))
}

fn json(signer: &Signer, user: &DbUser, token: &str, now: SystemTime) -> Result<ExitCode, Failure> {
    let value = serde_json::json!({
        "token": token,
        "engine": signer.endpoint.engine,
        "hostname": signer.endpoint.host,
        "port": signer.endpoint.port,
        "username": user,
        "region": signer.endpoint.region,
        "access_key_id": signer.credentials.access_key_id,
        "expires": expiry(&signer.credentials, now),
    });
    output::json(&value).map(|()| ExitCode::SUCCESS)
}

fn environment(signer: &Signer, user: &DbUser, token: &str) -> Zeroizing<String> {
    let port = signer.endpoint.port.to_string();
    let host = signer.endpoint.host.as_str();
    let variables: &[(&str, &str)] = match signer.endpoint.engine {
        Engine::Postgres => {
            &[("PGHOST", host), ("PGPORT", &port), ("PGUSER", user.as_str()), ("PGPASSWORD", token)]
        }
        Engine::Mysql | Engine::Mariadb => &[
            ("MYSQL_HOST", host),
            ("MYSQL_TCP_PORT", &port),
            ("MYSQL_USER", user.as_str()),
            ("MYSQL_PWD", token),
            ("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1"),
        ],
    };
    let lines: Vec<Zeroizing<String>> =
        variables.iter().map(|(name, value)| Zeroizing::new(export(name, value))).collect();
    Zeroizing::new(lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"))
}

/// Returns a line with which a POSIX shell sets a variable, whatever the value contains.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'", value.replace('\'', r"'\''"))
}

/// Returns a line of a PostgreSQL password file; colons and backslashes are escaped.
/// Source: "The Password File" in PostgreSQL's manual.
fn pgpass(signer: &Signer, user: &DbUser, token: &str) -> Zeroizing<String> {
    let escaped = |text: &str| Zeroizing::new(text.replace('\\', r"\\").replace(':', r"\:"));
    let (host, port) = (signer.endpoint.host.as_str(), signer.endpoint.port);
    Zeroizing::new(format!(
        "{}:{port}:*:{}:{}",
        *escaped(host),
        *escaped(user.as_str()),
        *escaped(token)
    ))
}

fn uri(signer: &Signer, user: &DbUser, token: &str) -> Zeroizing<String> {
    let mut text =
        Zeroizing::new(String::with_capacity(3 * (token.len() + user.as_str().len()) + 300));
    text.extend([signer.endpoint.engine.as_str(), "://"]);
    encode::encode(&mut text, user.as_str());
    text.push(':');
    encode::encode(&mut text, token);
    text.push_str(&format!("@{}/", signer.endpoint));
    if signer.endpoint.engine == Engine::Postgres {
        // MySQL and MariaDB drivers have no common TLS parameter: some reject those of others.
        text.push_str("?sslmode=verify-full");
    }
    text
}

#[cfg(test)]
mod tests {
    use countersign_core::credentials::{Credentials, Secret};
    use countersign_core::endpoint::Endpoint;
    use countersign_core::name::Engine;

    use super::{environment, uri};
    use crate::signing::Signer;

    fn signer(engine: Engine) -> Signer {
        let secret = Secret::new("secret").unwrap();
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".parse().unwrap(),
            secret,
            session_token: None,
            expires: None,
        };
        let endpoint = Endpoint {
            engine,
            host: "db.example.com".parse().unwrap(),
            port: 3306,
            region: "us-east-1".parse().unwrap(),
        };
        Signer { credentials, endpoint }
    }

    #[test]
    fn prints_variables_of_each_engine() {
        let user = "o'hara".parse().unwrap();
        let lines = |engine: Engine| environment(&signer(engine), &user, "db/?a=b").to_string();
        assert_eq!(
            lines(Engine::Postgres),
            "export PGHOST='db.example.com'\nexport PGPORT='3306'\nexport PGUSER='o'\\''hara'\n\
             export PGPASSWORD='db/?a=b'"
        );
        let mysql = "export MYSQL_HOST='db.example.com'\nexport MYSQL_TCP_PORT='3306'\nexport \
         MYSQL_USER='o'\\''hara'\n\
            export MYSQL_PWD='db/?a=b'\nexport LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN='1'";
        assert_eq!([lines(Engine::Mysql), lines(Engine::Mariadb)], [mysql, mysql]);
    }

    #[test]
    fn prints_a_url_for_each_engine() {
        let user = "jane@corp".parse().unwrap();
        for (engine, expected) in [
            (
                Engine::Postgres,
                "postgres://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/?sslmode=verify-full",
            ),
            (Engine::Mysql, "mysql://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/"),
            (Engine::Mariadb, "mariadb://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/"),
        ] {
            assert_eq!(*uri(&signer(engine), &user, "db/?a=b"), expected);
        }
    }
}
