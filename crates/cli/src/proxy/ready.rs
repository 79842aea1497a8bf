//! Client commands that connect to a proxy's listeners, printed when the proxy is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use countersign_core::name::Engine;
use countersign_proxy::settings::{ClientAuth, Listen, TargetSettings};

/// Returns the command with which a client connects to a listener of a target.
pub(super) fn client_command(target: &TargetSettings, listen: &Listen) -> String {
    match target.engine {
        Engine::Postgres => postgres(target, listen),
        Engine::Mariadb => mysql("mariadb", target, listen),
        Engine::Mysql => mysql("mysql", target, listen),
    }
}

fn postgres(target: &TargetSettings, listen: &Listen) -> String {
    let (host, port) = match listen {
        Listen::Tcp(address) => (client_address(*address).to_string(), address.port().to_string()),
        Listen::Unix(path) => libpq_socket(path),
        Listen::Activated(name) => return format!("socket {name:?} of systemd"),
    };
    let user = target.user.as_ref().map_or("USER", |user| user.as_str());
    let database = target.database.as_deref().unwrap_or("DATABASE");
    let pairs = [("host", host.as_str()), ("port", &port), ("user", user), ("dbname", database)];
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", conninfo(value))).collect();
    format!("psql {}", shell(&pairs.join(" ")))
}

/// Returns the directory and port by which libpq finds a socket: `DIR/.s.PGSQL.PORT`.
fn libpq_socket(path: &Path) -> (String, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let port = name.strip_prefix(".s.PGSQL.").unwrap_or("5432").to_owned();
    (path.parent().map(|parent| parent.display().to_string()).unwrap_or_default(), port)
}

fn mysql(client: &str, target: &TargetSettings, listen: &Listen) -> String {
    let address = match listen {
        Listen::Tcp(address) => {
            format!("--host={} --port={} --protocol=TCP", client_address(*address), address.port())
        }
        Listen::Unix(path) => format!("--socket={}", shell(&path.display().to_string())),
        Listen::Activated(name) => return format!("socket {name:?} of systemd"),
    };
    let user = shell(target.user.as_ref().map_or("USER", |user| user.as_str()));
    let password =
        if matches!(target.client_auth, ClientAuth::Password(_)) { " --password" } else { "" };
    let database = target
        .database
        .as_deref()
        .map(|database| format!(" {}", shell(database)))
        .unwrap_or_default();
    format!("{client} {address} --user={user}{password}{database}")
}

/// Returns the IP address at which this machine reaches a listener.
fn client_address(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    }
}

/// Quotes a value of a connection string. Source: "Connection Strings" in libpq's manual.
fn conninfo(value: &str) -> String {
    let bare = !value.is_empty()
        && !value
            .contains(|letter: char| letter.is_whitespace() || letter == '\'' || letter == '\\');
    if bare {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// Quotes a word for a shell.
fn shell(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use countersign_connect::credentials_cache;
    use countersign_connect::tls::Verification;
    use countersign_core::name::Engine;
    use countersign_proxy::settings::{
        ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, TargetSessionAttrs, TargetSettings,
    };

    use super::client_command;

    fn target(engine: Engine, user: Option<&str>, database: Option<&str>) -> TargetSettings {
        TargetSettings {
            name: "orders".to_owned(),
            engine,
            host: "db.example.com".parse().unwrap(),
            port: 5432,
            sign: None,
            region: None,
            user: user.map(|user| user.parse().unwrap()),
            database: database.map(str::to_owned),
            server_auth: ServerAuth::Iam(credentials_cache::CredentialsConfig::default()),
            tls: ServerTls { verification: Verification::VerifyFull, ca_file: None },
            target_session_attrs: TargetSessionAttrs::Any,
            listen: Vec::new(),
            client_auth: ClientAuth::Trust,
            client_tls: None,
            pool: PoolSettings {
                min_idle: 0,
                reuse: false,
                max_idle: 0,
                idle_timeout: Duration::ZERO,
                max_lifetime: Duration::ZERO,
            },
            max_connections: 0,
            logins_per_second: 0,
            connect_timeout: Duration::ZERO,
            session_timeout: None,
        }
    }

    #[test]
    fn formats_a_client_command() {
        let tcp = Listen::Tcp("127.0.0.1:5433".parse().unwrap());
        let everywhere = Listen::Tcp("[::]:5433".parse().unwrap());
        let unix = |path: &str| Listen::Unix(PathBuf::from(path));
        let postgres = target(Engine::Postgres, Some("app"), Some("orders"));
        assert_eq!(
            client_command(&postgres, &tcp),
            "psql 'host=127.0.0.1 port=5433 user=app dbname=orders'"
        );
        assert_eq!(
            client_command(&postgres, &everywhere),
            "psql 'host=::1 port=5433 user=app dbname=orders'"
        );
        assert_eq!(
            client_command(&postgres, &unix("/run/db/orders/.s.PGSQL.6000")),
            "psql 'host=/run/db/orders port=6000 user=app dbname=orders'"
        );
        let mysql = target(Engine::Mysql, Some("app"), Some("shop"));
        assert_eq!(
            client_command(&mysql, &tcp),
            "mysql --host=127.0.0.1 --port=5433 --protocol=TCP --user=app shop"
        );
        assert_eq!(
            client_command(&target(Engine::Mariadb, None, None), &unix("/run/db/shop")),
            "mariadb --socket=/run/db/shop --user=USER"
        );
    }

    #[test]
    fn quotes_names_for_the_client_and_the_shell() {
        let tcp = Listen::Tcp("127.0.0.1:5433".parse().unwrap());
        let postgres = target(Engine::Postgres, Some("it's me"), None);
        assert_eq!(
            client_command(&postgres, &tcp),
            r"psql 'host=127.0.0.1 port=5433 user='\''it\'\''s me'\'' dbname=DATABASE'"
        );
        let mysql = target(Engine::Mysql, Some("a b; rm"), Some("x'y"));
        assert_eq!(
            client_command(&mysql, &tcp),
            r"mysql --host=127.0.0.1 --port=5433 --protocol=TCP --user='a b; rm' 'x'\''y'"
        );
    }
}
