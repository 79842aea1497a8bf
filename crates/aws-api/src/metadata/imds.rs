//! EC2 instance metadata service: identity of a machine, and credentials of its instance profile's
//! role.
//!
//! Every client that reaches the address is treated as the machine, so it has an address of its own
//! and is off by default. A session token must be fetched first (IMDSv2): web pages and proxies do
//! not do that by accident.
//!
//! Source: "Use the Instance Metadata Service to access instance metadata" and "Instance metadata
//! categories" in the EC2 user guide.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::name::AccountId;
use countersign_core::region::Region;
use countersign_core::timestamp::rfc3339;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::assumption::{Assumption, members};
use super::request::MetadataRequest;
use crate::api::Api;
use crate::context::ReceivedRequest;
use crate::error::ApiError;
use crate::response::{pretty, text};
use countersign_authority::model::{InstanceProfile, instant, seconds};
use countersign_authority::store::{State, account_key};

/// Service that the roles have to trust.
const SERVICE: &str = "ec2.amazonaws.com";

/// Lifetime of the credentials.
/// Source: "IAM roles for Amazon EC2" in the EC2 user guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

const TOKEN_PATH: &str = "/latest/api/token";
const CREDENTIALS_PATH: &str = "/latest/meta-data/iam/security-credentials";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// Maximum lifetime of a token in seconds.
const MAX_TTL: u64 = 21_600;

/// Maximum size in bytes of a token; issued tokens have 64.
const MAX_TOKEN: usize = 256;

/// Machine of a metadata service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Account of the machine.
    pub account: AccountId,
    /// Name of its instance profile.
    pub profile: String,
    /// Region of the machine.
    pub region: Region,
    /// Allows requests without a token (IMDSv1). Every web page and proxy that can be made to fetch
    /// a URL then gets the credentials.
    pub version_one: bool,
}

impl Machine {
    /// Returns `i-` and 17 hexadecimal digits, always the same for a profile.
    fn id(&self) -> String {
        let name = format!("{}/{}/{}", self.account, self.region, self.profile);
        let hex: String = digest(&SHA256, name.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("i-{}", hex.get(..17).unwrap_or_default())
    }
}

/// Metadata service of one machine.
#[derive(Debug)]
pub(crate) struct Imds {
    pub(crate) api: Arc<Api>,
    pub(crate) machine: Machine,
}

/// HTTP status of an error.
type Status = u16;

impl Imds {
    pub(crate) fn respond(&self, received: &ReceivedRequest) -> Response<String> {
        let request = match MetadataRequest::new(&self.api, received) {
            Ok(request) => MetadataRequest { region: self.machine.region.clone(), ..request },
            Err(error) => return text(error.status, &error.message),
        };
        if !is_addressed_to_machine(&request) {
            return text(403, "Forbidden: the Host is neither an address nor localhost");
        }
        let path = received.head.uri.path();
        let result =
            if path == TOKEN_PATH { self.token(&request) } else { self.metadata(&request, path) };
        let mut response = result.unwrap_or_else(|status| text(status, reason(status)));
        response.headers_mut().insert(header::SERVER, HeaderValue::from_static("EC2ws"));
        response
    }

    /// `PUT /latest/api/token`. Tokens are stateless: the expiry is sealed in the token.
    fn token(&self, request: &MetadataRequest<'_>) -> Result<Response<String>, Status> {
        if request.received.head.headers.contains_key("x-forwarded-for") {
            return Err(403);
        }
        if !request.is(&Method::PUT) {
            return Err(405);
        }
        let requested = request
            .header(TOKEN_TTL)
            .filter(|ttl| ttl.len() <= 5 && ttl.bytes().all(|byte| byte.is_ascii_digit()));
        let ttl: u64 = requested
            .and_then(|ttl| ttl.parse().ok())
            .filter(|ttl| (1..=MAX_TTL).contains(ttl))
            .ok_or(400_u16)?;
        let end = request.now + Duration::from_secs(ttl);
        let token = request
            .api
            .store()
            .sealing()
            .seal(seconds(end).to_string().as_bytes(), &self.purpose())
            .map_err(|error| {
                tracing::error!(%error, "cannot seal a metadata token");
                500_u16
            })?;
        let mut response = text(200, &token);
        response.headers_mut().insert(TOKEN_TTL, HeaderValue::from(ttl));
        Ok(response)
    }

    fn metadata(
        &self,
        request: &MetadataRequest<'_>,
        path: &str,
    ) -> Result<Response<String>, Status> {
        let tokens = request.received.head.headers.get_all(TOKEN).iter().count();
        let version_one = tokens == 0 && self.machine.version_one;
        if !version_one
            && !request
                .header(TOKEN)
                .is_some_and(|token| self.is_valid(token, request.api, request.now))
        {
            return Err(401);
        }
        if !request.is(&Method::GET) {
            return Err(405);
        }
        let region = &self.machine.region;
        match path.strip_suffix('/').unwrap_or(path) {
            "/latest/meta-data/instance-id" => Ok(text(200, &self.machine.id())),
            "/latest/meta-data/placement/region" => Ok(text(200, region.as_str())),
            "/latest/meta-data/placement/availability-zone" => Ok(text(200, &format!("{region}a"))),
            "/latest/dynamic/instance-identity/document" => Ok(pretty(&self.document())),
            "/latest/meta-data/iam/info" => Ok(pretty(&self.info(request)?)),
            CREDENTIALS_PATH => Ok(text(200, &self.role(&request.state)?.1)),
            path => {
                let requested = path
                    .strip_prefix(CREDENTIALS_PATH)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .ok_or(404_u16)?;
                Ok(pretty(&self.credentials(
                    request,
                    requested,
                    if version_one { "1.0" } else { "2.0" },
                )?))
            }
        }
    }

