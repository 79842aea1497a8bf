//! How the servers of a stack reach the verifier.
//!
//! Chosen once per stack, because the authority must listen for it.

use crate::plan::{AuthPreference, Plan};
use crate::state::Authentication;
use crate::{LocalError, pam};

/// How PostgreSQL servers reach the verifier.
#[derive(Debug, Clone)]
pub(crate) enum AuthBackend {
    /// PAM.
    Pam,
    /// LDAP, with the reason why not PAM.
    Ldap(String),
    /// None: PAM was required and cannot be used, for this reason.
    Unavailable(String),
}

impl AuthBackend {
    /// Chooses what the plan asks for, as far as this machine allows it.
    pub(crate) fn choose(plan: &Plan) -> Result<Self, LocalError> {
        if plan.preference == AuthPreference::Ldap {
            return Ok(Self::Ldap("--authentication ldap".to_owned()));
        }
        match pam::check(plan.pam_module.as_deref()) {
            Ok(module) => pam::install(module, &plan.layout).map(|()| Self::Pam),
            Err(why) if plan.preference == AuthPreference::Pam => {
                Ok(Self::Unavailable(format!("cannot use PAM: {why}")))
            }
            Err(why) => Ok(Self::Ldap(why)),
        }
    }

    /// Returns the method, and the reason if it is not PAM.
    ///
    /// # Errors
    /// [`LocalError::Unusable`] if PAM is required and cannot be used.
    pub(crate) fn availability(&self) -> Result<(Authentication, Option<String>), LocalError> {
        match self {
            Self::Pam => Ok((Authentication::Pam, None)),
            Self::Ldap(why) => Ok((Authentication::Ldap, Some(why.clone()))),
            Self::Unavailable(why) => Err(LocalError::Unusable(why.clone())),
        }
    }
}
