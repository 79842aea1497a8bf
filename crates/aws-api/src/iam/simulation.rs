//! Policy simulator: evaluates policies for hypothetical requests.

mod input;

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::policy::{
    Action as RequestedAction, Caller, Context, Effect, Layer, PolicyKind, PolicySet, Request,
    StatementName, Verdict, applying, decide,
};

use super::context_key::keys;
use super::entity::PAGING;
use super::identity::{Identity, Kind};
use super::policy::path_and_name;
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
pub(super) use input::{Source, inputs, source};
use input::{context, invalid, owner, parse, user};

/// Both may take long. `ResourceHandlingOption` applies to scenarios of EC2 and is not supported.
pub(super) const ACTIONS: &[Action] = &[
    Action::waits(
        "SimulateCustomPolicy",
        &[
            "PolicyInputList",
            "PermissionsBoundaryPolicyInputList",
            "ActionNames",
            "ResourceArns",
            "ResourcePolicy",
            "ResourceOwner",
            "CallerArn",
            "ContextEntries",
            "MaxItems",
            "Marker",
        ],
        custom,
    ),
    Action::waits(
        "SimulatePrincipalPolicy",
        &[
            "PolicySourceArn",
            "PolicyInputList",
            "PermissionsBoundaryPolicyInputList",
            "ActionNames",
            "ResourceArns",
            "ResourcePolicy",
            "ResourceOwner",
            "CallerArn",
            "ContextEntries",
            "MaxItems",
            "Marker",
        ],
        principal,
    ),
];

/// Parts of a simulation that all its requests share.
struct Simulation<'a> {
    source: Option<Source>,
    inputs: Vec<&'a str>,
    boundary: Vec<&'a str>,
    resource_policy: Option<&'a str>,
    /// Caller of the requests; by default the account of the resource.
    caller: Option<Arn>,
    owner: Option<AccountId>,
    context: Context,
    /// Lower-case names of the keys in the context.
    given: Vec<String>,
}

fn custom(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    ctx.authorize("iam:SimulateCustomPolicy", &Target::of("*"))?;
    let simulation = Simulation::read(ctx, None)?;
    if simulation.inputs.is_empty() {
        return Err(ApiError::missing("PolicyInputList"));
    }
    simulation.answer(ctx)
}

fn principal(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let source = source(ctx, "iam:SimulatePrincipalPolicy")?;
    Simulation::read(ctx, Some(source))?.answer(ctx)
}

impl<'a> Simulation<'a> {
    fn read(ctx: &RequestContext<'a>, source: Option<Source>) -> Result<Self, ApiError> {
        let boundary = inputs(ctx, "PermissionsBoundaryPolicyInputList")?;
        if boundary.len() > 1 {
            return Err(invalid(
                "PermissionsBoundaryPolicyInputList can have one policy: an identity has no more \
                 boundaries.",
            ));
        }
        let resource_policy = ctx.parameters.text("ResourcePolicy");
        resource_policy
            .map_or(Ok(()), |text| parse(text, PolicyKind::Resource, "ResourcePolicy").map(drop))?;
        let named = ctx.parameters.text("CallerArn").map(user).transpose()?;
        if resource_policy.is_some()
            && named.is_none()
            && !matches!(source, Some(Source { identity: Identity::User(_), .. }))
        {
            return Err(invalid(
                "CallerArn must be given with a ResourcePolicy, unless PolicySourceArn is a \
                 user's.",
            ));
        }
        // A group makes no requests: the caller could be any of its members.
        let of_source = source.as_ref().map(|source| match source.identity.kind() {
            Kind::User | Kind::Role => Ok(source.arn.clone()),
            Kind::Group => {
                format!("arn:{}:iam::{}:root", source.arn.partition(), source.arn.account()).parse()
            }
        });
        let (context, given) = context(ctx, source.as_ref())?;
        Ok(Self {
            source,
            inputs: inputs(ctx, "PolicyInputList")?,
            boundary,
            resource_policy,
            caller: named.map(Ok).or(of_source).transpose()?,
            owner: ctx.parameters.text("ResourceOwner").map(owner).transpose()?,
            context,
            given,
        })
    }

    /// Returns one result for each action on each resource.
    fn answer(&self, ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
        let actions = ctx.parameters.list("ActionNames");
        if actions.is_empty() {
            return Err(ApiError::missing("ActionNames"));
        }
        let named = ctx.parameters.list("ResourceArns");
        let resources = if named.is_empty() { vec!["*"] } else { named };
        let requests = actions
            .iter()
            .flat_map(|action| resources.iter().map(move |resource| (*action, *resource)));
        let page = PAGING
            .page(ctx, requests.enumerate().map(|(at, request)| (format!("{at:07}"), request)))?;
        let (mut prepared, mut results) = (BTreeMap::new(), Vec::new());
        for (action, resource) in &page.items {
            let account = self.resource_account(ctx, resource)?;
            if !prepared.contains_key(&account) {
                prepared.insert(account.clone(), Prepared::new(self, ctx, &account)?);
            }
            let Some(prepared) = prepared.get(&account) else {
                continue;
            };
            results.push(self.run(ctx, prepared, action, resource, &account)?);
        }
        let mut xml = Xml::new();
        page.write_truncation(&mut xml);
        xml.list("EvaluationResults", "member", &results, SimulatedDecision::write);
        Ok(xml.into())
    }