    /// Returns the purpose of the seal: tokens of other machines and session tokens are invalid.
    fn purpose(&self) -> Vec<u8> {
        format!("imds/{}", self.machine.id()).into_bytes()
    }

    fn is_valid(&self, token: &str, api: &Api, now: SystemTime) -> bool {
        if token.len() > MAX_TOKEN {
            return false;
        }
        let end: Option<Zeroizing<Vec<u8>>> = api.store().sealing().open(token, &self.purpose());
        let end = end.and_then(|end| std::str::from_utf8(&end).ok()?.parse().ok());
        end.is_some_and(|end| now < instant(end))
    }

    /// Returns the instance profile and the name of its role.
    fn role(&self, state: &State) -> Result<(Arc<InstanceProfile>, String), Status> {
        let profile = state
            .profiles
            .get(&account_key(self.machine.account.as_str(), &self.machine.profile))
            .ok_or(404_u16)?;
        let role = profile.role.clone().ok_or(404_u16)?;
        let role =
            state.roles.get(&account_key(self.machine.account.as_str(), &role)).ok_or(404_u16)?;
        Ok((Arc::clone(profile), role.name.clone()))
    }

    fn partition(&self, state: &State) -> &'static str {
        state
            .accounts
            .get(self.machine.account.as_str())
            .map_or("aws", |account| account.partition.as_str())
    }

    fn info(&self, request: &MetadataRequest<'_>) -> Result<Value, Status> {
        let (profile, _) = self.role(&request.state)?;
        let partition = self.partition(&request.state);
        let arn = format!(
            "arn:{partition}:iam::{}:instance-profile{}{}",
            profile.account, profile.path, profile.name
        );
        Ok(json!({
            "Code": "Success",
            "LastUpdated": rfc3339(request.now),
            "InstanceProfileArn": arn,
            "InstanceProfileId": profile.unique_id,
        }))
    }

    /// Returns the instance identity document, with the members that apply here.
    fn document(&self) -> Value {
        json!({
            "version": "2017-09-30",
            "accountId": self.machine.account,
            "instanceId": self.machine.id(),
            "region": self.machine.region,
            "availabilityZone": format!("{}a", self.machine.region),
        })
    }

    fn credentials(
        &self,
        request: &MetadataRequest<'_>,
        requested: &str,
        delivery: &str,
    ) -> Result<Value, Status> {
        let (_, name) = self.role(&request.state)?;
        if name != requested {
            return Err(404);
        }
        let (partition, Machine { account, region, .. }) =
            (self.partition(&request.state), &self.machine);
        let path = request
            .state
            .roles
            .get(&account_key(account.as_str(), &name))
            .map_or("/", |role| role.path.as_str());
        let (role, id) =
            (format!("arn:{partition}:iam::{account}:role{path}{name}"), self.machine.id());
        let assumption = Assumption {
            service: SERVICE,
            role: &role,
            session: &id,
            lifetime: LIFETIME,
            tags: Default::default(),
            request: Vec::new(),
            // Source: "Available keys for Amazon EC2" in the IAM user guide.
            facts: vec![
                ("ec2:RoleDelivery", delivery.to_owned()),
                (
                    "ec2:SourceInstanceARN",
                    format!("arn:{partition}:ec2:{region}:{account}:instance/{id}"),
                ),
            ],
        };
        let result = assumption.make(&request.context());
        let mut value = match &result {
            Ok((_, credentials)) => members(credentials),
            // Not an HTTP error on EC2 either: clients check the code.
            Err(ApiError { code: "AccessDenied", .. }) => {
                return Ok(json!({
                    "Code": "AssumeRoleUnauthorizedAccess",
                    "Message": format!("EC2 cannot assume the role {name}: its trust policy does \
                     not allow {SERVICE} to."),
                    "LastUpdated": rfc3339(request.now),
                }));
            }
            Err(_) => return Err(500),
        };
        value.insert("Code".to_owned(), "Success".into());
        value.insert("LastUpdated".to_owned(), rfc3339(request.now).into());
        value.insert("Type".to_owned(), "AWS-HMAC".into());
        Ok(value.into())
    }
}

/// Returns true if the request is addressed to the machine itself: a web page that resolves its own
/// name to this address (DNS rebinding) sends that name as the host.
fn is_addressed_to_machine(request: &MetadataRequest<'_>) -> bool {
    let host = request.header("host").unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

fn reason(status: Status) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Internal Server Error",
    }
}
