//! The lease between the API's type and the elector's.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

use super::{
    driver::LeaseName,
    elector::{Claim, Record, Timing, Write},
};

/// Reads a lease. One without a resourceVersion cannot come from an API server and counts as version "".
pub(super) fn read(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|h| !h.is_empty()).map(Arc::from),
        beat: spec.renew_time.map_or_else(|| Arc::from(""), |t| Arc::from(t.0.to_string())),
        transitions: spec.lease_transitions.unwrap_or(0),
        version: Arc::from(lease.metadata.resource_version.as_deref().unwrap_or_default()),
    }
}

/// The object that a write puts in place of `before`; times are for people.
pub(super) fn write(
    lease: &LeaseName,
    identity: &str,
    timing: &Timing,
    write: &Write,
    before: Option<&Lease>,
    wall: Timestamp,
) -> Lease {
    let metadata = match before {
        Some(lease) => ObjectMeta {
            resource_version: write.version.as_deref().map(str::to_owned),
            managed_fields: None,
            ..lease.metadata.clone()
        },
        None => lease.metadata(),
    };
    let acquired = match write.claim {
        Claim::Take => Some(MicroTime(wall)),
        Claim::Renew | Claim::Release => {
            before.and_then(|l| l.spec.as_ref()).and_then(|s| s.acquire_time.clone())
        }
    };
    Lease {
        metadata,
        spec: Some(LeaseSpec {
            holder_identity: Some(match write.claim {
                Claim::Take | Claim::Renew => identity.to_owned(),
                Claim::Release => String::new(),
            }),
            lease_duration_seconds: i32::try_from(timing.lease.as_secs()).ok(),
            acquire_time: acquired,
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(write.transitions),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_of(claim: Claim, version: Option<&str>, before: Option<&Lease>) -> Lease {
        let w = Write { claim, version: version.map(Arc::from), transitions: 3 };
        let wall = "2026-03-01T12:00:00.5Z".parse().unwrap();
        let lease = LeaseName { namespace: "system".to_owned(), name: "loadline".to_owned() };
        write(&lease, "pod-a_1", &Timing::default(), &w, before, wall)
    }

    #[test]
    fn what_is_written_reads_back_as_ours() {
        let record = read(&write_of(Claim::Take, None, None));
        assert_eq!(record.holder.as_deref(), Some("pod-a_1"));
        assert_eq!(record.transitions, 3);
    }

    #[test]
    fn a_renewal_keeps_what_others_wrote_and_when_it_was_acquired() {
        let mut before = write_of(Claim::Take, None, None);
        before.metadata.labels = Some([("team".to_owned(), "sre".to_owned())].into());
        let after = write_of(Claim::Renew, Some("42"), Some(&before));
        assert_eq!(after.metadata.labels, before.metadata.labels);
        assert_eq!(after.metadata.resource_version.as_deref(), Some("42"));
        assert_eq!(after.spec.unwrap().acquire_time, before.spec.unwrap().acquire_time);
    }

    #[test]
    fn a_release_leaves_no_holder() {
        let before = write_of(Claim::Take, None, None);
        assert_eq!(read(&write_of(Claim::Release, Some("1"), Some(&before))).holder, None);
    }
}
