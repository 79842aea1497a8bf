//! The decision on one login.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::arn::Arn;
use countersign_core::audit::AuditRecord;
use countersign_core::failure::{AuditOutcome, Class, Failure};
use countersign_core::name::{DbUser, Engine, InstanceId, InvalidName};
use countersign_core::policy::{Cause, Context, Decision, Permit, Request, decide};
use countersign_core::principal::Principal;
use countersign_core::proof::{Audience, Binding};
use countersign_core::sigv4::KeyCache;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::{AddressedToken, UnverifiedToken, VerifiedToken};

use crate::key_lookup::{KeyLookupError, ResolvedIdentity, ResolvedKey};
use crate::log::AccessLog;
use crate::model::Instance;
use crate::store::{State, Store};
use crate::sts_verifier::{ProvenIdentity, StsVerifier};
use crate::throttle::Throttle;

/// The one action that a login needs.
const CONNECT: &str = "rds-db:connect";

/// A login as a database server asks about it.
#[derive(Clone, Copy)]
pub struct LoginRequest<'a> {
    /// The server's kind.
    pub engine: Engine,
    /// The instance that the server is.
    pub instance: &'a InstanceId,
    /// The database user.
    pub user: &'a DbUser,
    /// What came as the password.
    pub token: &'a str,
    /// The client's address, where the server told it.
    pub client: Option<&'a str>,
    /// Whether the connection has TLS, where the server told it.
    pub tls: Option<bool>,
}

impl std::fmt::Debug for LoginRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("instance", self.instance)
            .field("user", self.user)
            .finish_non_exhaustive()
    }
}

/// Which condition keys a policy sees on a login, beside those of the principal and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextKeys {
    /// Those of RDS, which has no `aws:SourceIp` on `rds-db:connect`.
    #[default]
    AsRds,
    /// `aws:SourceIp` too, where the server tells it.
    WithSourceIp,
}

/// How a verifier decides, apart from what the store says.
#[derive(Debug, Clone, Copy)]
pub struct VerifierConfig {
    /// The most logins a second and instance.
    pub limit: Option<NonZeroU32>,
    /// The condition keys that policies see.
    pub context_keys: ContextKeys,
}

/// Decides logins by what the store says, and logs each decision.
#[derive(Debug)]
pub struct Verifier {
    store: Store,
    log: AccessLog,
    keys: KeyCache,
    throttle: Throttle,
    context_keys: ContextKeys,
    /// What asks STS who made a proof, where proofs are taken.
    proofs: Option<StsVerifier>,
}

/// What STS says of a proof.
type Proven = Result<ProvenIdentity, Failure>;

/// Proof that a login may go through: made only by [`Verifier::decide`], once the log has it.
#[derive(Debug)]
pub struct Admission {
    _permit: Permit,
}

impl Verifier {
    /// A verifier over `store`, which writes to `log`.
    #[must_use]
    pub fn new(store: Store, log: AccessLog, settings: VerifierConfig) -> Self {
        let (keys, throttle) = (KeyCache::default(), Throttle::new(settings.limit));
        Self { store, log, keys, throttle, context_keys: settings.context_keys, proofs: None }
    }

    /// Takes proofs too, which `proofs` verifies.
    #[must_use]
    pub fn with_sts_verifier(self, proofs: Option<StsVerifier>) -> Self {
        Self { proofs, ..self }
    }

    /// What the verifier decides by.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Where each decision is written.
    #[must_use]
    pub const fn log(&self) -> &AccessLog {
        &self.log
    }

    /// The signing keys derived today.
    #[must_use]
    pub const fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// May `login` go through, at `now`? The answer is in the log before it is given.
    ///
    /// # Errors
    /// Why not. A log that can't be written is a reason too.
    pub fn decide(&self, login: &LoginRequest<'_>, now: SystemTime) -> Result<Admission, Failure> {
        self.conclude(login, None, now)
    }

    fn conclude(
        &self,
        login: &LoginRequest<'_>,
        proven: Option<Proven>,
        now: SystemTime,
    ) -> Result<Admission, Failure> {
        let mut trail = PendingRecord::open(&self.log, login, now);
        let decided = self.evaluate(login, proven, now, &mut trail.record);
        trail.close(decided)
    }

