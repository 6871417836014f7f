//! A real Alertmanager that sends every alert to one webhook, or to nobody.

use serde_json::json;

use crate::{
    binaries::{BinaryError, Packaged},
    served::{Place, Program, Served, ServedError},
};

/// A running Alertmanager; ends when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    served: Served,
}

/// What went wrong with an Alertmanager.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    /// It is not installed.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// It does not run.
    #[error(transparent)]
    Served(#[from] ServedError),
}

impl Alertmanager {
    /// Starts one and waits until it is ready. Alerts are grouped by name, and sent after a second.
    ///
    /// # Errors
    /// When it is not installed or does not become ready.
    pub async fn start(webhook: Option<&str>) -> Result<Self, AlertmanagerError> {
        let binary = Packaged::Alertmanager.get()?;
        let place = Place::new("alertmanager")?;
        let hooks: Vec<_> = webhook.iter().map(|url| json!({ "url": url })).collect();
        let config = json!({
            "route": {
                "receiver": "all", "group_by": ["alertname"],
                "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h",
            },
            "receivers": [{ "name": "all", "webhook_configs": hooks }],
        });
        // JSON is YAML.
        let config = place.write("alertmanager.yml", &config.to_string())?;
        let arguments = vec![
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", place.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{}", place.port()),
            // Alone: no gossip port.
            "--cluster.listen-address=".to_owned(),
        ];
        let program =
            Program { name: "alertmanager", binary, arguments, environment: Vec::new(), up: "/-/ready" };
        Ok(Self { served: Served::start(place, program).await? })
    }

    /// Where it listens, on localhost.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.served.place().port()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.served.url()
    }
}
