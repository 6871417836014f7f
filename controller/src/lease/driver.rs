//! The driver: does what the elector says, against the API server.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use loadline_policies::fleet::{Outage, OutageCause};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{
    elector::{Elector, Event, Step, Timing, Write},
    permit::Permit,
    record,
};
use crate::{
    client::{Failure, FailureKind},
    ports::Clock,
};

/// Which lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Namespace of the lease: the operator's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What this process is in the election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Another process holds the lease, or nobody yet.
    Standby {
        /// Who, if somebody is seen.
        holder: Option<Arc<str>>,
    },
    /// This process holds the lease, or could not renew it and goes on as a reader.
    Leader,
}

/// Why the election is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another process has taken over.
    #[error("{holder} holds the lease {lease} now; this process ends so that it cannot write any more")]
    Lost {
        /// Who.
        holder: Arc<str>,
        /// Which lease.
        lease: String,
    },
    /// Another process has taken over and let go again.
    #[error(
        "another process has held the lease {lease} since this one did; this process ends, because what it remembers \
         of replicas is older than what the other one wrote"
    )]
    Passed {
        /// Which lease.
        lease: String,
    },
}

/// Runs the election until it is stopped or lost.
pub struct Driver {
    api: Api<Lease>,
    lease: LeaseName,
    elector: Elector,
    permit: Permit,
    clock: Arc<dyn Clock>,
    role: watch::Sender<Role>,
    /// Since when, and why, the lease could neither be read nor renewed.
    outage: watch::Sender<Option<Outage>>,
    /// The object as last read or written: its metadata is kept by writes.
    object: Option<Lease>,
    complaint: Option<String>,
}

impl Driver {
    /// A driver of one election. `client` must not be guarded by the permit that it drives.
    pub fn new(
        client: Client,
        lease: LeaseName,
        identity: Arc<str>,
        timing: Timing,
        permit: Permit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &lease.namespace),
            lease,
            elector: Elector::new(identity, timing),
            permit,
            clock,
            role: watch::Sender::new(Role::Standby { holder: None }),
            outage: watch::Sender::new(None),
            object: None,
            complaint: None,
        }
    }

    /// Follows the role of this process.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    /// Follows what keeps this process from holding the lease. A single failure is one too: it matters only
    /// once the permit has lapsed.
    #[must_use]
    pub fn outage(&self) -> watch::Receiver<Option<Outage>> {
        self.outage.subscribe()
    }

    /// Runs until `stop`, then releases the lease. Cancel `stop` only when nothing of this process writes
    /// any more.
    ///
    /// # Errors
    /// When another process holds what this one has held, or has held it since.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), LeaseError> {
        loop {
            let now = self.clock.now().mono;
            if stop.is_cancelled() {
                self.elector.stop(now);
            }
            self.publish();
            match self.elector.next(now) {
                Step::Wait(until) => {
                    tokio::select! {
                        () = time::sleep(until.since(now)) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Step::Read => self.read().await,
                Step::Write(write) => self.write(&write).await,
                Step::Lost(holder) => {
                    let lease = self.lease.to_string();
                    return Err(match holder {
                        Some(holder) => LeaseError::Lost { holder, lease },
                        None => LeaseError::Passed { lease },
                    });
                }
                Step::Released => return Ok(()),
            }
        }
    }

    fn publish(&self) {
        self.permit.set(self.elector.permit());
        let role = if self.elector.has_led() {
            Role::Leader
        } else {
            Role::Standby { holder: self.elector.holder().cloned() }
        };
        self.role.send_if_modified(|current| {
            let changed = *current != role;
            if changed {
                tracing::info!(lease = %self.lease, identity = %self.elector.identity(), ?role, "role changed");
                *current = role;
            }
            changed
        });
    }

    async fn read(&mut self) {
        let sent = self.clock.now().wall;
        let event = match time::timeout(self.permit.write_timeout(), self.api.get_opt(&self.lease.name)).await
        {
            Ok(Ok(lease)) => {
                self.complaint = None;
                let record = lease.as_ref().map(record::read);
                self.object = lease;
                Event::Read(record)
            }
            Ok(Err(error)) => self.failed(&Failure::of(&error, "get", "leases", &self.lease), sent),
            Err(_) => self.failed(&Failure::timed_out("get", "leases", &self.lease), sent),
        };
        self.elector.on(event, self.clock.now().mono);
    }

    async fn write(&mut self, write: &Write) {
        let now = self.clock.now();
        let object = record::write(
            &self.lease,
            self.elector.identity(),
            &self.elector.timing(),
            write,
            self.object.as_ref(),
            now.wall,
        );
        let params = PostParams::default();
        let (verb, answer) = if write.version.is_some() {
            let call = self.api.replace(&self.lease.name, &params, &object);
            ("update", time::timeout(self.permit.write_timeout(), call).await)
        } else {
            let call = self.api.create(&params, &object);
            ("create", time::timeout(self.permit.write_timeout(), call).await)
        };
        let event = match answer {
            Ok(Ok(lease)) => {
                self.complaint = None;
                let record = record::read(&lease);
                self.object = Some(lease);
                Event::Written { claim: write.claim, record, sent: now.mono }
            }
            Ok(Err(error)) => {
                let failure = Failure::of(&error, verb, "leases", &self.lease);
                if failure.is_conflict() { Event::Conflict } else { self.failed(&failure, now.wall) }
            }
            Err(_) => self.failed(&Failure::timed_out(verb, "leases", &self.lease), now.wall),
        };
        let held = matches!(event, Event::Written { .. });
        self.elector.on(event, self.clock.now().mono);
        if held {
            // First the permit: who hears that the outage is over may write.
            self.permit.set(self.elector.permit());
            self.end_outage();
        }
    }

    /// Notes a failure, and logs it once for as long as it stays the same.
    fn failed(&mut self, failure: &Failure, sent: Timestamp) -> Event {
        let text = failure.to_string();
        if self.complaint.as_ref() != Some(&text) {
            tracing::warn!(lease = %self.lease, error = %text, "the lease could not be read or renewed");
            self.complaint = Some(text.clone());
        }
        self.outage.send_modify(|outage| {
            let since = outage.as_ref().map_or(sent, |before| before.since);
            *outage = Some(Outage { since, cause: cause(failure.kind), detail: text });
        });
        Event::Failed
    }

    fn end_outage(&self) {
        if let Some(outage) = self.outage.send_replace(None) {
            let away = self.clock.now().wall.duration_since(outage.since).as_secs();
            tracing::info!(lease = %self.lease, since = %outage.since, seconds = away, "the lease is held again");
        }
    }
}

/// Whether the API server is away, or says no.
const fn cause(kind: FailureKind) -> OutageCause {
    match kind {
        FailureKind::Forbidden
        | FailureKind::Unauthorized
        | FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::Invalid => OutageCause::LeaseRefused,
        FailureKind::Busy
        | FailureKind::TimedOut
        | FailureKind::Unreachable
        | FailureKind::PermitLapsed
        | FailureKind::Other => OutageCause::NoAnswer,
    }
}

impl LeaseName {
    pub(super) fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        }
    }
}
