//! How the servers of a stack ask the verifier: chosen once, since the authority has to listen for it.

use countersign_core::name::Engine;

use super::Fleet;
use crate::stack::{Plan, Preference};
use crate::state::Authentication;
use crate::{LocalError, pam};

/// The way of the PostgreSQL servers.
#[derive(Debug, Clone)]
pub(crate) enum AuthBackend {
    /// By PAM.
    Pam,
    /// By LDAP, and why not by PAM.
    Ldap(String),
    /// Not at all: it was to be PAM, which can't be used, for this reason.
    Not(String),
}

impl AuthBackend {
    /// What the plan says, as far as this machine allows it.
    pub(crate) fn choose(plan: &Plan) -> Result<Self, LocalError> {
        if plan.preference == Preference::Ldap {
            return Ok(Self::Ldap("--authentication ldap".to_owned()));
        }
        match pam::check(plan.pam_module.as_deref()) {
            Ok(module) => pam::install(module, &plan.layout).map(|()| Self::Pam),
            Err(why) if plan.preference == Preference::Pam => {
                Ok(Self::Not(format!("PAM can't be used: {why}")))
            }
            Err(why) => Ok(Self::Ldap(why)),
        }
    }

    /// The way, and why not by PAM, where that is so.
    pub(crate) fn way(&self) -> Result<(Authentication, Option<String>), LocalError> {
        match self {
            Self::Pam => Ok((Authentication::Pam, None)),
            Self::Ldap(why) => Ok((Authentication::Ldap, Some(why.clone()))),
            Self::Not(why) => Err(LocalError::Unusable(why.clone())),
        }
    }
}

impl Fleet {
    /// How a server of this engine asks; and why not by PAM, where that is so.
    pub(crate) fn asks(
        &self,
        engine: Engine,
    ) -> Result<(Authentication, Option<String>), LocalError> {
        match engine {
            Engine::Postgres => self.postgres.way(),
            Engine::Mariadb | Engine::Mysql => Ok((Authentication::Plugin, None)),
        }
    }
}
