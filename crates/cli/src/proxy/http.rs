//! HTTP client of a running proxy's endpoints: one request per connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};

/// Timeout of a connect and of each read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response in bytes: `/status` with ten thousand sessions has about 4 MB.
const MAX_RESPONSE: u64 = 64 << 20;

/// Endpoint of a running proxy.
#[derive(Debug, Clone)]
pub(super) enum AdminEndpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Response of an endpoint.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: String,
}

impl AdminEndpoint {
    /// Sends a request and reads the response. Uses HTTP/1.0, in which the end of the connection
    /// ends the response.
    pub(super) fn request(&self, method: &str, path: &str) -> Result<Response, Failure> {
        let received = match self {
            Self::Tcp(address) => TcpStream::connect_timeout(address, TIMEOUT).and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, method, path)
            }),
            Self::Unix(socket) => UnixStream::connect(socket).and_then(|stream| {
                stream.set_read_timeout(Some(TIMEOUT))?;
                exchange(stream, method, path)
            }),
        };
        let text = received.map_err(|error| {
            Failure::new(Class::Unavailable, format!("cannot reach a proxy at {self}: {error}"))
        })?;
        parse(&text).ok_or_else(|| {
            let detail = format!("cannot read the response of {self}: it is not HTTP");
            Failure::new(Class::Protocol, detail)
        })
    }
}

impl std::fmt::Display for AdminEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

fn exchange(mut stream: impl Read + Write, method: &str, path: &str) -> io::Result<String> {
    stream.write_all(
        format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            .as_bytes(),
    )?;
    let mut text = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, body: body.to_owned() })
}
