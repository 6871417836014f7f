//! Two operators on one cluster, each with an identity of its own, and a person who never stops editing a policy:
//! whoever may write has something to write all the time.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use loadline_crds::ElasticPolicy;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    cluster::{Cluster, Options},
    operator::{self, NAMESPACE, Operator},
    trail::{self, Write},
    wait::until,
};

type Failure = Box<dyn Error + Send + Sync>;

/// For what takes moments on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two edits of the policy.
const EDIT: Duration = Duration::from_millis(300);
/// Names of the two, as pods and as ServiceAccounts.
const NAMES: [&str; 2] = ["op-a", "op-b"];

/// Two operators under pressure; everything ends when dropped.
pub struct Pair {
    /// The cluster, with an audit log.
    pub cluster: Cluster,
    /// The two operators.
    pub operators: [Operator; 2],
    client: Client,
    namespace: String,
    _pressure: DropGuard,
}

impl Pair {
    /// Starts everything and waits for the first write of the first leader.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(name: &str) -> Result<Self, Failure> {
        let cluster = Cluster::start(name, &Options::default().audited()).await?;
        let client = cluster.client().await?;
        let namespace = cluster.namespace("shop").await?;
        cluster.deploy(&namespace, "web", 1, "10m").await?;
        // The audit log tells the two apart by name. What each may do is another test's matter.
        for name in NAMES {
            cluster.administrator(NAMESPACE, name).await?;
        }
        let policy = ElasticPolicy::new(
            "web",
            serde_json::from_value(json!({
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                "bounds": { "min": 1, "max": 1 },
                "load": { "profile": "otel-http" },
                "capacity": { "perReplica": 1 },
            }))?,
        );
        cluster.apply(&Api::namespaced(client.clone(), &namespace), &policy).await?;
        let operators = [begin(&cluster, NAMES[0]).await?, begin(&cluster, NAMES[1]).await?];
        let stop = CancellationToken::new();
        tokio::spawn(edit(Api::namespaced(client.clone(), &namespace), stop.clone()));
        let pair = Self { cluster, operators, client, namespace, _pressure: stop.drop_guard() };
        pair.writes_after(jiff::Timestamp::UNIX_EPOCH).await?;
        Ok(pair)
    }

    /// Who holds the lease: the index of an operator.
    ///
    /// # Errors
    /// When nobody does in a minute.
    pub async fn leader(&self) -> Result<usize, Failure> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let index = until("a holder of the lease", PATIENCE, || async {
            let lease = leases.get("loadline").await.map_err(|e| e.to_string())?;
            let holder = lease.spec.and_then(|s| s.holder_identity).unwrap_or_default();
            NAMES.iter().position(|name| holder.starts_with(&format!("{name}_"))).ok_or(holder)
        });
        Ok(index.await?)
    }

    /// Waits for a scale write of one of the two that was received after `since`; gives it.
    ///
    /// # Errors
    /// When there is none in a minute.
    pub async fn writes_after(&self, since: jiff::Timestamp) -> Result<Write, Failure> {
        let users = users();
        let what = format!("a scale write by {users:?}");
        let write = until(&what, PATIENCE, || async {
            let log = trail::writes(&self.cluster.audit_log()).map_err(|e| e.to_string())?;
            let is_it = |w: &Write| {
                w.received > since && users.contains(&w.user) && w.what.contains("deployments/scale")
            };
            log.into_iter().find(is_it).ok_or_else(|| "none".to_owned())
        });
        Ok(write.await?)
    }

    /// Every write of the two, and every change of a lease, one a line.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn history(&self) -> Result<String, Failure> {
        let users = users();
        let line = |w: &Write| {
            let held = w.holder.as_ref().map(|h| format!(" -> held by {h:?}")).unwrap_or_default();
            format!("{} {} {}{held}\n", w.received, w.user, w.what)
        };
        let log = trail::writes(&self.cluster.audit_log())?;
        Ok(log.iter().filter(|w| users.contains(&w.user) || w.holder.is_some()).map(line).collect())
    }

    /// Every write of one of the two that began while it did not hold the lease.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn stray_writes(&self) -> Result<Vec<String>, Failure> {
        let users = users();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let log = trail::writes(&self.cluster.audit_log())?;
        let stray = trail::without_the_lease(&log, &users);
        Ok(stray.into_iter().map(|w| format!("{} {} {}", w.received, w.user, w.what)).collect())
    }

    /// How many scale writes there were.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub fn scale_writes(&self) -> Result<usize, Failure> {
        Ok(self.scale_writes_of(0)? + self.scale_writes_of(1)?)
    }

    /// Ends the leader by `how` and waits for the first scale write of the other; gives the index of the one
    /// that was ended, and how long it took until that write was seen in the audit log.
    ///
    /// # Errors
    /// When nobody takes over.
    pub async fn take_over(
        &self,
        how: impl FnOnce(&Operator) -> Result<(), Failure>,
    ) -> Result<(usize, Duration), Failure> {
        let old = self.leader().await?;
        let new = 1 - old;
        self.operator(new)?.wait_ready().await?;
        let before = self.scale_writes_of(new)?;
        how(self.operator(old)?)?;
        // By the monotonic clock: a virtual machine that is paused for a moment steps the wall clock afterwards.
        let ended = Instant::now();
        until("a scale write by the other", PATIENCE, || async {
            match self.scale_writes_of(new) {
                Ok(writes) if writes > before => Ok(()),
                Ok(_) => Err("none".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        Ok((old, ended.elapsed()))
    }

    fn scale_writes_of(&self, operator: usize) -> Result<usize, Failure> {
        let users = users();
        let user = users.get(operator).ok_or("there are two operators")?;
        let log = trail::writes(&self.cluster.audit_log())?;
        Ok(log.iter().filter(|w| w.user == *user && w.what.contains("deployments/scale")).count())
    }

    /// One of the two.
    ///
    /// # Errors
    /// When the index is neither 0 nor 1.
    pub fn operator(&self, index: usize) -> Result<&Operator, Failure> {
        self.operators.get(index).ok_or_else(|| format!("there is no operator {index}").into())
    }

    /// Waits until a process has ended by itself; gives its exit code.
    ///
    /// # Errors
    /// When it goes on for a minute.
    pub async fn exit_code(&self, index: usize) -> Result<Option<i32>, Failure> {
        let operator = self.operator(index)?;
        let exit = until("the process to end", PATIENCE, || async {
            operator.process().exit().ok_or("it is running")
        });
        Ok(exit.await?.code())
    }

    /// The namespace of the workload.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

fn users() -> [String; 2] {
    NAMES.map(|name| format!("system:serviceaccount:{NAMESPACE}:{name}"))
}

async fn begin(cluster: &Cluster, name: &str) -> Result<Operator, Failure> {
    let kubeconfig = Some(cluster.kubeconfig_of(NAMESPACE, name).await?);
    let options = operator::Options {
        pod: name.to_owned(),
        // No telemetry: bounds hold without any.
        config: "{sync: 1s}".to_owned(),
        kubeconfig,
        arguments: Vec::new(),
    };
    let operator = Operator::start(cluster, options).await?;
    operator.wait_ready().await?;
    Ok(operator)
}

/// Moves both bounds all the time: replicas outside of them are brought in at once, whatever the load.
async fn edit(policies: Api<ElasticPolicy>, stop: CancellationToken) {
    let mut replicas = 1;
    while !stop.is_cancelled() {
        replicas = replicas % 9 + 1;
        let patch = json!({ "spec": { "bounds": { "min": replicas, "max": replicas } } });
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        // The API server may be away: that is part of what is tried.
        let _ = tokio::time::timeout(EDIT * 3, policies.patch("web", &params, &patch)).await;
        sleep(EDIT).await;
    }
}