    /// May `login` go through, now? For the fronts: on the thread that asks, since deciding takes less than handing it to another
    /// and being woken again. (All decisions wait for the one log: a disk that is slow for one of them is slow for all.) Only where
    /// the login brings a proof in place of a token, STS is asked before. A panic denies.
    ///
    /// # Errors
    /// Those of [`Verifier::decide`].
    pub async fn answer(&self, login: &LoginRequest<'_>) -> Result<(), Failure> {
        let proven =
            if login.token.starts_with("http") { Some(self.prove(login).await) } else { None };
        let decided =
            catch_unwind(AssertUnwindSafe(|| self.conclude(login, proven, SystemTime::now())));
        decided
            .map_err(|_| {
                Failure::new(
                    Class::Internal,
                    "the verifier panicked: its standard error says where",
                )
            })?
            .map(drop::<Admission>)
    }

    /// Who made the proof that a login brings. Nobody is asked on behalf of an instance that is not there, or of one that has too
    /// many logins.
    async fn prove(&self, login: &LoginRequest<'_>) -> Proven {
        let unusable = |why: &str| {
            Err(Failure::new(Class::Malformed, format!("it is a proof for STS, {why}")))
        };
        let Some(proofs) = &self.proofs else {
            return unusable("and this authority trusts no STS: see its --sts");
        };
        let (state, now) =
            (self.store.state().map_err(|error| internal(&error))?, SystemTime::now());
        if !state
            .instances
            .get(login.instance.as_str())
            .is_some_and(|instance| instance.iam_enabled && instance.engine == login.engine)
        {
            return unusable("for an instance that takes no IAM logins");
        }
        self.admit(login, now)?;
        let audience: Audience =
            login.instance.as_str().parse().map_err(|error: InvalidName| internal(&error))?;
        proofs
            .verify(login.token, Binding { audience: &audience, user: Some(login.user) }, now)
            .await
    }

    /// Counts the login, and refuses it where there have been too many.
    fn admit(&self, login: &LoginRequest<'_>, now: SystemTime) -> Result<(), Failure> {
        if self.throttle.try_acquire(login.instance, now) {
            return Ok(());
        }
        Err(Failure::new(
            Class::Throttled,
            format!("instance {} has had too many logins this second", login.instance),
        ))
    }

