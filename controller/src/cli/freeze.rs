//! `loadline freeze` and `loadline unfreeze`: stop all automation, and let it go on, with a reason.

use std::io::Write as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use loadline_crds::{ApiDuration, SafetyLever, SafetyLeverSpec, safety_lever};

use super::{
    CommandResult, Exit,
    cluster::{ClusterArgs, Output, block_on},
};
use crate::client::Failure;

/// Who writes the lever, in its managed fields and in the audit log.
const FIELD_MANAGER: &str = "loadline-cli";

/// What both commands take.
#[derive(Debug, clap::Args)]
struct Common {
    /// Why; shown wherever something is held because of this
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// `server`: let the API server check it, and change nothing
    #[arg(long, value_name = "WHERE", value_parser = ["server"])]
    dry_run: Option<String>,
    /// How to answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `freeze`.
#[derive(Debug, clap::Args)]
pub(super) struct FreezeArgs {
    #[command(flatten)]
    common: Common,
    /// When the freeze ends by itself: a time (2026-03-01T14:00:00Z) or a duration (2h); else when unfrozen
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Until>,
}

/// Arguments of `unfreeze`.
#[derive(Debug, clap::Args)]
pub(super) struct UnfreezeArgs {
    #[command(flatten)]
    common: Common,
}

/// When a freeze ends by itself.
#[derive(Debug, Clone, Copy)]
enum Until {
    At(Timestamp),
    In(ApiDuration),
}

/// Why the lever could not be moved.
#[derive(Debug, thiserror::Error)]
enum FreezeError {
    #[error("{0}")]
    Api(Failure),
    #[error("--until {0} is in the past: give a time that is still to come, or a duration such as 2h")]
    Past(Timestamp),
    #[error("--until is too far away")]
    TooFar,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("say why, for example --reason \"INC-4711, payment provider is down\"".to_owned()),
        1..=1024 => Ok(text.to_owned()),
        n => Err(format!("{n} characters are too many: at most 1024")),
    }
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse() {
        return Ok(Until::At(at));
    }
    text.parse()
        .map(Until::In)
        .map_err(|_| "give a time (2026-03-01T14:00:00Z) or a duration (30m, 2h)".to_owned())
}

impl Until {
    fn resolve(self, now: Timestamp) -> Result<Timestamp, FreezeError> {
        match self {
            Self::At(at) if at <= now => Err(FreezeError::Past(at)),
            Self::At(at) => Ok(at),
            Self::In(duration) => now.checked_add(duration.0).map_err(|_| FreezeError::TooFar),
        }
    }
}

/// Stops all automation.
pub(super) fn freeze(args: &FreezeArgs) -> CommandResult {
    let expires_at = args.until.map(|until| until.resolve(Timestamp::now())).transpose()?.map(Time);
    pull(&args.common, true, expires_at)
}

/// Lets automation go on.
pub(super) fn unfreeze(args: &UnfreezeArgs) -> CommandResult {
    pull(&args.common, false, None)
}

fn pull(args: &Common, freeze: bool, expires_at: Option<Time>) -> CommandResult {
    let (before, after) = block_on(async {
        let session = args.cluster.session().await?;
        let api = Api::all(session.client);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(set(&api, args, freeze, expires_at).await?)
    })??;
    let text =
        args.output.render(&after, |lever| sentence(before.as_ref(), lever, args.dry_run.is_some()))?;
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    Ok(Exit::Ok)
}

/// Writes the lever: makes it where there is none, else replaces it as it was read (by resourceVersion).
async fn set(
    api: &Api<SafetyLever>,
    args: &Common,
    freeze: bool,
    expires_at: Option<Time>,
) -> Result<(Option<SafetyLever>, SafetyLever), FreezeError> {
    let failed = |verb| {
        move |e: kube::Error| FreezeError::Api(Failure::of(&e, verb, "safetylevers", &safety_lever::NAME))
    };
    let params =
        PostParams { dry_run: args.dry_run.is_some(), field_manager: Some(FIELD_MANAGER.to_owned()) };
    let before = api.get_opt(safety_lever::NAME).await.map_err(failed("get"))?;
    let spec = SafetyLeverSpec {
        freeze,
        stop_chaos: before.as_ref().is_some_and(|lever| lever.spec.stop_chaos),
        reason: args.reason.clone(),
        expires_at,
    };
    let after = if let Some(lever) = &before {
        let wanted = SafetyLever { spec, ..lever.clone() };
        api.replace(safety_lever::NAME, &params, &wanted).await.map_err(failed("update"))?
    } else {
        let metadata = ObjectMeta { name: Some(safety_lever::NAME.to_owned()), ..ObjectMeta::default() };
        let wanted = SafetyLever { metadata, spec, status: None };
        api.create(&params, &wanted).await.map_err(failed("create"))?
    };
    Ok((before, after))
}

/// What happened, and what that means.
fn sentence(before: Option<&SafetyLever>, after: &SafetyLever, dry_run: bool) -> String {
    let was = before.is_some_and(|lever| lever.spec.freeze);
    let until = match &after.spec.expires_at {
        Some(at) => format!("until {}", at.0),
        None => "until `loadline unfreeze`".to_owned(),
    };
    let text = match (was, after.spec.freeze) {
        (false, true) => {
            format!("Frozen {until}: replicas stay as they are, whatever the load. People may still scale.")
        }
        (true, true) => format!("Still frozen, now {until}, with the new reason."),
        (true, false) => "Automation goes on: the next tick may scale.".to_owned(),
        (false, false) => "Nothing was frozen; the reason is noted.".to_owned(),
    };
    if dry_run { format!("Dry run, nothing was changed. It would say: {text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn lever(freeze: bool) -> SafetyLever {
        SafetyLever::new(
            "default",
            SafetyLeverSpec { freeze, stop_chaos: false, reason: "x".into(), expires_at: None },
        )
    }

    #[test]
    fn an_end_is_a_time_or_a_duration_and_never_in_the_past() {
        assert_eq!(until("2h").unwrap().resolve(now()).unwrap(), "2026-03-01T14:00:00Z".parse().unwrap());
        assert!(until("2026-03-01T11:00:00Z").unwrap().resolve(now()).is_err());
        assert!(until("tomorrow").is_err());
    }

    #[test]
    fn a_reason_is_needed_and_bounded() {
        assert!(reason("  ").is_err());
        assert!(reason(&"x".repeat(1025)).is_err());
        assert_eq!(reason(" INC-1 ").unwrap(), "INC-1");
    }

    #[test]
    fn the_answer_says_what_changed() {
        assert!(sentence(None, &lever(true), false).starts_with("Frozen until `loadline unfreeze`"));
        assert!(sentence(Some(&lever(true)), &lever(false), false).starts_with("Automation goes on"));
        assert!(sentence(Some(&lever(true)), &lever(false), true).starts_with("Dry run"));
        assert!(sentence(None, &lever(false), false).starts_with("Nothing was frozen"));
    }
}
