//! Minimal HTTP/1.1 client, so that its own cost is small.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::sigv4::{Identity, Normalization, Payload, Request, Signer};

use crate::Problem;

/// Maximum time for a response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum length of a response body, in bytes.
const MAX_RESPONSE: u64 = 1 << 20;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Endpoint of an AWS API, and the credentials for it.
#[derive(Debug, Clone)]
pub(super) struct Api<'a> {
    /// `http://HOST:PORT`
    pub(super) url: &'a str,
    pub(super) region: &'a str,
    pub(super) credentials: Credentials,
}

impl Api<'_> {
    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(self.url).trim_end_matches('/')
    }

    /// Returns a signed request, valid for some minutes.
    pub(super) fn signed(&self, service: &str, body: &str) -> Result<String, Problem> {
        let host = self.address();
        let headers = [("host", host), ("content-type", FORM)];
        let request = Request {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            payload: Payload::Body(body.as_bytes()),
        };
        let identity = Identity::Whole(&self.credentials);
        let signer = Signer {
            identity,
            region: self.region,
            service,
            normalization: Normalization::Rfc3986,
            now: SystemTime::now(),
        };
        let added = signer.sign_by_header(&request).ok_or("cannot sign the request")?;
        let mut text = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in
            headers.iter().copied().chain(added.iter().map(|(name, value)| (*name, value.as_str())))
        {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.extend(["\r\n", body]);
        Ok(text)
    }
}

/// Keep-alive connection that is reopened after the server closes it.
pub(super) struct Connection<'a> {
    api: &'a Api<'a>,
    open: Option<BufReader<TcpStream>>,
}

impl<'a> Connection<'a> {
    pub(super) const fn to(api: &'a Api<'a>) -> Self {
        Self { api, open: None }
    }

    pub(super) const fn api(&self) -> &'a Api<'a> {
        self.api
    }

    /// Sends a request and returns the body of the response, whatever its status.
    pub(super) fn send(&mut self, request: &str) -> Result<String, Problem> {
        if let Some(stream) = self.open.take()
            && let Ok(body) = self.exchange(stream, request)
        {
            return Ok(body);
        }
        let stream = TcpStream::connect(self.api.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(self.exchange(BufReader::new(stream), request)?)
    }

    fn exchange(&mut self, mut stream: BufReader<TcpStream>, request: &str) -> io::Result<String> {
        stream.get_mut().write_all(request.as_bytes())?;
        let mut length = None;
        let mut keep_alive = false;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.by_ref().take(MAX_RESPONSE).read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if text.starts_with("http/") {
                keep_alive = text.starts_with("http/1.1");
            } else if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            } else if text == "connection: close" {
                keep_alive = false;
            }
        }
        let length: u64 =
            length.filter(|length| *length <= MAX_RESPONSE).ok_or(io::ErrorKind::InvalidData)?;
        let mut body = String::new();
        stream.by_ref().take(length).read_to_string(&mut body)?;
        if keep_alive {
            self.open = Some(stream);
        }
        Ok(body)
    }
}
