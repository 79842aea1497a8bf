//! Simulated server: loads the library, sets its variables and calls the plugin for a login. Sizes
//! and offsets were measured in real servers and are not taken from the declarations of the plugin.

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::thread::JoinHandle;

use countersign_core::verifier_protocol::{Nonce, VerifyRequest, VerifyResponse, frame};
use tempfile::TempDir;

/// Values of `CR_OK` and `CR_ERROR`.
pub(crate) const OK: c_int = -1;
pub(crate) const ERROR: c_int = 0;

const RTLD_NOW: c_int = 2;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(library: *mut c_void) -> c_int;
}

/// Layout of the structures of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Mariadb,
    Mysql,
}

pub(crate) const BOTH: [Shape; 2] = [Shape::Mariadb, Shape::Mysql];

impl Shape {
    pub(crate) const fn declarations(self) -> &'static CStr {
        match self {
            Self::Mariadb => c"_maria_plugin_declarations_",
            Self::Mysql => c"_mysql_plugin_declarations_",
        }
    }

    /// Size of a declaration.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Mariadb => 104,
            Self::Mysql => 112,
        }
    }

    /// Offsets of `deinit` and `system_vars` in a declaration. (`info` is at 8 and `init` at 48.)
    const fn deinit_and_variables(self) -> (usize, usize) {
        match self {
            Self::Mariadb => (56, 80),
            Self::Mysql => (64, 88),
        }
    }

    /// Offset of `password_used` in the information about a client; the host and its length follow
    /// 4 and 12 bytes later.
    const fn password_used(self) -> usize {
        match self {
            Self::Mariadb => 1060,
            Self::Mysql => 644,
        }
    }
}

/// Library loaded from its own copy, so that tests share no state.
pub(crate) struct Library {
    handle: *mut c_void,
    pub(crate) directory: TempDir,
}

impl Library {
    pub(crate) fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("mysql_countersign.so");
        std::fs::copy(built(), &copy).unwrap();
        let path = CString::new(copy.to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string, and the library has no constructors.
        let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        assert!(!handle.is_null(), "cannot load {}", copy.display());
        Self { handle, directory }
    }

    pub(crate) fn symbol(&self, name: &CStr) -> *mut u8 {
        // SAFETY: the library is open, and the name is a C string.
        unsafe { dlsym(self.handle, name.as_ptr()) }.cast()
    }

    pub(crate) fn number(&self, name: &CStr) -> c_int {
        let symbol = self.symbol(name);
        assert!(!symbol.is_null(), "{name:?}");
        // SAFETY: the symbols that callers name have the type `int`.
        unsafe { symbol.cast::<c_int>().read() }
    }

    /// Returns the value at an offset in the first declaration.
    pub(crate) fn declared<T: Copy>(&self, shape: Shape, offset: usize) -> T {
        // SAFETY: callers pass the offset of a field of this type.
        unsafe { self.symbol(shape.declarations()).add(offset).cast::<T>().read() }
    }

    /// Initializes the plugin with these variables; returns false if it fails.
    pub(crate) fn install(&self, shape: Shape, settings: &[(&str, &str)]) -> bool {
        let list: *mut *mut u8 = self.declared(shape, shape.deinit_and_variables().1);
        let mut set = 0;
        // SAFETY: the list ends with a null pointer; a variable has its name at offset 8 and a
        // pointer to its value at offset 40.
        unsafe {
            let mut next = list;
            while !(*next).is_null() {
                let (name, value) = (
                    (*next).add(8).cast::<*const c_char>().read(),
                    (*next).add(40).cast::<*mut *mut c_char>().read(),
                );
                let name = CStr::from_ptr(name).to_str().unwrap();
                let given = settings.iter().find(|(given, _)| *given == name);
                *value =
                    given.map_or(null_mut(), |(_, text)| CString::new(*text).unwrap().into_raw());
                set += usize::from(given.is_some());
                next = next.add(1);
            }
        }
        assert_eq!(set, settings.len(), "every setting is a variable");
        let init: unsafe extern "C" fn(*mut c_void) -> c_int = self.declared(shape, 48);
        // SAFETY: the plugin does not use the argument.
        unsafe { init(null_mut()) == 0 }
    }

