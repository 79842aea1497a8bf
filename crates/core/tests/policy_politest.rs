//! Every scenario of politest (`vectors/politest`, MIT) against the decision engine. politest
//! records the results of AWS's SimulateCustomPolicy, so the expectations are those of AWS.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_core::name::AccountId;
use countersign_core::policy::{
    Action, Caller, Cause, Context, ContextValue, Decision, Layer, Policy, PolicyKind, PolicySet,
    Request, decide,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Default caller of a scenario: a user of the account in the scenarios' ARNs.
const CALLER: &str = "arn:aws:iam::123456789012:user/politest";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Scenario {
    extends: Option<String>,
    vars_file: Option<String>,
    vars: BTreeMap<String, String>,
    policy_json: Option<String>,
    policy_template: Option<String>,
    resource_policy_json: Option<String>,
    resource_policy_template: Option<String>,
    scp_paths: Option<Vec<String>>,
    rcp_paths: Option<Vec<String>>,
    caller_arn: Option<String>,
    resource_owner: Option<String>,
    context: Option<Vec<Entry>>,
    tests: Option<Vec<Case>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Entry {
    context_key_name: String,
    context_key_type: String,
    context_key_values: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    action: String,
    resource: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    context: Vec<Entry>,
    caller_arn: Option<String>,
    resource_policy_json: Option<String>,
    expect: String,
}

/// Treatment of fields unknown to IAM. By default, politest strips them before parsing.
#[derive(Clone, Copy, PartialEq)]
enum Metadata {
    Strip,
    Keep,
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/politest/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the vectors are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

fn load(file: &Path) -> Scenario {
    let text = fs::read_to_string(file).expect("a scenario");
    let own: Scenario =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let Some(parent) = &own.extends else {
        return own;
    };
    let parent = load(&file.with_file_name(parent));
    Scenario {
        extends: None,
        vars_file: own.vars_file.or(parent.vars_file),
        vars: parent.vars.into_iter().chain(own.vars).collect(),
        policy_json: own.policy_json.or(parent.policy_json),
        policy_template: own.policy_template.or(parent.policy_template),
        resource_policy_json: own.resource_policy_json.or(parent.resource_policy_json),
        resource_policy_template: own.resource_policy_template.or(parent.resource_policy_template),
        scp_paths: own.scp_paths.or(parent.scp_paths),
        rcp_paths: own.rcp_paths.or(parent.rcp_paths),
        caller_arn: own.caller_arn.or(parent.caller_arn),
        resource_owner: own.resource_owner.or(parent.resource_owner),
        context: own.context.or(parent.context),
        tests: own.tests.or(parent.tests),
    }
}

/// Scenario with its variables and its file, the base of relative paths.
struct Stage {
    file: PathBuf,
    scenario: Scenario,
    vars: BTreeMap<String, String>,
    metadata: Metadata,
}

impl Stage {
    fn open(file: &Path, metadata: Metadata) -> Self {
        let scenario = load(file);
        let mut vars = BTreeMap::new();
        if let Some(path) = &scenario.vars_file {
            let text = fs::read_to_string(file.with_file_name(path)).expect("a vars file");
            vars = serde_saphyr::from_str(&text).expect("variables");
        }
        vars.extend(scenario.vars.clone());
        Self { file: file.into(), scenario, vars, metadata }
    }

    fn render(&self, text: &str) -> String {
        let rendered = self.vars.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{.{name}}}}}"), value)
        });
        assert!(
            !rendered.contains("{{"),
            "{}: a variable has no value in {rendered}",
            self.file.display()
        );
        rendered
    }

    fn policy(&self, path: &str, kind: PolicyKind) -> Result<Policy, String> {
        let text = fs::read_to_string(self.file.with_file_name(path)).expect("a policy");
        let text = self.render(&text);
        let text = if self.metadata == Metadata::Strip { strip(&text) } else { text };
        Policy::parse(&text, kind).map_err(|errors| errors.to_string())
    }

    fn policies(&self, case: &Case) -> Result<PolicySet, String> {
        let Scenario { scp_paths, rcp_paths, .. } = &self.scenario;
        let mut set = PolicySet::new();
        let mut add = |layer: Layer, path: &str| {
            set.add(layer, self.policy(path, layer.kind())?).expect("the kind of the layer");
            Ok::<_, String>(())
        };
        for path in self.scenario.policy_json.iter().chain(&self.scenario.policy_template) {
            add(Layer::Identity, path)?;
        }
        for path in scp_paths.iter().flatten() {
            add(Layer::ServiceControl(0), path)?;
        }
        for path in rcp_paths.iter().flatten() {
            add(Layer::ResourceControl(0), path)?;
        }
        let scenario = self
            .scenario
            .resource_policy_json
            .iter()
            .chain(&self.scenario.resource_policy_template);
        if let Some(path) = case.resource_policy_json.iter().chain(scenario).next() {
            add(Layer::Resource, path)?;
        }
        Ok(set)
    }

    fn context(&self, case: &Case) -> Context {
        let mut context = Context::new();
        for entry in self.scenario.context.iter().flatten().chain(&case.context) {
            let mut values: Vec<String> =
                entry.context_key_values.iter().map(|value| self.render(value)).collect();
            let value = match entry.context_key_type.as_str() {
                "stringList" => ContextValue::Many(values),
                "string" | "boolean" | "numeric" if values.len() == 1 => {
                    ContextValue::One(values.remove(0))
                }
                other => panic!("{}: {other} with {} values", self.file.display(), values.len()),
            };
            context.insert(&entry.context_key_name, value);
        }
        context
    }

    /// Returns the decision and its text for each resource of a case.
    fn decisions(&self, case: &Case) -> Result<Vec<(&'static str, String)>, String> {
        let policies = self.policies(case)?;
        let context = self.context(case);
        let caller =
            case.caller_arn.as_deref().or(self.scenario.caller_arn.as_deref()).unwrap_or(CALLER);
        let caller: Caller = self.render(caller).parse().expect("a caller");
        let owner = self.scenario.resource_owner.as_deref().map(|arn| self.render(arn));
        let owner: Option<AccountId> = owner
            .map(|arn| arn.split(':').nth(4).expect("an account").parse().expect("an account"));
        let action: Action = case.action.parse().expect("an action");
        let decide = |resource: &String| {
            let resource = self.render(resource);
            let request = Request {
                caller: &caller,
                action: &action,
                resource: &resource,
                resource_account: owner.as_ref(),
                context: &context,
            };
            let decision = decide(&request, &policies);
            let word = match &decision {
                Decision::Allow(_) => "allowed",
                Decision::Deny(reason) if matches!(reason.cause, Cause::Explicit { .. }) => {
                    "explicitDeny"
                }
                Decision::Deny(_) => "implicitDeny",
            };
            (word, decision.to_string())
        };
        let decisions: Vec<_> = case.resource.iter().chain(&case.resources).map(decide).collect();
        assert!(!decisions.is_empty(), "{}: {:?} asks for nothing", self.file.display(), case.name);
        Ok(decisions)
    }
}

