//! The lines that say where each target is reached, to be pasted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use countersign_core::name::Engine;
use countersign_proxy::settings::{ClientAuth, Listen, TargetSettings};

/// How a target is reached at one of its listeners.
pub(super) fn line(target: &TargetSettings, listen: &Listen) -> String {
    match target.engine {
        Engine::Postgres => postgres(target, listen),
        Engine::Mariadb => mysql("mariadb", target, listen),
        Engine::Mysql => mysql("mysql", target, listen),
    }
}

fn postgres(target: &TargetSettings, listen: &Listen) -> String {
    let (host, port) = match listen {
        Listen::Tcp(address) => (reached(*address).to_string(), address.port().to_string()),
        Listen::Unix(path) => directory(path),
        Listen::Activated(name) => return format!("the socket {name:?} that was handed over"),
    };
    let user = target.user.as_ref().map_or("USER", |user| user.as_str());
    let database = target.database.as_deref().unwrap_or("DATABASE");
    let pairs = [("host", host.as_str()), ("port", &port), ("user", user), ("dbname", database)];
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", conninfo(value))).collect();
    format!("psql {}", shell(&pairs.join(" ")))
}

/// The directory and the port by which libpq finds a socket: `DIR/.s.PGSQL.PORT`.
fn directory(path: &Path) -> (String, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let port = name.strip_prefix(".s.PGSQL.").unwrap_or("5432").to_owned();
    (path.parent().map(|parent| parent.display().to_string()).unwrap_or_default(), port)
}

fn mysql(client: &str, target: &TargetSettings, listen: &Listen) -> String {
    let place = match listen {
        Listen::Tcp(address) => {
            format!("--host={} --port={} --protocol=TCP", reached(*address), address.port())
        }
        Listen::Unix(path) => format!("--socket={}", shell(&path.display().to_string())),
        Listen::Activated(name) => return format!("the socket {name:?} that was handed over"),
    };
    let user = shell(target.user.as_ref().map_or("USER", |user| user.as_str()));
    let password =
        if matches!(target.client_auth, ClientAuth::Password(_)) { " --password" } else { "" };
    let database = target
        .database
        .as_deref()
        .map(|database| format!(" {}", shell(database)))
        .unwrap_or_default();
    format!("{client} {place} --user={user}{password}{database}")
}

/// The address by which this machine reaches a listener.
fn reached(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    }
}

/// A value of a connection string. Source: "Connection Strings" in libpq's manual.
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

/// A word for a shell.
pub(super) fn shell(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
