//! Safe access to the connection of a client that logs in.

use std::ffi::{c_char, c_int};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol;
use zeroize::Zeroizing;

use super::abi::{MariaInfo, MysqlInfo, PASSWORD_USED, Vio, VioInfo};

/// `MYSQL_VIO_TCP`
const TCP: c_int = 1;

/// Initial value of each byte of a [`VioInfo`]. A field that still has it was not written by the
/// server.
const UNSET: u8 = 0xa5;

/// Maximum length of a text of the server. Names, hosts and authentication strings are shorter on
/// both.
const MAX_TEXT: usize = 4096;

/// The server's description of the client, in the type of either server.
#[derive(Clone, Copy)]
pub(super) enum Info {
    Mariadb(NonNull<MariaInfo>),
    Mysql(NonNull<MysqlInfo>),
}

/// Connection of the client, for the duration of the current call.
pub(crate) struct Connection {
    vio: NonNull<Vio>,
    info: Info,
}

/// The account that the client logs in to. MariaDB sets it only after the client has sent its
/// password.
pub(crate) struct Account {
    /// The user name as sent by the client.
    pub(crate) user: Option<Vec<u8>>,
    /// The authentication string of the account (`AS` or `USING`).
    pub(crate) auth_string: Vec<u8>,
    /// The client's host: a name, an address, or `localhost` for a Unix socket.
    pub(crate) host: Option<String>,
}

/// Transport of the connection.
pub(crate) struct Transport {
    /// The peer address of a TCP connection.
    pub(crate) address: Option<String>,
    /// True if the connection uses TLS; `None` if the server does not report it.
    pub(crate) tls: Option<bool>,
}

impl Connection {
    /// # Safety
    /// Both were passed by the server to the current call, and `info` has the type of that server.
    pub(super) const unsafe fn new(vio: NonNull<Vio>, info: Info) -> Self {
        Self { vio, info }
    }

    /// The engine of the server.
    pub(crate) const fn engine(&self) -> Engine {
        match self.info {
            Info::Mariadb(_) => Engine::Mariadb,
            Info::Mysql(_) => Engine::Mysql,
        }
    }

    /// Waits for the client's password. Returns it up to the final NUL, with U+FFFD for invalid
    /// UTF-8.
    pub(crate) fn password(&self) -> Result<Zeroizing<String>, Failure> {
        let malformed = |detail: &str| Err(Failure::new(Class::Malformed, detail));
        // SAFETY: the pointer is valid during the call.
        let Some(read_packet) = (unsafe { self.vio.as_ref() }).read_packet else {
            return malformed("the server has no function to read packets");
        };
        let mut packet = null_mut();
        // SAFETY: as above, and `packet` is writable.
        let length = unsafe { read_packet(self.vio.as_ptr(), &raw mut packet) };
        let Ok(length) = usize::try_from(length) else {
            return malformed(
                "client sent no token: it closed the connection, or mysql_clear_password is \
                 disabled",
            );
        };
        if packet.is_null() || length == 0 {
            return malformed("client sent no token");
        }
        // SAFETY: the server read `length` bytes, which are valid until the next packet is read.
        let packet = unsafe { std::slice::from_raw_parts(packet, length) };
        let bytes = packet.strip_suffix(b"\0").unwrap_or(packet);
        if bytes.is_empty() {
            return malformed("token is empty");
        }
        self.password_used();
        if bytes.len() > MAX_TOKEN {
            return malformed("token is too long");
        }
        Ok(verifier_protocol::password(bytes))
    }

    /// Returns the account of the client. Must be called after [`Self::password`].
    pub(crate) fn account(&self) -> Account {
        // SAFETY: the server's pointers are null or valid, and it writes nothing during the call.
        unsafe {
            let (user, auth_string, host) = match self.info {
                Info::Mariadb(info) => {
                    let MariaInfo {
                        user,
                        user_length,
                        auth_string,
                        auth_string_length,
                        host,
                        host_length,
                        ..
                    } = info.as_ref();
                    (
                        copied(*user, *user_length),
                        copied(*auth_string, *auth_string_length),
                        copied(*host, *host_length),
                    )
                }
                Info::Mysql(info) => {
                    let MysqlInfo {
                        user,
                        user_length,
                        auth_string,
                        auth_string_length,
                        host,
                        host_length,
                        ..
                    } = info.as_ref();
                    (
                        copied(*user, *user_length),
                        copied(*auth_string, *auth_string_length),
                        copied(*host, *host_length),
                    )
                }
            };
            let host = host
                .map(|host| String::from_utf8_lossy(&host).into_owned())
                .filter(|host| !host.is_empty());
            Account { user, auth_string: auth_string.unwrap_or_default(), host }
        }
    }

    /// Returns the transport of the connection.
    pub(crate) fn transport(&self) -> Transport {
        let mut filled = VioInfo([UNSET; 64]);
        // SAFETY: the pointer is valid during the call; the buffer is larger than any server's
        // type.
        unsafe {
            if let Some(fill) = self.vio.as_ref().info {
                fill(self.vio.as_ptr(), &raw mut filled);
            }
        }
        let [p0, p1, p2, p3, s0, s1, s2, s3, t0, t1, t2, t3, ..] = filled.0;
        let [protocol, socket] = [[p0, p1, p2, p3], [s0, s1, s2, s3]].map(c_int::from_ne_bytes);
        let address = if protocol == TCP && socket >= 0 {
            // SAFETY: the client's socket is open during its login.
            peer(unsafe { BorrowedFd::borrow_raw(socket) })
        } else {
            None
        };
        let tls = match (self.engine(), [t0, t1, t2, t3]) {
            // `int tls`, with MDEV-37600: in 11.8.9 and not yet in 11.4.7. Older servers write only
            // the first two fields.
            (Engine::Mariadb, [UNSET, UNSET, UNSET, UNSET]) => None,
            (Engine::Mariadb, tls) => Some(c_int::from_ne_bytes(tls) != 0),
            // `bool is_tls_established`, in 9.7 and not yet in 8.4.
            (_, [UNSET, ..]) => None,
            (_, [tls, ..]) => Some(tls != 0),
        };
        Transport { address, tls }
    }

    /// Has the server report "using password: YES" in its error to the client.
    fn password_used(&self) {
        // SAFETY: the plugin may write the field, and the server does not read it during the call.
        unsafe {
            match self.info {
                Info::Mariadb(mut info) => info.as_mut().password_used = PASSWORD_USED,
                Info::Mysql(mut info) => info.as_mut().password_used = PASSWORD_USED,
            }
        }
    }
}

/// # Safety
/// `text` is null or has `length` bytes.
unsafe fn copied(text: *const c_char, length: impl TryInto<usize>) -> Option<Vec<u8>> {
    let length = length.try_into().ok().filter(|length| *length <= MAX_TEXT)?;
    // SAFETY: guaranteed by the caller.
    (!text.is_null())
        .then(|| unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) }.to_vec())
}

fn peer(socket: BorrowedFd<'_>) -> Option<String> {
    let address: SocketAddr = rustix::net::getpeername(socket).ok()??.try_into().ok()?;
    // An IPv4 client has a mapped IPv6 address if the server listens for both on one socket.
    Some(address.ip().to_canonical().to_string())
}
