//! Tests of the module under the system's libpam, with separate service files.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "libpam is called as a server calls it")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use countersign_core::failure::Class;
use countersign_core::verifier_protocol::{Nonce, VerifyRequest, VerifyResponse, frame};
use tempfile::TempDir;

// Constants of Linux-PAM's `_pam_types.h`.
const SUCCESS: c_int = 0;
const SERVICE_ERR: c_int = 3;
const PERM_DENIED: c_int = 6;
const AUTHINFO_UNAVAIL: c_int = 9;
const CRED_UNAVAIL: c_int = 15;
const CONV_ERR: c_int = 19;
const ESTABLISH_CRED: c_int = 2;
const ITEM_USER: c_int = 2;
const ITEM_RHOST: c_int = 4;

#[repr(C)]
struct Response {
    text: *mut c_char,
    unused: c_int,
}

#[repr(C)]
struct Conversation {
    converse:
        unsafe extern "C" fn(c_int, *const *const c_void, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

#[link(name = "libpam.so.0", modifiers = "+verbatim")]
unsafe extern "C" {
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        directory: *const c_char,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_set_item(handle: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_authenticate(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
}

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn strdup(text: *const c_char) -> *mut c_char;
}

/// Responds to every prompt with the C string `data`, or with an error if it is null.
unsafe extern "C" fn respond(
    _count: c_int,
    _messages: *const *const c_void,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    if data.is_null() {
        return CONV_ERR;
    }
    // SAFETY: `data` is a C string of the test; PAM frees the response, so it is allocated with
    // calloc.
    unsafe {
        let response = calloc(1, size_of::<Response>()).cast::<Response>();
        (*response).text = strdup(data.cast());
        *responses = response;
    }
    SUCCESS
}

/// Service file with `lines`, in which MODULE and SOCKET stand for the paths.
struct Service {
    directory: TempDir,
}

impl Service {
    fn new(lines: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("verifier.sock");
        let lines = lines
            .replace("MODULE", module().to_str().unwrap())
            .replace("SOCKET", socket.to_str().unwrap());
        std::fs::write(directory.path().join("rds_iam"), lines).unwrap();
        Self { directory }
    }

    fn both() -> Self {
        Self::new(
            "auth required MODULE socket=SOCKET instance=orders timeout=2s\naccount required \
             MODULE\n",
        )
    }

    /// Starts a verifier that responds to one request per verdict; `None` allows.
    fn verifier(
        &self,
        verdicts: Vec<Option<Class>>,
    ) -> std::thread::JoinHandle<Vec<VerifyRequest>> {
        let listener = UnixListener::bind(self.directory.path().join("verifier.sock")).unwrap();
        std::thread::spawn(move || {
            verdicts.into_iter().map(|verdict| decide(&listener, verdict)).collect()
        })
    }
}

fn decide(listener: &UnixListener, verdict: Option<Class>) -> VerifyRequest {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).unwrap();
    let request = VerifyRequest::parse(&body).unwrap();
    let nonce = request.nonce();
    let response = verdict
        .map_or(VerifyResponse::Allow { nonce }, |class| VerifyResponse::Deny { nonce, class });
    stream.write_all(&frame(&response, 0).unwrap()).unwrap();
    request
}

/// Path of the module that cargo built for this test, in the executable's directory or its parent.
fn module() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let directories = executable.ancestors().skip(1).take(2).map(Path::to_path_buf);
    directories
        .map(|directory| directory.join("libpam_countersign.so"))
        .find(|path| path.exists())
        .expect("cargo builds the module for its tests")
}

/// PAM handle of a server.
struct Login {
    handle: *mut c_void,
    _kept: (Box<Conversation>, Option<CString>),
}

impl Login {
    fn start(service: &Service, user: &str, password: Option<&[u8]>) -> Self {
        let password = password.map(|password| CString::new(password).unwrap());
        let data =
            password.as_ref().map_or(null_mut(), |password| password.as_ptr().cast_mut().cast());
        let conversation = Box::new(Conversation { converse: respond, data });
        let (user, directory) = (
            CString::new(user).unwrap(),
            CString::new(service.directory.path().to_str().unwrap()).unwrap(),
        );
        let mut handle = null_mut();
        // SAFETY: all are C strings that outlive the call; the conversation lives as long as the
        // handle.
        let status = unsafe {
            pam_start_confdir(
                c"rds_iam".as_ptr(),
                user.as_ptr(),
                &raw const *conversation,
                directory.as_ptr(),
                &raw mut handle,
            )
        };
        assert_eq!(status, SUCCESS);
        Self { handle, _kept: (conversation, password) }
    }

    fn set(&self, item: c_int, value: &CStr) {
        // SAFETY: libpam copies the string.
        assert_eq!(unsafe { pam_set_item(self.handle, item, value.as_ptr().cast()) }, SUCCESS);
    }

    fn authenticate(&self) -> c_int {
        // SAFETY: the handle is open.
        unsafe { pam_authenticate(self.handle, 0) }
    }

    fn account(&self) -> c_int {
        // SAFETY: the handle is open.
        unsafe { pam_acct_mgmt(self.handle, 0) }
    }