/// Strips the fields unknown to IAM, as politest does.
fn strip(text: &str) -> String {
    let keep = |object: &mut Map<String, Value>, known: &[&str]| {
        object.retain(|key, _| known.contains(&key.as_str()))
    };
    let mut policy: Value = serde_json::from_str(text).expect("JSON");
    let object = policy.as_object_mut().expect("an object");
    keep(object, &["Version", "Id", "Statement"]);
    for statement in object.get_mut("Statement").and_then(Value::as_array_mut).expect("statements")
    {
        let elements = [
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ];
        keep(statement.as_object_mut().expect("a statement"), &elements);
    }
    policy.to_string()
}

fn named(file: &Path, prefix: &str) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

#[test]
fn every_scenario_has_the_decision_of_aws() {
    let (mut files, mut decisions, mut failures) = (0, 0, Vec::new());
    for file in scenarios() {
        files += 1;
        let stage = Stage::open(&file, Metadata::Strip);
        // These have a wrong expectation on purpose, to show the report of politest: "WRONG - will
        // be explicitDeny".
        let wrong = named(&file, "fail-0");
        for case in stage.scenario.tests.iter().flatten() {
            for (word, sentence) in stage
                .decisions(case)
                .unwrap_or_else(|errors| panic!("{}: {errors}", file.display()))
            {
                decisions += 1;
                let expected = if wrong { "explicitDeny" } else { case.expect.as_str() };
                if word != expected || (wrong && case.expect != "allowed") {
                    failures.push(format!(
                        "{} {:?} {}: expected {expected}: {sentence}",
                        file.display(),
                        case.name,
                        case.action
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((files, decisions), (29, 100), "scenarios or cases were added or lost");
}

#[test]
fn metadata_is_rejected_unless_stripped() {
    let mut rejected = 0;
    for file in scenarios().iter().filter(|file| named(file, "fail-strict")) {
        let stage = Stage::open(file, Metadata::Keep);
        for case in stage.scenario.tests.iter().flatten() {
            let errors =
                stage.policies(case).expect_err("a document with fields that IAM does not know");
            assert!(
                errors.contains("is not an element of a policy")
                    && errors.contains("is not an element of a statement"),
                "{errors}"
            );
            rejected += 1;
        }
    }
    assert_eq!(rejected, 3);
}
