//! `loadline explain`: what was decided for a workload, and why.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use loadline_crds::{
    ElasticPolicy,
    elastic_policy::{CpuCapacity, ElasticPolicyStatus, EndpointWeightsStatus, Mode, TargetRef},
};
use serde::Serialize;

use super::{
    CommandResult, Exit,
    cluster::{ClusterArgs, Output, block_on},
};
use crate::client::{Failure, FailureKind};

/// Events shown, newest first.
const EVENTS: usize = 8;

/// Endpoint weights shown, the heaviest first.
const HEAVIEST: usize = 5;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The policy or the workload that it scales: NAME, NAMESPACE/NAME, or KIND/NAME
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    /// Its namespace; else the one of the kubeconfig's context
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
enum ExplainError {
    #[error("{0}")]
    Api(Failure),
    #[error(
        "no ElasticPolicy in namespace {namespace} is named {name:?} or scales a workload of that name{known}"
    )]
    NotFound { name: String, namespace: String, known: String },
}

/// The whole answer; a contract for scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    policy: String,
    namespace: String,
    target: TargetRef,
    asked_mode: Mode,
    /// Whether the status speaks of the present generation of the policy.
    current: bool,
    status: ElasticPolicyStatus,
    events: Vec<Happening>,
    /// Why the Events are not there, where the caller may not list them.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_hidden: Option<String>,
}

/// One Event of the policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Happening {
    at: Option<Timestamp>,
    reason: String,
    note: String,
}

/// Explains one workload.
pub(super) fn run(args: &Args) -> CommandResult {
    let explanation = block_on(async {
        let session = args.cluster.session().await?;
        let named = locate(&args.workload, args.namespace.as_deref(), &session.namespace);
        let (namespace, policy) = find(&session.client, named).await?;
        let events = events(&Api::namespaced(session.client, &namespace), &namespace, &policy).await;
        let (events, hidden) = shown(events)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(explanation(policy, namespace, events, hidden))
    })??;
    let ready = explanation.status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let text = args.output.render(&explanation, |e| page(e, Timestamp::now()))?;
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    Ok(if ready { Exit::Ok } else { Exit::Findings })
}

/// What the words of the command line mean.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// A policy or workload of this name, in this namespace.
    In { namespace: String, name: String },
    /// A kind that not everybody knows, or a namespace.
    Either { word: String, name: String, default: String },
}

/// What `NAME`, `NAMESPACE/NAME` or `KIND/NAME` mean.
fn locate(workload: &str, namespace: Option<&str>, default: &str) -> Named {
    const KINDS: &[&str] =
        &["deployment", "deploy", "deployments", "statefulset", "sts", "elasticpolicy", "elp"];
    let within = |namespace: &str, name: &str| Named::In { namespace: namespace.into(), name: name.into() };
    match (workload.split_once('/'), namespace) {
        // Nobody says the namespace twice.
        (Some((_, name)), Some(namespace)) => within(namespace, name),
        (Some((kind, name)), None) if KINDS.contains(&kind.to_lowercase().as_str()) => within(default, name),
        (Some((word, name)), None) => {
            Named::Either { word: word.into(), name: name.into(), default: default.into() }
        }
        (None, _) => within(namespace.unwrap_or(default), workload),
    }
}

/// Whether a policy scales a workload that `KIND/NAME` names: `rollout`, `rollouts` or `Rollout`.
fn scales(policy: &ElasticPolicy, kind: &str, name: &str) -> bool {
    let (kind, own) = (kind.to_lowercase(), policy.spec.target.kind.to_lowercase());
    policy.spec.target.name == name && (kind == own || kind.strip_suffix('s') == Some(own.as_str()))
}