    pub(crate) fn uninstall(&self, shape: Shape) {
        let deinit: unsafe extern "C" fn(*mut c_void) -> c_int =
            self.declared(shape, shape.deinit_and_variables().0);
        // SAFETY: the plugin does not use the argument.
        assert_eq!(unsafe { deinit(null_mut()) }, 0);
    }

    /// Initializes the plugin with a socket in the library's directory and a timeout of 2 seconds.
    pub(crate) fn installed(shape: Shape) -> Self {
        let library = Self::open();
        let socket = library.socket();
        let settings =
            [("socket", socket.to_str().unwrap()), ("instance", "orders"), ("timeout", "2s")];
        assert!(library.install(shape, &settings));
        library
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("verifier.sock")
    }

    /// Returns a field of the authentication descriptor, to which `info` points.
    pub(crate) fn function<T: Copy>(&self, shape: Shape, offset: usize) -> T {
        let descriptor: *const u8 = self.declared(shape, 8);
        // SAFETY: as for `declared`.
        unsafe { descriptor.add(offset).cast::<T>().read() }
    }

    pub(crate) fn login(&self, shape: Shape, client: &Client) -> Outcome {
        let authenticate: unsafe extern "C" fn(*mut Vio, *mut u8) -> c_int =
            self.function(shape, 16);
        let mut info = vec![0xcc_cccc_cccc_u64; 512];
        let start = info.as_mut_ptr().cast::<u8>();
        let mut vio = Vio {
            read_packet: Some(read_packet),
            write_packet: None,
            info: Some(write_transport),
            shape,
            client,
            client_info: start,
            packet: client.packet.clone().unwrap_or_default(),
        };
        write_client_info(shape, start, client, false);
        // SAFETY: both outlive the call and have the layout of the server.
        let code = unsafe { authenticate(&raw mut vio, start) };
        // SAFETY: the buffer has 512 initialized numbers of 8 bytes.
        let after = unsafe { std::slice::from_raw_parts(start, 4096) }.to_vec();
        let mut expected = vec![0xcc_cccc_cccc_u64; 512];
        write_client_info(shape, expected.as_mut_ptr().cast(), client, true);
        // SAFETY: as above.
        let expected = unsafe { std::slice::from_raw_parts(expected.as_ptr().cast::<u8>(), 4096) };
        let used = shape.password_used();
        let changed = (0..4096)
            .filter(|at| !(used..used + 4).contains(at) && after[*at] != expected[*at])
            .collect();
        let password_used = c_int::from_ne_bytes(after[used..used + 4].try_into().unwrap());
        Outcome { code, password_used, changed }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the library is open and is not used afterwards.
        unsafe { dlclose(self.handle) };
    }
}

/// Result of a login.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: c_int,
    pub(crate) password_used: c_int,
    /// Offsets of bytes of the client information that the plugin changed.
    pub(crate) changed: Vec<usize>,
}

/// Client and the information that the server has about it.
pub(crate) struct Client {
    /// Data that the client sends; `None` if it closes the connection.
    pub(crate) packet: Option<Vec<u8>>,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) auth_string: Vec<u8>,
    /// Protocol, socket and TLS; older servers write_transport in fewer fields.
    pub(crate) transport: Vec<u8>,
}

impl Client {
    /// Returns `jane` on TCP with TLS, with a token that ends in NUL, as clients send it, on a
    /// server that reports TLS.
    pub(crate) fn jane(shape: Shape, token: &[u8]) -> Self {
        let packet = [token, b"\0"].concat();
        let user = Some(b"jane".to_vec());
        Self {
            packet: Some(packet),
            user,
            auth_string: b"RDS".to_vec(),
            transport: transport(shape, -1, true),
        }
    }
}

