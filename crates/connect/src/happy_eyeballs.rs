//! Reaching a host that has several addresses: Happy Eyeballs, version 2 (RFC 8305).

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

/// How long an attempt is alone before the next one joins it. Source: "Connection Attempt Delay", RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses that are tried: a name with more is answered by somebody who means harm.
const MOST_ADDRESSES: usize = 32;

/// When a silent connection is probed first, how often then, and after how many probes without an answer it is given up: a
/// server that vanished is noticed within a minute.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// A connection to whichever address answers first. The families take turns, beginning with that of the first address; the next
/// attempt begins 250 ms after the last, or as soon as one fails. The socket has `TCP_NODELAY` and keepalive.
///
/// # Errors
/// [`Class::Unavailable`], with every address and what is wrong with it; [`Class::TimedOut`] at the deadline.
pub async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut ahead = interleave(addresses);
    let mut attempts = JoinSet::new();
    let mut under_way = Vec::new();
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut next = Instant::now();
    loop {
        if attempts.is_empty() && ahead.is_empty() {
            return Err(Failure::new(Class::Unavailable, words(&failed, &[])));
        }
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    under_way.retain(|other| *other != address);
                    failed.push((address, error));
                    next = Instant::now();
                }
                // It is never cancelled while this runs.
                Err(_) => {}
            },
            () = sleep_until(deadline) => {
                let untried = failed.is_empty() && under_way.is_empty();
                let why = if untried { "no time was left to connect".to_owned() } else { words(&failed, &under_way) };
                return Err(Failure::new(Class::TimedOut, why));
            }
            () = sleep_until(next), if !ahead.is_empty() => {
                if let Some(address) = ahead.pop_front() {
                    under_way.push(address);
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

/// Source: RFC 8305, section 4, with a "First Address Family Count" of 1.
fn interleave(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = VecDeque::new();
    while !(first.is_empty() && second.is_empty()) {
        for address in [first.pop_front(), second.pop_front()].into_iter().flatten() {
            if !turns.contains(&address) && turns.len() < MOST_ADDRESSES {
                turns.push_back(address);
            }
        }
    }
    turns
}

fn words(failed: &[(SocketAddr, io::Error)], under_way: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (address, error) in failed {
        let _ = write!(text, "{}{address}: {error}", if text.is_empty() { "" } else { "; " });
    }
    for address in under_way {
        let _ = write!(text, "{}{address}: no answer", if text.is_empty() { "" } else { "; " });
    }
    if text.is_empty() {
        text.push_str("there is no address to connect to");
    }
    text.push_str("; check the address, the security group and the route there");
    text
}

#[cfg(test)]
mod tests;
