//! The decision on one login.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use countersign_core::audit::AuditRecord;
use countersign_core::failure::{Class, Failure, Outcome};
use countersign_core::name::{DbUser, Engine, InstanceId, InvalidName};
use countersign_core::policy::{Cause, Context, Decision, Layer, Permit, Policy, PolicySet, Request, decide};
use countersign_core::principal::Principal;
use countersign_core::sigv4::KeyCache;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::{AddressedToken, UnverifiedToken, VerifiedToken};

use crate::log::AccessLog;
use crate::store::{Documents, Instance, Named, Store, StoreError, StoredKey};
use crate::throttle::Throttle;

/// The one action that a login needs.
const CONNECT: &str = "rds-db:connect";

/// A login as a database server asks about it.
#[derive(Clone, Copy)]
pub struct Login<'a> {
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

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("instance", self.instance).field("user", self.user).finish_non_exhaustive()
    }
}

/// Which condition keys a policy sees on a login, beside those of the principal and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContextKeys {
    /// Those of RDS, which has no `aws:SourceIp` on `rds-db:connect`.
    #[default]
    AsRds,
    /// `aws:SourceIp` too, where the server tells it.
    WithSource,
}

/// How a verifier decides, apart from what the store says.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
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
}

/// Proof that a login may go through: made only by [`Verifier::decide`], once the log has it.
#[derive(Debug)]
pub struct Admission {
    _permit: Permit,
}

impl Verifier {
    /// A verifier over `store`, which writes to `log`.
    #[must_use]
    pub fn new(store: Store, log: AccessLog, settings: Settings) -> Self {
        let (keys, throttle) = (KeyCache::default(), Throttle::new(settings.limit));
        Self { store, log, keys, throttle, context_keys: settings.context_keys }
    }

    /// What the verifier decides by.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
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
    pub fn decide(&self, login: &Login<'_>, now: SystemTime) -> Result<Admission, Failure> {
        let mut trail = Trail::open(&self.log, login, now);
        let decided = self.judge(login, now, &mut trail.record);
        trail.close(decided)
    }

    /// May `login` go through, now? For the fronts: on the thread that asks, since deciding takes less than handing it to another
    /// and being woken again. (All decisions wait for the one log: a disk that is slow for one of them is slow for all.) A panic
    /// denies.
    ///
    /// # Errors
    /// Those of [`Verifier::decide`].
    pub fn answer(&self, login: &Login<'_>) -> Result<(), Failure> {
        let decided = catch_unwind(AssertUnwindSafe(|| self.decide(login, SystemTime::now())));
        decided.map_err(|_| Failure::new(Class::Internal, "the verifier panicked: its standard error says where"))?.map(drop::<Admission>)
    }

    fn judge(&self, login: &Login<'_>, now: SystemTime, record: &mut AuditRecord) -> Result<Permit, Failure> {
        if login.tls == Some(false) {
            let option = if login.engine == Engine::Postgres { "sslmode=verify-full" } else { "ssl-mode=VERIFY_IDENTITY" };
            return Err(Failure::new(Class::NoTls, format!("the connection has no TLS: use {option}")));
        }
        let instance = self.instance(login, record)?;
        if !self.throttle.admits(login.instance, now) {
            return Err(Failure::new(Class::Throttled, format!("instance {} has had too many logins this second", login.instance)));
        }
        let token = UnverifiedToken::parse(login.token)?;
        record.access_key_id = Some(token.access_key_id().clone());
        let token = token.addressed_to(&instance.endpoints, login.user)?;
        let (verified, key) = self.verify(token, now)?;
        let principal = Principal::new(&verified, key.owner.clone());
        record.principal = Some(principal.arn().clone());
        let documents = self.store.documents(&key, &instance.account).map_err(|error| internal(&error))?;
        self.authorize(login, &instance, &principal, &documents, now)
    }

    fn instance(&self, login: &Login<'_>, record: &mut AuditRecord) -> Result<Instance, Failure> {
        let found = self.store.instance(login.instance).map_err(|error| internal(&error))?;
        let instance = found.filter(|instance| instance.engine == login.engine).ok_or_else(|| {
            Failure::new(Class::UnknownInstance, format!("the authority knows no {} instance named {}", login.engine, login.instance))
        })?;
        record.resource = Some(instance.resource(login.user));
        if instance.iam_enabled {
            return Ok(instance);
        }
        Err(Failure::new(Class::IamDisabled, format!("IAM database authentication is switched off for {}", login.instance)))
    }

