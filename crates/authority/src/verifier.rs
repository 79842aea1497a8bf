//! Decision on one login.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::arn::Arn;
use countersign_core::audit::AuditRecord;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine, InstanceId, InvalidName};
use countersign_core::policy::{Cause, Context, Decision, Permit, Request, decide};
use countersign_core::principal::Principal;
use countersign_core::proof::{Audience, Binding};
use countersign_core::sigv4::KeyCache;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::{AddressedToken, UnverifiedToken, VerifiedToken};

use crate::key_lookup::{KeyLookupError, ResolvedIdentity, ResolvedKey};
use crate::log::{AccessLog, PendingRecord};
use crate::model::Instance;
use crate::store::{State, Store};
use crate::sts_verifier::{ProvenIdentity, StsVerifier};
use crate::throttle::Throttle;

/// Action that a login requires.
const CONNECT: &str = "rds-db:connect";

/// Login that a database server asks the verifier to decide.
#[derive(Clone, Copy)]
pub struct LoginRequest<'a> {
    /// Database engine of the server.
    pub engine: Engine,
    /// Name of the server's instance.
    pub instance: &'a InstanceId,
    /// Database user.
    pub user: &'a DbUser,
    /// Password that the client sent: a token, or a proof for STS.
    pub token: &'a str,
    /// IP address of the client, if the server reported it.
    pub client: Option<&'a str>,
    /// True if the connection uses TLS, if the server reported it.
    pub tls: Option<bool>,
}

impl std::fmt::Debug for LoginRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest")
            .field("instance", self.instance)
            .field("user", self.user)
            .finish_non_exhaustive()
    }
}

/// Condition keys of the connection that policies can use, in addition to those of the principal
/// and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextKeys {
    /// Keys of RDS, which does not set `aws:SourceIp` for `rds-db:connect`.
    #[default]
    AsRds,
    /// `aws:SourceIp` in addition, if the server reports it.
    WithSourceIp,
}

/// Configuration of a verifier, apart from the store.
#[derive(Debug, Clone, Copy)]
pub struct VerifierConfig {
    /// Maximum number of logins per second and instance; `None` means no limit.
    pub limit: Option<NonZeroU32>,
    /// Condition keys of the connection.
    pub context_keys: ContextKeys,
}

/// Decides logins by the policies in the store, and logs each decision.
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    log: AccessLog,
    keys: KeyCache,
    throttle: Throttle,
    context_keys: ContextKeys,
    /// Verifier of proofs; `None` if proofs are not accepted.
    sts: Option<StsVerifier>,
}

/// Result of verifying a proof with STS.
type StsResult = Result<ProvenIdentity, Failure>;

/// Evidence of an allowed login. Only [`Verifier::decide`] makes it, after the log has the
/// decision.
#[derive(Debug)]
pub struct Admission {
    _permit: Permit,
}

impl Verifier {
    /// Makes a verifier that reads `store` and writes to `log`.
    #[must_use]
    pub fn new(store: Store, log: AccessLog, config: VerifierConfig) -> Self {
        let (keys, throttle) = (KeyCache::default(), Throttle::new(config.limit));
        Self { store, log, keys, throttle, context_keys: config.context_keys, sts: None }
    }

