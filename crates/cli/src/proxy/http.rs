//! A request to a proxy that runs: one line there, one answer back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes: `/status` with ten thousand sessions has some 4 MB.
const MAX_ANSWER: u64 = 64 << 20;

/// Where a proxy is asked.
#[derive(Debug, Clone)]
pub(super) enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Door {
    /// Asks it. HTTP/1.0, so that the answer ends where the connection does.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Answer, Failure> {
        let asked = match self {
            Self::Tcp(address) => TcpStream::connect_timeout(address, TIMEOUT).and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                converse(stream, method, path)
            }),
            Self::Unix(socket) => UnixStream::connect(socket).and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                converse(stream, method, path)
            }),
        };
        let text = asked.map_err(|error| {
            Failure::new(Class::Unavailable, format!("there is no answer from {self}: {error}"))
        })?;
        parse(&text)
            .ok_or_else(|| Failure::new(Class::Protocol, format!("{self} does not answer in HTTP")))
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

fn converse(mut stream: impl Read + Write, method: &str, path: &str) -> io::Result<String> {
    stream.write_all(
        format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            .as_bytes(),
    )?;
    let mut text = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}