    /// Returns the owner of a resource: the account in its ARN, else that of the request, else the
    /// caller's.
    fn resource_account(
        &self,
        ctx: &RequestContext<'_>,
        resource: &str,
    ) -> Result<AccountId, ApiError> {
        if resource != "*" && !resource.starts_with("arn:") {
            return Err(invalid(&format!("Invalid resource: {resource} is neither an ARN nor *")));
        }
        if let Some(account) = resource.split(':').nth(4).and_then(|account| account.parse().ok()) {
            return Ok(account);
        }
        match (&self.owner, &self.caller) {
            (Some(owner), _) => Ok(owner.clone()),
            (None, Some(caller)) => Ok(caller.account().parse()?),
            (None, None) => Ok(ctx.account()?.clone()),
        }
    }

    fn run(
        &self,
        ctx: &RequestContext<'_>,
        prepared: &Prepared,
        action: &str,
        resource: &str,
        account: &AccountId,
    ) -> Result<SimulatedDecision, ApiError> {
        let wanted: RequestedAction =
            action.parse().map_err(|error| invalid(&format!("Invalid action: {error}")))?;
        if action.contains(['*', '?']) {
            return Err(invalid(&format!(
                "Invalid action: {action} has a wildcard, and an action is one."
            )));
        }
        let arn = match &self.caller {
            Some(arn) => arn.clone(),
            None => format!("arn:{}:iam::{account}:root", ctx.partition()?).parse()?,
        };
        let mut caller = Caller::new(&arn).map_err(|error| invalid(&error.to_string()))?;
        if let Some(source) = self.source.as_ref().filter(|source| source.arn == arn) {
            caller = caller.with_unique_id(source.identity.unique_id());
        }
        let request = Request {
            caller: &caller,
            action: &wanted,
            resource,
            resource_account: Some(account),
            context: &self.context,
        };
        Ok(SimulatedDecision {
            action: action.to_owned(),
            resource: resource.to_owned(),
            verdict: Verdict::from(&decide(&request, &prepared.policies)),
            matched: applying(&request, &prepared.policies)
                .iter()
                .map(|statement| self.matched(prepared, statement))
                .collect(),
            missing: self.missing(prepared),
            boundary: prepared
                .bounded
                .then(|| prepared.permits(&request, |layer| matches!(layer, Layer::Boundary(_)))),
            organization: prepared.governed.then(|| {
                prepared.permits(&request, |layer| matches!(layer, Layer::ServiceControl(_)))
            }),
        })
    }

    /// Returns the keys that policies use, but that are neither given nor implied by the caller.
    fn missing(&self, prepared: &Prepared) -> Vec<String> {
        const OF_ANY: [&str; 3] =
            ["aws:principalaccount", "aws:principalisawsservice", "aws:resourceaccount"];
        let known: &[&str] = match self.caller.as_ref().map(Arn::resource) {
            None | Some("root") => &[],
            Some(user) if user.starts_with("user/") => {
                &["aws:principalarn", "aws:principaltype", "aws:username"]
            }
            Some(_) => &["aws:principalarn", "aws:principaltype"],
        };
        let has_id =
            self.source.as_ref().is_some_and(|source| self.caller.as_ref() == Some(&source.arn));
        let follows = |key: &str| {
            OF_ANY.contains(&key) || known.contains(&key) || has_id && key == "aws:userid"
        };
        let absent = |key: &&String| {
            let key = key.to_ascii_lowercase();
            !follows(&key) && !self.given.contains(&key)
        };
        prepared.keys.iter().filter(absent).cloned().collect()
    }

    /// Returns the source of a statement: id and type of its policy.
    fn matched(&self, prepared: &Prepared, statement: &StatementName) -> (String, &'static str) {
        let name = statement.name.as_deref().unwrap_or_default();
        let policy_name = |arn| path_and_name(arn).map_or(arn, |(_, name)| name).to_owned();
        if statement.layer == Layer::Resource {
            return (name.to_owned(), "resource");
        }
        if name.starts_with("arn:") {
            let is_aws = name.contains(":iam::aws:policy/");
            let kind = if is_aws { "aws-managed" } else { "user-managed" };
            return (policy_name(name), kind);
        }
        if statement.layer != Layer::Identity || statement.policy >= prepared.own {
            return (name.to_owned(), "none");
        }
        let kind = self.source.as_ref().map_or("none", |source| source.identity.kind().noun());
        match name.split_once(": ") {
            Some((_, name)) => (policy_name(name), "group"),
            None => (name.to_owned(), kind),
        }
    }
}