/// The policy, with its namespace.
async fn find(client: &Client, named: Named) -> Result<(String, ElasticPolicy), ExplainError> {
    let (namespace, name) = match named {
        Named::In { namespace, name } => (namespace, name),
        Named::Either { word, name, default } => {
            // Who may not look into the default namespace meant the other thing.
            let near = list(client, &default).await.unwrap_or_default();
            if let Some(policy) = near.into_iter().find(|p| scales(p, &word, &name)) {
                return Ok((default, policy));
            }
            (word, name)
        }
    };
    let all = list(client, &namespace).await?;
    match choose(&all, &name) {
        Some(policy) => Ok((namespace, policy.clone())),
        None => Err(not_found(&all, name, namespace)),
    }
}

async fn list(client: &Client, namespace: &str) -> Result<Vec<ElasticPolicy>, ExplainError> {
    let api = Api::<ElasticPolicy>::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default()).await.map_err(|e| {
        ExplainError::Api(Failure::of(&e, "list", "elasticpolicies", &format!("in namespace {namespace}")))
    })?;
    Ok(listed.items)
}

/// The policy by its own name, else by its target's.
fn choose<'a>(all: &'a [ElasticPolicy], name: &str) -> Option<&'a ElasticPolicy> {
    all.iter().find(|p| p.name_any() == name).or_else(|| all.iter().find(|p| p.spec.target.name == name))
}

fn not_found(all: &[ElasticPolicy], name: String, namespace: String) -> ExplainError {
    let names: Vec<_> = all.iter().map(kube::ResourceExt::name_any).take(10).collect();
    let known = match names.as_slice() {
        [] => "; there is none at all there: check -n".to_owned(),
        _ => format!("; there are: {}", names.join(", ")),
    };
    ExplainError::NotFound { name, namespace, known }
}

/// The Events, or why they are not shown: who may read a policy need not be allowed to list Events, and its status
/// says most.
fn shown(events: Result<Vec<Happening>, Failure>) -> Result<(Vec<Happening>, Option<String>), ExplainError> {
    match events {
        Ok(events) => Ok((events, None)),
        Err(failure) if failure.kind == FailureKind::Forbidden => Ok((Vec::new(), Some(failure.to_string()))),
        Err(failure) => Err(ExplainError::Api(failure)),
    }
}

async fn events(
    api: &Api<Event>,
    namespace: &str,
    policy: &ElasticPolicy,
) -> Result<Vec<Happening>, Failure> {
    let params = ListParams::default().fields(&format!("regarding.name={}", policy.name_any()));
    let listed = api
        .list(&params)
        .await
        .map_err(|e| Failure::of(&e, "list", "events", &format!("in namespace {namespace}")))?;
    let ours = listed
        .items
        .into_iter()
        .filter(|e| e.regarding.as_ref().is_some_and(|r| r.kind.as_deref() == Some("ElasticPolicy")));
    let mut happenings: Vec<_> = ours
        .map(|e| Happening {
            at: e.series.map(|s| s.last_observed_time.0).or(e.event_time.map(|t| t.0)),
            reason: e.reason.unwrap_or_default(),
            note: e.note.unwrap_or_default(),
        })
        .collect();
    happenings.sort_by_key(|h| std::cmp::Reverse(h.at));
    happenings.truncate(EVENTS);
    Ok(happenings)
}

fn explanation(
    policy: ElasticPolicy,
    namespace: String,
    events: Vec<Happening>,
    events_hidden: Option<String>,
) -> Explanation {
    let name = policy.name_any();
    let status = policy.status.unwrap_or_default();
    let current =
        status.observed_generation.is_some() && status.observed_generation == policy.metadata.generation;
    Explanation {
        policy: name,
        namespace,
        target: policy.spec.target,
        asked_mode: policy.spec.mode,
        current,
        status,
        events,
        events_hidden,
    }
}