/// Returns the fields of newer servers: MariaDB reports TLS as an `int`, MySQL as a `bool`.
pub(crate) fn transport(shape: Shape, socket: c_int, tls: bool) -> Vec<u8> {
    let tls = match shape {
        Shape::Mariadb => c_int::from(tls).to_ne_bytes(),
        Shape::Mysql => [u8::from(tls), 0, 0, 0],
    };
    [1_i32.to_ne_bytes(), socket.to_ne_bytes(), tls].concat()
}

#[repr(C)]
struct Vio {
    read_packet: Option<unsafe extern "C" fn(*mut Self, *mut *mut c_uchar) -> c_int>,
    write_packet: Option<unsafe extern "C" fn(*mut Self, *const c_uchar, c_int) -> c_int>,
    info: Option<unsafe extern "C" fn(*mut Self, *mut u8)>,
    // The fields after these three are private to the server.
    shape: Shape,
    client: *const Client,
    client_info: *mut u8,
    packet: Vec<u8>,
}

/// Returns the packet of the client. The user is known only from then on, as in MariaDB.
unsafe extern "C" fn read_packet(vio: *mut Vio, packet: *mut *mut c_uchar) -> c_int {
    // SAFETY: the plugin passes the `Vio` of the call and a valid pointer.
    unsafe {
        let vio = &mut *vio;
        write_client_info(vio.shape, vio.client_info, &*vio.client, true);
        if (*vio.client).packet.is_none() {
            return -1;
        }
        *packet = vio.packet.as_mut_ptr();
        c_int::try_from(vio.packet.len()).unwrap()
    }
}

unsafe extern "C" fn write_transport(vio: *mut Vio, info: *mut u8) {
    // SAFETY: the plugin passes the `Vio` of the call and a buffer for all fields of the server.
    unsafe {
        let transport = &(*(*vio).client).transport;
        info.copy_from_nonoverlapping(transport.as_ptr(), transport.len());
    }
}

/// Writes the information about the client, which is empty before the first packet.
fn write_client_info(shape: Shape, at: *mut u8, client: &Client, known: bool) {
    let text = |text: Option<&[u8]>| {
        text.filter(|_| known).map_or((null(), 0), |text| (text.as_ptr(), text.len()))
    };
    let (user, auth_string) = (text(client.user.as_deref()), text(Some(&client.auth_string)));
    let host = text(Some(b"db-client"));
    // SAFETY: the buffer has 4096 bytes and the alignment of the largest field.
    unsafe {
        at.cast::<*const u8>().write(user.0);
        at.add(8).cast::<u32>().write(u32::try_from(user.1).unwrap());
        at.add(16).cast::<*const u8>().write(auth_string.0);
        at.add(24).cast::<u64>().write(auth_string.1 as u64);
        let used = shape.password_used();
        at.add(used).cast::<c_int>().write(0);
        at.add(used + 4).cast::<*const u8>().write(host.0);
        at.add(used + 12).cast::<u32>().write(u32::try_from(host.1).unwrap());
    }
}

/// Starts a verifier that reads one request and calls `respond`.
pub(crate) fn verifier(
    socket: &Path,
    respond: impl FnOnce(&mut UnixStream, Nonce) + Send + 'static,
) -> JoinHandle<VerifyRequest> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes(head) as usize];
        stream.read_exact(&mut body).unwrap();
        let request = VerifyRequest::parse(&body).unwrap();
        respond(&mut stream, request.nonce());
        request
    })
}

pub(crate) fn send(stream: &mut UnixStream, response: &VerifyResponse) {
    stream.write_all(&frame(response, 0).unwrap()).unwrap();
}

/// Path of the library that cargo built for this test, in the executable's directory or its parent.
pub(crate) fn built() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let directories = executable.ancestors().skip(1).take(2).map(Path::to_path_buf);
    directories
        .map(|directory| directory.join("libmysql_countersign.so"))
        .find(|path| path.exists())
        .expect("cargo builds the plugin for its tests")
}
