//! What PAM, and the server that called it, are told.

use std::ffi::c_int;

use countersign_core::failure::{AuditOutcome, Class, Failure};

/// The module's return codes: the numbers of Linux-PAM's `security/_pam_types.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    /// `PAM_SUCCESS`
    Success = 0,
    /// `PAM_SERVICE_ERR`: the pam.d line is wrong.
    ServiceError = 3,
    /// `PAM_SYSTEM_ERR`
    SystemError = 4,
    /// `PAM_PERM_DENIED`: the answer is no. RDS's own log says the same: `pam_authenticate failed: Permission denied`.
    PermissionDenied = 6,
    /// `PAM_AUTHINFO_UNAVAIL`: there is no answer.
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

/// How urgent a line in syslog is: the numbers of RFC 5424, table 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Priority {
    /// `LOG_CRIT`
    Critical = 2,
    /// `LOG_ERR`: something on this side has to be put right.
    Error = 3,
    /// `LOG_NOTICE`: the client brought what is not enough.
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
