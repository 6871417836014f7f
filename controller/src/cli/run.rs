//! `loadline run`: the operator.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    config::Config,
    lease::LeaseName,
    operator::{self, Ended, Settings},
    telemetry::{self, LogFormat},
};

use super::{CommandResult, Exit};

/// Arguments of `run`; each can be set in the environment too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The operator's configuration; the defaults (which read no telemetry) when absent
    #[arg(long, value_name = "FILE", env = "LOADLINE_CONFIG")]
    config: Option<PathBuf>,
    /// The kubeconfig file; else KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE", env = "LOADLINE_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; else its current one
    #[arg(long, value_name = "NAME", env = "LOADLINE_CONTEXT")]
    context: Option<String>,
    /// Where /healthz, /readyz, /metrics and /debug/plan are served
    #[arg(
        long,
        alias = "admin-addr",
        value_name = "ADDRESS",
        env = "LOADLINE_LISTEN",
        default_value = "0.0.0.0:8080"
    )]
    listen: SocketAddr,
    /// Serve /debug to everybody, not only to callers on loopback (kubectl port-forward is one)
    #[arg(long, env = "LOADLINE_DEBUG_FROM_ANYWHERE")]
    debug_from_anywhere: bool,
    /// Namespace of the lease; else the pod's own
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the lease
    #[arg(long, value_name = "NAME", env = "LOADLINE_LEASE_NAME", default_value = "loadline")]
    lease_name: String,
    /// Name of this process as a holder of the lease; a part that is unique for each start is added
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "loadline")]
    identity: String,
    /// How log lines look
    #[arg(long, value_enum, env = "LOADLINE_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
    /// What is logged: a level, or levels by module as in info,loadline_controller=debug
    #[arg(long, value_name = "FILTER", env = "LOADLINE_LOG", default_value = "info")]
    log: String,
}

/// Runs the operator until a signal, or until another process has taken the lease.
pub(super) fn run(args: Args) -> CommandResult {
    let Args {
        config,
        kubeconfig,
        context,
        listen,
        debug_from_anywhere,
        lease_namespace,
        lease_name,
        identity,
        log_format,
        log,
    } = args;
    telemetry::log_to_stderr(log_format, &log)?;
    let config = config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let cluster = crate::client::config(kubeconfig.as_deref(), context.as_deref()).await?;
        let namespace = lease_namespace.unwrap_or_else(|| cluster.default_namespace.clone());
        let lease = LeaseName { namespace, name: lease_name };
        operator::run(Settings { config, cluster, listen, debug_from_anywhere, lease, identity }).await
    });
    // Watches have no end of their own.
    runtime.shutdown_background();
    match ended? {
        Ended::Stopped => Ok(Exit::Ok),
        Ended::LeaseLost(lost) => {
            tracing::error!(error = %lost, "ending");
            Ok(Exit::LeaseLost)
        }
    }
}