/// The answer for people.
fn page(e: &Explanation, now: Timestamp) -> String {
    let mut lines = vec![format!(
        "{}/{} scales {} {} (mode {:?})",
        e.namespace,
        e.policy,
        e.target.kind,
        e.target.name,
        e.status.mode.unwrap_or(e.asked_mode)
    )];
    if !e.current {
        lines.push("  The operator has not judged this version of the policy yet: is it running?".to_owned());
    }
    if let Some(reason) = &e.status.reason {
        lines.push(format!("  {reason}"));
    }
    lines.push(String::new());
    lines.push(facts(&e.status));
    if !e.status.conditions.is_empty() {
        lines.extend([String::new(), conditions(&e.status.conditions, now)]);
    }
    if !e.events.is_empty() {
        lines.extend([String::new(), happenings(&e.events, now)]);
    }
    if let Some(why) = &e.events_hidden {
        lines.extend([String::new(), format!("  Events are not shown: {why}")]);
    }
    lines.join("\n")
}

fn facts(status: &ElasticPolicyStatus) -> String {
    let number = |n: Option<i32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let decimal = |x: Option<f64>| x.map_or_else(|| "?".to_owned(), |x| x.to_string());
    let mut lines = vec![format!(
        "  replicas    {} wanted by Loadline, {} asked for, {} ready",
        number(status.desired_replicas),
        number(status.current_replicas),
        number(status.ready_replicas)
    )];
    if let Some(load) = &status.load {
        lines.push(format!(
            "  load        {} weighted requests/s ({} requests/s); one replica bears {}; redundancy {}",
            decimal(load.weighted_qps),
            decimal(load.qps),
            decimal(load.per_replica),
            decimal(load.redundancy)
        ));
    }
    if let Some(learned) = &status.endpoint_weights {
        lines.push(weights(learned));
    }
    if let Some(cpu) = status.capacity.as_ref().and_then(|capacity| capacity.cpu.as_ref()) {
        lines.push(by_cpu(cpu));
    }
    if let Some(change) = status.recent_changes.last() {
        lines.push(format!("  last write  {} -> {} at {}", change.from, change.to, change.at.0));
    }
    lines.join("\n")
}

/// The heaviest endpoints, as learned.
fn weights(learned: &EndpointWeightsStatus) -> String {
    let mut heaviest: Vec<_> = learned.endpoints.iter().collect();
    heaviest.sort_by(|a, b| b.1.total_cmp(a.1));
    let told: Vec<_> =
        heaviest.iter().take(HEAVIEST).map(|(name, weight)| format!("{name} {weight}")).collect();
    let more = if heaviest.len() > HEAVIEST { ", …" } else { "" };
    format!("  weights     learned of {} endpoints: {}{more}", heaviest.len(), told.join(", "))
}