    /// Accepts proofs too, which `sts` verifies.
    #[must_use]
    pub fn with_sts_verifier(self, sts: Option<StsVerifier>) -> Self {
        Self { sts, ..self }
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the access log.
    #[must_use]
    pub const fn log(&self) -> &AccessLog {
        &self.log
    }

    /// Returns the cache of derived signing keys.
    #[must_use]
    pub const fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// Decides `login` at `now`. The decision is in the log before this returns.
    ///
    /// # Errors
    /// The reason of the denial. A failure to write the log denies too.
    pub fn decide(&self, login: &LoginRequest<'_>, now: SystemTime) -> Result<Admission, Failure> {
        self.decide_and_log(login, None, now)
    }

    fn decide_and_log(
        &self,
        login: &LoginRequest<'_>,
        sts_result: Option<StsResult>,
        now: SystemTime,
    ) -> Result<Admission, Failure> {
        let mut pending = PendingRecord::new(&self.log, audit_record(login, now));
        let decided = self.evaluate(login, sts_result, now, &mut pending.record);
        pending.close(decided).map(|permit| Admission { _permit: permit })
    }

    /// Decides `login` at the current time, for the listeners. Runs on the calling task, because a
    /// decision takes less time than a switch to another thread. (All decisions write to one log,
    /// so a slow disk delays all of them anyway.) Only a proof for STS makes a request over the
    /// network. A panic denies.
    ///
    /// # Errors
    /// Those of [`Verifier::decide`].
    pub async fn authenticate(&self, login: &LoginRequest<'_>) -> Result<(), Failure> {
        let sts_result = if login.token.starts_with("http") {
            Some(self.verify_proof(login).await)
        } else {
            None
        };
        let decided = catch_unwind(AssertUnwindSafe(|| {
            self.decide_and_log(login, sts_result, SystemTime::now())
        }));
        decided
            .map_err(|_| {
                Failure::new(
                    Class::Internal,
                    "cannot decide: the verifier panicked; see its standard error",
                )
            })?
            .map(drop::<Admission>)
    }

    /// Verifies the proof of a login with STS. Makes no request for an unknown instance, or for one
    /// that exceeds its limit.
    async fn verify_proof(&self, login: &LoginRequest<'_>) -> StsResult {
        let unusable = |why: &str| {
            Err(Failure::new(Class::Malformed, format!("password is a proof for STS, {why}")))
        };
        let Some(sts) = &self.sts else {
            return unusable("but the authority does not trust an STS; start it with --sts");
        };
        let (state, now) =
            (self.store.state().map_err(|error| internal(&error))?, SystemTime::now());
        if !state
            .instances
            .get(login.instance.as_str())
            .is_some_and(|instance| instance.iam_enabled && instance.engine == login.engine)
        {
            return unusable("but the instance does not accept IAM logins");
        }
        self.throttle(login, now)?;
        let audience: Audience =
            login.instance.as_str().parse().map_err(|error: InvalidName| internal(&error))?;
        sts.verify(login.token, Binding { audience: &audience, user: Some(login.user) }, now).await
    }

    /// Counts the login.
    ///
    /// # Errors
    /// [`Class::Throttled`] if the instance exceeds its limit.
    fn throttle(&self, login: &LoginRequest<'_>, now: SystemTime) -> Result<(), Failure> {
        if self.throttle.try_acquire(login.instance, now) {
            return Ok(());
        }
        Err(Failure::new(
            Class::Throttled,
            format!("instance {} exceeded its limit of logins per second", login.instance),
        ))
    }

    fn evaluate(
        &self,
        login: &LoginRequest<'_>,
        sts_result: Option<StsResult>,
        now: SystemTime,
        record: &mut AuditRecord,
    ) -> Result<Permit, Failure> {
        if login.tls == Some(false) {
            let option = if login.engine == Engine::Postgres {
                "sslmode=verify-full"
            } else {
                "ssl-mode=VERIFY_IDENTITY"
            };
            return Err(Failure::new(
                Class::NoTls,
                format!("connection does not use TLS; set {option}"),
            ));
        }
        let state = self.store.state().map_err(|error| internal(&error))?;
        let instance = find_instance(&state, login, record)?;
        if let Some(sts_result) = sts_result {
            let proven = sts_result?;
            record.principal = Some(proven.arn.clone());
            let unknown = || {
                format!(
                    "authority has no {} with the unique id {}; import it",
                    proven.arn, proven.user_id
                )
            };
            let identity = ResolvedIdentity::from_sts(&state, &proven)
                .map_err(|_| Failure::new(Class::UnknownKey, unknown()))?;
            let resource = instance.resource(login.user, None);
            let input =
                AuthzInput { state: &state, instance: &instance, resource, identity: &identity };
            return self.authorize(login, &input, now);
        }
        self.throttle(login, now)?;
        let token = UnverifiedToken::parse(login.token)?;
        record.access_key_id = Some(token.access_key_id().clone());
        let token = token.addressed_to(&instance.endpoints(), login.user)?;
        let (verified, identity) = self.verify(&state, token, now)?;
        let principal = Principal::new(&verified, identity.owner.clone());
        record.principal = Some(principal.arn().clone());
        let resource = instance.resource(login.user, Some(verified.endpoint()));
        record.resource = Some(resource.clone());
        let input =
            AuthzInput { state: &state, instance: &instance, resource, identity: &identity };
        self.authorize(login, &input, now)
    }

    fn verify(
        &self,
        state: &State,
        token: AddressedToken<'_>,
        now: SystemTime,
    ) -> Result<(VerifiedToken, ResolvedIdentity), Failure> {
        let id = token.access_key_id().clone();
        let key = ResolvedKey::find(state, self.store.sealing(), &id, token.session_token())
            .map_err(|error| match error {
                KeyLookupError::Unknown => {
                    Failure::new(Class::UnknownKey, format!("access key {id} does not exist"))
                }
                KeyLookupError::TokenMissing => token.without_session(),
                KeyLookupError::TokenWrong => Failure::new(
                    Class::SessionTokenWrong,
                    format!("session token does not belong to access key {id}"),
                ),
                KeyLookupError::Corrupt(invalid) => internal(&invalid),
            })?;
        Ok((token.verify(&key.credentials, key.status, &self.keys, now)?, key.identity))
    }

    fn authorize(
        &self,
        login: &LoginRequest<'_>,
        input: &AuthzInput<'_>,
        now: SystemTime,
    ) -> Result<Permit, Failure> {
        let AuthzInput { state, instance, resource, identity } = input;
        let policies = identity
            .effective_policies(state, &instance.account)
            .compile()
            .map_err(|unusable| Failure::new(Class::PolicyUnusable, unusable.to_string()))?;
        let request = Request {
            caller: &identity.caller().map_err(|error| internal(&error))?,
            action: &CONNECT.parse().map_err(|error: InvalidName| internal(&error))?,
            resource: resource.as_str(),
            resource_account: Some(&instance.account),
            context: &self.context(login, identity, now),
        };
        match decide(&request, &policies) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(reason) => {
                let explicit = matches!(reason.cause, Cause::Explicit { .. });
                Err(Failure::new(
                    if explicit { Class::ExplicitlyDenied } else { Class::NotAllowed },
                    reason.to_string(),
                ))
            }
        }
    }