    fn evaluate(
        &self,
        login: &LoginRequest<'_>,
        proven: Option<Proven>,
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
                format!("the connection has no TLS: use {option}"),
            ));
        }
        let state = self.store.state().map_err(|error| internal(&error))?;
        let instance = known_instance(&state, login, record)?;
        if let Some(proven) = proven {
            let proven = proven?;
            record.principal = Some(proven.arn.clone());
            let unknown = || {
                format!(
                    "the authority knows no {} with the unique id {}: import it",
                    proven.arn, proven.user_id
                )
            };
            let holder = ResolvedIdentity::from_sts(&state, &proven)
                .map_err(|_| Failure::new(Class::UnknownKey, unknown()))?;
            let resource = instance.resource(login.user, None);
            return self.authorize(
                login,
                &Question { state: &state, instance: &instance, resource, holder: &holder },
                now,
            );
        }
        self.admit(login, now)?;
        let token = UnverifiedToken::parse(login.token)?;
        record.access_key_id = Some(token.access_key_id().clone());
        let token = token.addressed_to(&instance.endpoints(), login.user)?;
        let (verified, holder) = self.verify(&state, token, now)?;
        let principal = Principal::new(&verified, holder.owner.clone());
        record.principal = Some(principal.arn().clone());
        let resource = instance.resource(login.user, Some(verified.endpoint()));
        record.resource = Some(resource.clone());
        self.authorize(
            login,
            &Question { state: &state, instance: &instance, resource, holder: &holder },
            now,
        )
    }

    fn verify(
        &self,
        state: &State,
        token: AddressedToken<'_>,
        now: SystemTime,
    ) -> Result<(VerifiedToken, ResolvedIdentity), Failure> {
        let id = token.access_key_id().clone();
        let key = ResolvedKey::find(state, self.store.sealing(), &id, token.session_token())
            .map_err(|unheld| match unheld {
                KeyLookupError::Unknown => Failure::new(
                    Class::UnknownKey,
                    format!("the access key {id} belongs to nobody here"),
                ),
                KeyLookupError::TokenMissing => token.without_session(),
                KeyLookupError::TokenWrong => Failure::new(
                    Class::SessionTokenWrong,
                    format!("its session token is not that of {id}"),
                ),
                KeyLookupError::Corrupt(invalid) => internal(&invalid),
            })?;
        Ok((token.verify(&key.credentials, key.status, &self.keys, now)?, key.identity))
    }

    fn authorize(
        &self,
        login: &LoginRequest<'_>,
        question: &Question<'_>,
        now: SystemTime,
    ) -> Result<Permit, Failure> {
        let Question { state, instance, resource, holder } = question;
        let documents = holder.effective_policies(state, &instance.account);
        let policies = documents
            .compile()
            .map_err(|unusable| Failure::new(Class::PolicyUnusable, unusable.to_string()))?;
        let request = Request {
            caller: &holder.caller().map_err(|error| internal(&error))?,
            action: &CONNECT.parse().map_err(|error: InvalidName| internal(&error))?,
            resource: resource.as_str(),
            resource_account: Some(&instance.account),
            context: &self.context(login, holder, now),
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
        holder: &ResolvedIdentity,
        now: SystemTime,
    ) -> Context {
        let mut context = holder.context(now);
        if let (ContextKeys::WithSourceIp, Some(client)) = (self.context_keys, login.client) {
            context.insert("aws:SourceIp", client);
        }
        context
    }
}

/// Who wants to do what, where.
struct Question<'a> {
    state: &'a State,
    instance: &'a Instance,
    resource: Arn,
    holder: &'a ResolvedIdentity,
}

/// The instance that asks, if IAM authentication is switched on for it.
fn known_instance(
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
            format!("the authority knows no {} instance named {}", login.engine, login.instance),
        )
    })?;
    record.resource = Some(instance.resource(login.user, None));
    if instance.iam_enabled {
        return Ok(Arc::clone(instance));
    }
    Err(Failure::new(
        Class::IamDisabled,
        format!("IAM database authentication is switched off for {}", login.instance),
    ))
}

fn internal(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Class::Internal, error.to_string())
}

/// The record of one decision: written on closing, and as abandoned where it is dropped without.
struct PendingRecord<'a> {
    /// Where it is to be written; nothing once that has been tried.
    log: Option<&'a AccessLog>,
    record: AuditRecord,
}

impl<'a> PendingRecord<'a> {
    fn open(log: &'a AccessLog, login: &LoginRequest<'_>, now: SystemTime) -> Self {
        let mut record =
            AuditRecord::open(now, login.engine, login.instance.clone(), login.user.clone());
        record.client = login.client.map(str::to_owned);
        record.time = rfc3339(now);
        Self { log: Some(log), record }
    }

    fn close(mut self, decided: Result<Permit, Failure>) -> Result<Admission, Failure> {
        (self.record.outcome, self.record.class, self.record.reason) = match &decided {
            Ok(permit) => (AuditOutcome::Allowed, None, permit.to_string()),
            Err(failure) => (failure.class.outcome(), Some(failure.class), failure.detail.clone()),
        };
        let written = self.log.take().map_or(Ok(()), |log| log.write(&self.record));
        written.map_err(|error| {
            Failure::new(Class::Internal, format!("the access log can't be written: {error}"))
        })?;
        decided.map(|permit| Admission { _permit: permit })
    }
}

impl Drop for PendingRecord<'_> {
    fn drop(&mut self) {
        let Some(log) = self.log.take() else { return };
        if let Err(error) = log.write(&self.record) {
            tracing::error!(%error, user = %self.record.user, "an abandoned decision is not in the access log");
        }
    }
}

#[cfg(test)]
mod tests;
