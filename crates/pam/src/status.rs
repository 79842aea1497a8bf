//! Return codes to PAM and priorities of log lines.

use std::ffi::c_int;

use countersign_core::failure::{AuditOutcome, Class, Failure};

/// The module's return codes: the numbers of Linux-PAM's `security/_pam_types.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    /// `PAM_SUCCESS`
    Success = 0,
    /// `PAM_SERVICE_ERR`: the arguments of the module are invalid.
    ServiceError = 3,
    /// `PAM_SYSTEM_ERR`
    SystemError = 4,
    /// `PAM_PERM_DENIED`: the login is denied. The log of RDS has the same message:
    /// `pam_authenticate failed: Permission denied`.
    PermissionDenied = 6,
    /// `PAM_AUTHINFO_UNAVAIL`: the verifier did not respond.
    Unavailable = 9,
    /// `PAM_CRED_UNAVAIL`
    NoCredentials = 15,
    /// `PAM_ABORT`: the module has a defect.
    Abort = 26,
}

impl Status {
    pub(crate) const fn code(self) -> c_int {
        self as c_int
    }
}

impl From<Class> for Status {
    fn from(class: Class) -> Self {
        match class {
            Class::Unavailable | Class::TimedOut | Class::Protocol | Class::UntrustedPeer => {
                Self::Unavailable
            }
            Class::Configuration => Self::ServiceError,
            Class::Internal => Self::SystemError,
            _ => Self::PermissionDenied,
        }
    }
}

/// Priority of a line in syslog: the numbers of RFC 5424, table 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Priority {
    /// `LOG_CRIT`
    Critical = 2,
    /// `LOG_ERR`: a failure on the side of the server.
    Error = 3,
    /// `LOG_NOTICE`: a denial because of the client.
    Notice = 5,
}

impl Priority {
    pub(crate) const fn of(failure: &Failure) -> Self {
        match failure.class.outcome() {
            AuditOutcome::Denied | AuditOutcome::Allowed => Self::Notice,
            AuditOutcome::Error => Self::Error,
        }
    }
}