    fn context(
        &self,
        login: &LoginRequest<'_>,
        identity: &ResolvedIdentity,
        now: SystemTime,
    ) -> Context {
        let mut context = identity.context(now);
        if let (ContextKeys::WithSourceIp, Some(client)) = (self.context_keys, login.client) {
            context.insert("aws:SourceIp", client);
        }
        context
    }
}

/// Input of an authorization: identity, resource and the state with their policies.
struct AuthzInput<'a> {
    state: &'a State,
    instance: &'a Instance,
    resource: Arn,
    identity: &'a ResolvedIdentity,
}

/// Returns the instance of the login.
///
/// # Errors
/// [`Class::UnknownInstance`], [`Class::IamDisabled`].
fn find_instance(
    state: &State,
    login: &LoginRequest<'_>,
    record: &mut AuditRecord,
) -> Result<Arc<Instance>, Failure> {
    let found = state
        .instances
        .get(login.instance.as_str())
        .filter(|instance| instance.engine == login.engine);
    let instance = found.ok_or_else(|| {
        Failure::new(
            Class::UnknownInstance,
            format!("authority has no {} instance named {}", login.engine, login.instance),
        )
    })?;
    record.resource = Some(instance.resource(login.user, None));
    if instance.iam_enabled {
        return Ok(Arc::clone(instance));
    }
    Err(Failure::new(
        Class::IamDisabled,
        format!("IAM database authentication is disabled for {}", login.instance),
    ))
}

fn audit_record(login: &LoginRequest<'_>, now: SystemTime) -> AuditRecord {
    let mut record =
        AuditRecord::pending(now, login.engine, login.instance.clone(), login.user.clone());
    record.client = login.client.map(str::to_owned);
    record.time = rfc3339(now);
    record
}

fn internal(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, error.to_string())
}

#[cfg(test)]
mod tests;