    fn verify(&self, token: AddressedToken<'_>, now: SystemTime) -> Result<(VerifiedToken, StoredKey), Failure> {
        let id = token.access_key_id();
        let found = self.store.key(id).map_err(|error| internal(&error))?;
        let key = found.ok_or_else(|| Failure::new(Class::UnknownKey, format!("the access key {id} belongs to nobody here")))?;
        Ok((token.verify(&key.credentials, key.status, &self.keys, now)?, key))
    }

    fn authorize(
        &self,
        login: &Login<'_>,
        instance: &Instance,
        principal: &Principal,
        documents: &Documents,
        now: SystemTime,
    ) -> Result<Permit, Failure> {
        let policies = compile(documents)?;
        let resource = instance.resource(login.user);
        let corrupt = |error: InvalidName| internal(&StoreError::Corrupt(error));
        let request = Request {
            caller: &principal.caller().map_err(corrupt)?,
            action: &CONNECT.parse().map_err(corrupt)?,
            resource: resource.as_str(),
            resource_account: Some(&instance.account),
            context: &self.context(login, principal, now),
        };
        match decide(&request, &policies) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(because) => {
                let explicit = matches!(because.cause, Cause::Explicit { .. });
                Err(Failure::new(if explicit { Class::ExplicitlyDenied } else { Class::NotAllowed }, because.to_string()))
            }
        }
    }

    fn context(&self, login: &Login<'_>, principal: &Principal, now: SystemTime) -> Context {
        let mut context = Context::new();
        let epoch = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        context.insert("aws:CurrentTime", rfc3339(now));
        context.insert("aws:EpochTime", epoch.to_string());
        for (key, value) in &principal.identity().tags {
            context.insert(&format!("aws:PrincipalTag/{key}"), value.as_str());
        }
        if let (ContextKeys::WithSource, Some(client)) = (self.context_keys, login.client) {
            context.insert("aws:SourceIp", client);
        }
        context
    }
}

/// Every document as a policy. They were checked when they were stored; one that can't be evaluated now denies all.
fn compile(documents: &Documents) -> Result<PolicySet, Failure> {
    let mut policies = PolicySet::new();
    let unusable = |name: &str, why: String| Failure::new(Class::PolicyUnusable, format!("the policy {name:?} can't be evaluated: {why}"));
    let mut add = |layer: Layer, (name, text): &Named| {
        let policy = Policy::parse(text, layer.kind()).map_err(|mistakes| unusable(name, mistakes.to_string()))?;
        policies.add(layer, policy.named(name)).map_err(|error| unusable(name, error.to_string()))
    };
    let own = [(Layer::Identity, &documents.inline), (Layer::Session, &documents.session)];
    for (layer, list) in own {
        list.iter().try_for_each(|policy| add(layer, policy))?;
    }
    documents.boundaries.iter().enumerate().try_for_each(|(at, policy)| add(Layer::Boundary(at), policy))?;
    for (level, list) in documents.service_control.iter().enumerate() {
        list.iter().try_for_each(|policy| add(Layer::ServiceControl(level), policy))?;
    }
    for (level, list) in documents.resource_control.iter().enumerate() {
        list.iter().try_for_each(|policy| add(Layer::ResourceControl(level), policy))?;
    }
    Ok(policies)
}

fn internal(error: &StoreError) -> Failure {
    Failure::new(Class::Internal, error.to_string())
}

/// The record of one decision: written on closing, and as abandoned where it is dropped without.
struct Trail<'a> {
    /// Where it is to be written; nothing once that has been tried.
    log: Option<&'a AccessLog>,
    record: AuditRecord,
}

impl<'a> Trail<'a> {
    fn open(log: &'a AccessLog, login: &Login<'_>, now: SystemTime) -> Self {
        let mut record = AuditRecord::open(now, login.engine, login.instance.clone(), login.user.clone());
        record.client = login.client.map(str::to_owned);
        record.time = rfc3339(now);
        Self { log: Some(log), record }
    }

    fn close(mut self, decided: Result<Permit, Failure>) -> Result<Admission, Failure> {
        (self.record.outcome, self.record.class, self.record.because) = match &decided {
            Ok(permit) => (Outcome::Allowed, None, permit.to_string()),
            Err(failure) => (failure.class.outcome(), Some(failure.class), failure.detail.clone()),
        };
        let written = self.log.take().map_or(Ok(()), |log| log.write(&self.record));
        written.map_err(|error| Failure::new(Class::Internal, format!("the access log can't be written: {error}")))?;
        decided.map(|permit| Admission { _permit: permit })
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        let Some(log) = self.log.take() else { return };
        if let Err(error) = log.write(&self.record) {
            tracing::error!(%error, user = %self.record.user, "an abandoned decision is not in the access log");
        }
    }
}

#[cfg(test)]
mod tests;