/// What the CPU says of the capacity while that is learned.
fn by_cpu(cpu: &CpuCapacity) -> String {
    let percent = 100.0 * cpu.target_utilisation;
    match (cpu.estimate, cpu.per_thousand) {
        (Some(estimate), Some(cost)) => format!(
            "  by CPU      one replica bears {estimate} at {percent:.0} % of its CPU request; 1,000 weighted requests \
             take {cost} CPU seconds"
        ),
        _ => format!("  by CPU      no estimate: {}", cpu.missing.as_deref().unwrap_or("Learning")),
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

fn conditions(conditions: &[Condition], now: Timestamp) -> String {
    let mut table = table(["CONDITION", "STATUS", "SINCE", "WHY"]);
    for c in conditions {
        let why =
            if c.message.is_empty() { c.reason.clone() } else { format!("{}: {}", c.reason, c.message) };
        table.add_row([c.type_.clone(), c.status.clone(), age(Some(c.last_transition_time.0), now), why]);
    }
    table.to_string()
}

fn happenings(events: &[Happening], now: Timestamp) -> String {
    let mut table = table(["EVENT", "AGO", "WHAT"]);
    for e in events {
        table.add_row([e.reason.clone(), age(e.at, now), e.note.clone()]);
    }
    table.to_string()
}

/// An age as kubectl writes it: its largest unit.
fn age(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "?".to_owned() };
    match now.duration_since(at).as_secs().max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7_200 => format!("{}m", s / 60),
        s @ 7_200..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(kind: &str) -> ElasticPolicy {
        let text = format!(
            "{{apiVersion: loadline.dev/v1alpha1, kind: ElasticPolicy, metadata: {{name: checkout, generation: 1}},
              spec: {{target: {{apiVersion: apps/v1, kind: {kind}, name: web}}, bounds: {{min: 1, max: 2}},
              load: {{profile: otel-http}}}}}}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn a_workload_is_named_in_three_ways() {
        let of = |w: &str, n: Option<&str>| locate(w, n, "default");
        let within = |namespace: &str| Named::In { namespace: namespace.into(), name: "checkout".into() };
        assert_eq!(of("checkout", None), within("default"));
        assert_eq!(of("deployment/checkout", None), within("default"));
        assert_eq!(of("deployment/checkout", Some("shop")), within("shop"));
        assert_eq!(of("rollout/checkout", Some("shop")), within("shop"));
        let (word, name, default) = ("shop".into(), "checkout".into(), "default".into());
        assert_eq!(of("shop/checkout", None), Named::Either { word, name, default });
    }

    #[test]
    fn a_kind_is_known_by_the_policy_that_scales_it() {
        let policy = policy("Rollout");
        assert!(["rollout", "rollouts", "Rollout"].iter().all(|kind| scales(&policy, kind, "web")));
        assert!(!scales(&policy, "shop", "web"), "a namespace");
        assert!(!scales(&policy, "rollout", "other"));
    }

    #[test]
    fn who_may_not_list_events_is_told_so_and_sees_the_rest() {
        let refused =
            kube::Error::Api(Box::new(kube::core::Status::failure("no", "Forbidden").with_code(403)));
        let (events, hidden) = shown(Err(Failure::of(&refused, "list", "events", &"x"))).unwrap();
        let text =
            page(&explanation(policy("Deployment"), "shop".into(), events, hidden), Timestamp::UNIX_EPOCH);
        assert!(text.contains("shop/checkout scales Deployment web"), "{text}");
        assert!(text.contains("Events are not shown: not allowed to list events"), "{text}");
        assert!(shown(Err(Failure::timed_out("list", "events", &"x"))).is_err());
    }

    #[test]
    fn a_policy_that_nobody_judged_says_so() {
        let new = explanation(policy("Deployment"), "shop".into(), Vec::new(), None);
        let text = page(&new, Timestamp::UNIX_EPOCH);
        assert!(text.contains("shop/checkout scales Deployment web"), "{text}");
        assert!(text.contains("is it running?"), "{text}");
    }

    #[test]
    fn the_heaviest_endpoints_are_told_first() {
        let endpoints = (0..7).map(|n| (format!("GET /{n}"), f64::from(n))).collect();
        let text = weights(&EndpointWeightsStatus { endpoints, others: 1.0 });
        assert_eq!(
            text,
            "  weights     learned of 7 endpoints: GET /6 6, GET /5 5, GET /4 4, GET /3 3, GET /2 2, …"
        );
    }

    #[test]
    fn what_the_cpu_says_is_told_or_why_it_says_nothing() {
        let mut cpu = CpuCapacity {
            estimate: Some(60.0),
            per_thousand: Some(10.0),
            target_utilisation: 0.7,
            ..CpuCapacity::default()
        };
        assert_eq!(
            by_cpu(&cpu),
            "  by CPU      one replica bears 60 at 70 % of its CPU request; 1,000 weighted requests take 10 CPU seconds"
        );
        (cpu.estimate, cpu.missing) = (None, Some("NoRequest".to_owned()));
        assert_eq!(by_cpu(&cpu), "  by CPU      no estimate: NoRequest");
    }

    #[test]
    fn an_age_is_its_largest_unit() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (at, text) in
            [("2026-03-01T11:59:30Z", "30s"), ("2026-03-01T11:00:00Z", "60m"), ("2026-02-26T12:00:00Z", "3d")]
        {
            assert_eq!(age(Some(at.parse().unwrap()), now), text);
        }
        assert_eq!(age(None, now), "?");
    }
}