    fn credentials(&self) -> c_int {
        // SAFETY: the handle is open.
        unsafe { pam_setcred(self.handle, ESTABLISH_CRED) }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        // SAFETY: the handle is open and is not used afterwards.
        unsafe { pam_end(self.handle, SUCCESS) };
    }
}

#[test]
fn logins_are_accepted_if_the_verifier_allows() {
    let service = Service::both();
    let verifier = service.verifier(vec![None]);
    let login = Login::start(&service, "Jane Doe, näm'e", Some(b"a-token"));
    login.set(ITEM_RHOST, c"192.0.2.7");
    assert_eq!(
        (login.authenticate(), login.account(), login.credentials()),
        (SUCCESS, SUCCESS, SUCCESS)
    );
    let request = verifier.join().unwrap().remove(0);
    assert_eq!(
        (request.user.as_str(), request.instance.as_str(), &**request.token),
        ("Jane Doe, näm'e", "orders", "a-token")
    );
    assert_eq!((request.client.as_deref(), request.tls), (Some("192.0.2.7"), None));
    assert_ne!(request.nonce(), Nonce([0; 16]));
}

#[test]
fn a_client_on_the_unix_socket_has_no_address() {
    let service = Service::both();
    let verifier = service.verifier(vec![None, None]);
    let login = Login::start(&service, "jane", Some(b"a-token"));
    assert_eq!(login.authenticate(), SUCCESS);
    login.set(ITEM_RHOST, c"[local]");
    assert_eq!(login.authenticate(), SUCCESS);
    let requests = verifier.join().unwrap();
    assert!(requests.iter().all(|request| request.client.is_none()));
    assert_ne!(requests[0].nonce(), requests[1].nonce());
}

#[test]
fn denied_logins_are_denied_by_the_account_rule_too() {
    let service = Service::both();
    let verifier = service.verifier(vec![None, Some(Class::Expired), Some(Class::Unavailable)]);
    let login = Login::start(&service, "jane", Some(b"a-token"));
    assert_eq!((login.authenticate(), login.account()), (SUCCESS, SUCCESS));
    // A second attempt on the handle revokes the result of the first.
    assert_eq!(
        (login.authenticate(), login.account(), login.credentials()),
        (PERM_DENIED, PERM_DENIED, CRED_UNAVAIL)
    );
    assert_eq!((login.authenticate(), login.account()), (AUTHINFO_UNAVAIL, PERM_DENIED));
    verifier.join().unwrap();
}

#[test]
fn account_rule_denies_without_the_auth_rule_or_for_another_user() {
    let alone = Service::new("auth required pam_permit.so\naccount required MODULE\n");
    let login = Login::start(&alone, "jane", Some(b"a-token"));
    assert_eq!((login.authenticate(), login.account()), (SUCCESS, PERM_DENIED));
    let service = Service::both();
    let verifier = service.verifier(vec![None]);
    let login = Login::start(&service, "jane", Some(b"a-token"));
    assert_eq!(login.authenticate(), SUCCESS);
    login.set(ITEM_USER, c"postgres");
    assert_eq!(login.account(), PERM_DENIED);
    verifier.join().unwrap();
}

/// No verifier listens, so a login that needs a request fails with `AUTHINFO_UNAVAIL`.
#[test]
fn invalid_tokens_are_denied_without_a_request() {
    let service = Service::both();
    for no_token in [None, Some(&b""[..]), Some(&[b'x'; 65_536])] {
        assert_eq!(
            Login::start(&service, "jane", no_token).authenticate(),
            PERM_DENIED,
            "{:?}",
            no_token.map(<[u8]>::len)
        );
    }
    assert_eq!(
        Login::start(&service, &"x".repeat(256), Some(b"a-token")).authenticate(),
        PERM_DENIED
    );
    assert_eq!(
        Login::start(&service, "jane", Some(&[b'x'; 65_535])).authenticate(),
        AUTHINFO_UNAVAIL
    );
}

/// The verifier rejects and logs them.
#[test]
fn passwords_that_are_not_utf_8_are_sent_to_the_verifier() {
    let service = Service::both();
    let verifier = service.verifier(vec![Some(Class::Unavailable), Some(Class::Malformed)]);
    assert_eq!(
        Login::start(&service, "jane", Some(b"a\xff\xfeb\xe2\x82")).authenticate(),
        AUTHINFO_UNAVAIL
    );
    assert_eq!(Login::start(&service, "jane", Some(&[0xff; 65_535])).authenticate(), PERM_DENIED);
    let requests = verifier.join().unwrap();
    assert_eq!(**requests[0].token, *"a\u{fffd}\u{fffd}b\u{fffd}");
    assert!(requests[1].token.chars().all(|letter| letter == '\u{fffd}'));
}

#[test]
fn invalid_arguments_deny_every_login() {
    for arguments in [
        "",
        "socket=SOCKET instance=orders debug",
        "socket=SOCKET instance=orders verifier_user=no-such-user-anywhere",
    ] {
        let service =
            Service::new(&format!("auth required MODULE {arguments}\naccount required MODULE\n"));
        let login = Login::start(&service, "jane", Some(b"a-token"));
        assert_eq!(
            (login.authenticate(), login.account()),
            (SERVICE_ERR, PERM_DENIED),
            "{arguments}"
        );
    }
}

#[test]
fn verifier_user_is_accepted_by_name() {
    let service =
        Service::new("auth required MODULE socket=SOCKET instance=orders verifier_user=nobody\n");
    let verifier = service.verifier(vec![None]);
    assert_eq!(Login::start(&service, "jane", Some(b"a-token")).authenticate(), SUCCESS);
    verifier.join().unwrap();
}

/// Other modules of the service could read the token in a PAM item. The module therefore imports
/// neither of the two functions that store one.
#[test]
fn token_is_not_stored_as_a_pam_item() {
    let library = std::fs::read(module()).unwrap();
    let names = |name: &[u8]| library.windows(name.len()).any(|window| window == name);
    assert!(names(b"pam_get_item\0"));
    assert!(!names(b"pam_set_item\0") && !names(b"pam_get_authtok\0"));
}
