//! Connects to a host with several addresses: Happy Eyeballs, version 2 (RFC 8305).

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Delay before the next attempt starts in parallel. Source: "Connection Attempt Delay", RFC 8305,
/// section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Maximum number of addresses that are tried. A name with more is probably hostile.
const MAX_ADDRESSES: usize = 32;

/// Keepalive of connections: a server that vanished is noticed within a minute.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Connects to the address that responds first. The families alternate, beginning with that of the
/// first address. The next attempt starts 250 ms after the last, or when one fails. The socket has
/// `TCP_NODELAY` and keepalive.
///
/// # Errors
/// [`Class::Unavailable`] with the error of every address; [`Class::TimedOut`] at the deadline.
pub async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut queued = interleave(addresses);
    let mut attempts = JoinSet::new();
    let mut running = Vec::new();
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut next = Instant::now();
    loop {
        if attempts.is_empty() && queued.is_empty() {
            return Err(Failure::new(Class::Unavailable, describe(&failed, &[])));
        }
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    running.retain(|other| *other != address);
                    failed.push((address, error));
                    next = Instant::now();
                }
                // The task is not cancelled while this runs.
                Err(_) => {}
            },
            () = sleep_until(deadline) => {
                let none_tried = failed.is_empty() && running.is_empty();
                let detail = if none_tried {
                    "cannot connect: no time left".to_owned()
                } else {
                    describe(&failed, &running)
                };
                return Err(Failure::new(Class::TimedOut, detail));
            }
            () = sleep_until(next), if !queued.is_empty() => {
                if let Some(address) = queued.pop_front() {
                    running.push(address);
                    attempts.spawn(async move { (address, attempt(address).await) });
                }
                next = Instant::now() + ATTEMPT_DELAY;
            }
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    Ok(stream)
}

/// Orders the addresses as RFC 8305, section 4, with a "First Address Family Count" of 1.
fn interleave(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = VecDeque::new();
    while !(first.is_empty() && second.is_empty()) {
        for address in [first.pop_front(), second.pop_front()].into_iter().flatten() {
            if !order.contains(&address) && order.len() < MAX_ADDRESSES {
                order.push_back(address);
            }
        }
    }
    order
}

fn describe(failed: &[(SocketAddr, io::Error)], running: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (address, error) in failed {
        let _ = write!(text, "{}{address}: {error}", if text.is_empty() { "" } else { "; " });
    }
    for address in running {
        let _ = write!(text, "{}{address}: no answer", if text.is_empty() { "" } else { "; " });
    }
    if text.is_empty() {
        text.push_str("cannot connect: no address");
    }
    text.push_str("; check the address, the security group and the route");
    text
}

#[cfg(test)]
mod tests;