/// Policies that apply to resources of one account.
struct Prepared {
    policies: PolicySet,
    /// Number of the identity layer's policies that belong to the source.
    own: usize,
    bounded: bool,
    governed: bool,
    keys: Vec<String>,
    /// Layers that must all allow a request.
    layers: Vec<Layer>,
}

impl Prepared {
    fn new(
        simulation: &Simulation<'_>,
        ctx: &RequestContext<'_>,
        account: &AccountId,
    ) -> Result<Self, ApiError> {
        let mut documents = simulation
            .source
            .as_ref()
            .map(|source| source.documents(ctx, account))
            .unwrap_or_default();
        let own = documents.identity.len();
        let named = |list: &[&str], name: &str| {
            let numbered = list
                .iter()
                .zip(1..)
                .map(|(text, number)| (format!("{name}.{number}"), (*text).to_owned()));
            numbered.collect::<Vec<_>>()
        };
        documents.identity.extend(named(&simulation.inputs, "PolicyInputList"));
        if !simulation.boundary.is_empty() {
            documents.boundaries =
                named(&simulation.boundary, "PermissionsBoundaryPolicyInputList");
        }
        let unusable =
            |why: &dyn std::fmt::Display| ApiError::new("PolicyEvaluation", 500, &why.to_string());
        let mut policies = documents.compile().map_err(|why| unusable(&why))?;
        policies.require(Layer::Identity);
        if let Some(text) = simulation.resource_policy {
            let policy = parse(text, PolicyKind::Resource, "ResourcePolicy")?;
            policies.add(Layer::Resource, policy).map_err(|why| unusable(&why))?;
        }
        let controls =
            documents.service_control.iter().chain(&documents.resource_control).flatten();
        let texts = documents
            .identity
            .iter()
            .chain(&documents.boundaries)
            .chain(controls)
            .map(|(_, text)| text.as_str());
        let (boundaries, levels) = (documents.boundaries.len(), documents.service_control.len());
        Ok(Self {
            own,
            bounded: boundaries > 0,
            governed: levels > 0,
            keys: keys(texts.chain(simulation.resource_policy)),
            layers: (0..boundaries)
                .map(Layer::Boundary)
                .chain((0..levels).map(Layer::ServiceControl))
                .collect(),
            policies,
        })
    }

    /// Returns true if all layers of a kind allow the request, and none denies it.
    fn permits(&self, request: &Request<'_>, kind: impl Fn(Layer) -> bool) -> bool {
        let applying = applying(request, &self.policies);
        let says = |layer: Layer, effect: Effect| {
            applying.iter().any(|statement| statement.layer == layer && statement.effect == effect)
        };
        self.layers
            .iter()
            .filter(|layer| kind(**layer))
            .all(|layer| says(*layer, Effect::Allow) && !says(*layer, Effect::Deny))
    }
}

struct SimulatedDecision {
    action: String,
    resource: String,
    verdict: Verdict,
    /// Ids and types of the policies whose statements match.
    matched: Vec<(String, &'static str)>,
    missing: Vec<String>,
    boundary: Option<bool>,
    organization: Option<bool>,
}

impl SimulatedDecision {
    fn write(xml: &mut Xml, decision: &Self) {
        xml.leaf("EvalActionName", &decision.action).leaf("EvalResourceName", &decision.resource);
        decision.write_decision(xml, "EvalDecision");
        if let Some(allowed) = decision.organization {
            xml.element("OrganizationsDecisionDetail", |xml| {
                xml.leaf("AllowedByOrganizations", allowed);
            });
        }
        if decision.resource != "*" {
            xml.list("ResourceSpecificResults", "member", [decision], |xml, decision| {
                xml.leaf("EvalResourceName", &decision.resource);
                decision.write_decision(xml, "EvalResourceDecision");
            });
        }
    }

    fn write_decision(&self, xml: &mut Xml, element: &str) {
        let verdict = match self.verdict {
            Verdict::Allowed => "allowed",
            Verdict::ExplicitDeny => "explicitDeny",
            Verdict::ImplicitDeny => "implicitDeny",
        };
        xml.leaf(element, verdict);
        xml.list("MatchedStatements", "member", &self.matched, |xml, (id, kind)| {
            xml.leaf("SourcePolicyId", id).leaf("SourcePolicyType", kind);
        });
        xml.texts("MissingContextValues", "member", &self.missing);
        if let Some(allowed) = self.boundary {
            xml.element("PermissionsBoundaryDecisionDetail", |xml| {
                xml.leaf("AllowedByPermissionsBoundary", allowed);
            });
        }
    }
}
