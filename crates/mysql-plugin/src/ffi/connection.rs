//! One client that wants in, behind safe methods.

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

/// What no server writes into a [`VioInfo`]: where it is still there, the server does not know of that byte.
const UNTOLD: u8 = 0xa5;

/// The longest text of the server's that is read: an account's name, host or authentication string is shorter on both.
const MAX_TEXT: usize = 4096;

/// Where the server tells of the client, in the shape of either.
#[derive(Clone, Copy)]
pub(super) enum Info {
    Mariadb(NonNull<MariaInfo>),
    Mysql(NonNull<MysqlInfo>),
}

/// The client, for the time of the call that it came with.
pub(crate) struct Connection {
    vio: NonNull<Vio>,
    info: Info,
}

/// What the server knows of the client once the client has sent its password: before, MariaDB has null pointers here.
pub(crate) struct Told {
    /// The user's name as the client sent it.
    pub(crate) user: Option<Vec<u8>>,
    /// What the account has behind `AS` or `USING`.
    pub(crate) auth_string: Vec<u8>,
    /// The client's host: a name, an address, or `localhost` for one on the Unix socket.
    pub(crate) host: Option<String>,
}

/// What the server knows of the transport.
pub(crate) struct Transport {
    /// The address at the other end of a TCP connection.
    pub(crate) address: Option<String>,
    /// Whether there is TLS, where the server says.
    pub(crate) tls: Option<bool>,
}

impl Connection {
    /// # Safety
    /// Both are what the server passed to the call that is under way, and `info` is in that server's shape.
    pub(super) const unsafe fn new(vio: NonNull<Vio>, info: Info) -> Self {
        Self { vio, info }
    }

    /// Which server this is.
    pub(crate) const fn engine(&self) -> Engine {
        match self.info {
            Info::Mariadb(_) => Engine::Mariadb,
            Info::Mysql(_) => Engine::Mysql,
        }
    }

    /// Waits for what the client sends as its password: up to its final NUL, with U+FFFD for what is not UTF-8 in it.
    pub(crate) fn password(&self) -> Result<Zeroizing<String>, Failure> {
        let refused = |why: &str| Err(Failure::new(Class::Malformed, why));
        // SAFETY: the server's functions, on the connection that they are of.
        let Some(read_packet) = (unsafe { self.vio.as_ref() }).read_packet else {
            return refused("the server reads no packets");
        };
        let mut packet = null_mut();
        // SAFETY: as above, and `packet` is a place for the pointer.
        let length = unsafe { read_packet(self.vio.as_ptr(), &raw mut packet) };
        let Ok(length) = usize::try_from(length) else {
            return refused(
                "the client sent no token: it hung up, or has mysql_clear_password switched off",
            );
        };
        if packet.is_null() || length == 0 {
            return refused("the client sent no token");
        }
        // SAFETY: the server read so many bytes to there, and leaves them until the next packet is read.
        let packet = unsafe { std::slice::from_raw_parts(packet, length) };
        let bytes = packet.strip_suffix(b"\0").unwrap_or(packet);
        if bytes.is_empty() {
            return refused("the token is empty");
        }
        self.password_used();
        if bytes.len() > MAX_TOKEN {
            return refused("the token is longer than any token is read");
        }
        Ok(verifier_protocol::password(bytes))
    }

    /// Whom the server takes the client for. To be called after [`Self::password`].
    pub(crate) fn told(&self) -> Told {
        // SAFETY: the server's pointers are null or valid, and it changes nothing while the call is here.
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
            Told { user, auth_string: auth_string.unwrap_or_default(), host }
        }
    }

    /// What the client is connected through.
    pub(crate) fn transport(&self) -> Transport {
        let mut filled = VioInfo([UNTOLD; 64]);
        // SAFETY: the server's functions, on the connection that they are of; there is room for more than any of them writes.
        unsafe {
            if let Some(fill) = self.vio.as_ref().info {
                fill(self.vio.as_ptr(), &raw mut filled);
            }
        }
        let [p0, p1, p2, p3, s0, s1, s2, s3, t0, t1, t2, t3, ..] = filled.0;
        let [protocol, socket] = [[p0, p1, p2, p3], [s0, s1, s2, s3]].map(c_int::from_ne_bytes);
        let address = if protocol == TCP && socket >= 0 {
            // SAFETY: the socket of a client whose login is under way is open.
            peer(unsafe { BorrowedFd::borrow_raw(socket) })
        } else {
            None
        };
        let tls = match (self.engine(), [t0, t1, t2, t3]) {
            // `int tls`, with MDEV-37600: in 11.8.9 and not yet in 11.4.7. Older servers fill in the first two fields alone.
            (Engine::Mariadb, [UNTOLD, UNTOLD, UNTOLD, UNTOLD]) => None,
            (Engine::Mariadb, tls) => Some(c_int::from_ne_bytes(tls) != 0),
            // `bool is_tls_established`, in 9.7 and not yet in 8.4.
            (_, [UNTOLD, ..]) => None,
            (_, [tls, ..]) => Some(tls != 0),
        };
        Transport { address, tls }
    }

    /// The client will read "using password: YES" in the refusal.
    fn password_used(&self) {
        // SAFETY: the field is there for the plugin to write, and the server does not look at it while the call is here.
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
    // SAFETY: as the caller says.
    (!text.is_null())
        .then(|| unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) }.to_vec())
}

fn peer(socket: BorrowedFd<'_>) -> Option<String> {
    let address: SocketAddr = rustix::net::getpeername(socket).ok()??.try_into().ok()?;
    // A client over IPv4 has an IPv6 address where the server listens for both on one socket.
    Some(address.ip().to_canonical().to_string())
}
