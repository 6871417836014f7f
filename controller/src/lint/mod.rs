//! Lint: what is wrong with policies, found offline, with the path of the field and the way to fix it.
//!
//! ```text
//! text ── documents ──> objects ── schema  unknown fields, types, limits   (the same schema as the API server's)
//!                               ├─ rules   CEL of the schema               (the same rules as the API server's)
//!                               ├─ parse   cron, zones, PromQL, formulas   (the same parser as the operator's)
//!                               └─ cross   duplicates, other scalers, profiles, kinds
//! ```
//!
//! Pure: the command reads the files.

mod catalogue;
mod cross;
mod documents;
mod finding;
mod habits;
mod kinds;
mod metadata;
mod object;
mod rules;
mod schema;
mod suggest;

pub use finding::{Finding, Report, Severity};

use crate::{config::Config, translate::KnownProfiles};
use catalogue::Catalogue;
use object::Object;

/// One text to look at.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is called in findings: a path, or `-`.
    pub name: String,
    /// YAML (or JSON, which is YAML), of any number of documents.
    pub text: String,
}

/// What is known of the operator that the policies are for.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The telemetry profiles of its configuration.
    pub profiles: KnownProfiles,
    /// The kinds that it may scale, as `(apiVersion, kind)`.
    pub scale_targets: Vec<(String, String)>,
}

impl Environment {
    /// What the operator with this configuration knows.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let kinds = config.scale_targets.iter().map(|t| (t.api_version.clone(), t.kind.clone()));
        Self { profiles: KnownProfiles::of(&config.profiles), scale_targets: kinds.collect() }
    }
}

/// Looks at all sources together.
///
/// # Errors
/// When the linter's own schemas cannot be read, which would be a defect of this program.
pub fn lint(sources: &[Source], environment: &Environment) -> Result<Report, serde_json::Error> {
    let catalogue = Catalogue::new()?;
    let mut report = Report::default();
    let mut objects = Vec::new();
    for source in sources {
        objects.extend(documents::read(source, &mut report));
    }
    let mut policies = Vec::new();
    for object in &objects {
        if let Some(policy) = catalogue.check(object, &mut report) {
            policies.push((object, policy));
        }
    }
    for (object, policy) in &policies {
        habits::check(object, policy, environment, &mut report);
    }
    cross::check(&objects, &policies, &mut report);
    report.finish();
    Ok(report)
}
