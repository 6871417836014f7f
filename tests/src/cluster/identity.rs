//! Speaking to a cluster as somebody else than its administrator: a person, or a ServiceAccount.

use std::{fs, path::PathBuf};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};

use super::{Cluster, ClusterError};

/// Longer than any test; the API server gives no token for less than ten minutes.
const TOKEN_SECONDS: i64 = 3_600;

impl Cluster {
    /// A client that acts as this user, with no groups but those of everybody who is logged in.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn as_user(&self, user: &str) -> Result<Client, ClusterError> {
        let mut config = self.config(self.read_kubeconfig()?).await?;
        let value = http::HeaderValue::from_str(user).map_err(|e| self.unusable(&e))?;
        config.headers.push((http::HeaderName::from_static("impersonate-user"), value));
        Client::try_from(config).map_err(|e| self.unusable(&e))
    }

    /// A client with nothing but a token of this ServiceAccount.
    ///
    /// # Errors
    /// When the API server gives no token.
    pub async fn as_service_account(&self, namespace: &str, name: &str) -> Result<Client, ClusterError> {
        let config = self.config(self.kubeconfig_with_token(namespace, name).await?).await?;
        Client::try_from(config).map_err(|e| self.unusable(&e))
    }

    /// A kubeconfig with nothing but a token of this ServiceAccount.
    ///
    /// # Errors
    /// When the API server gives no token, or the file cannot be written.
    pub async fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf, ClusterError> {
        let kubeconfig = self.kubeconfig_with_token(namespace, name).await?;
        let text = serde_yaml::to_string(&kubeconfig).map_err(|e| self.unusable(&e))?;
        let path = self.kubeconfig.with_file_name(format!("kubeconfig-{namespace}-{name}.yaml"));
        fs::write(&path, text).map_err(|source| ClusterError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// Makes a ServiceAccount, with its namespace, that may do everything: for an operator whose writes are told
    /// from all others by its name. What it needs is another test's matter. Gives its user name.
    ///
    /// # Errors
    /// When the API server refuses one of the objects.
    pub async fn administrator(&self, namespace: &str, name: &str) -> Result<String, ClusterError> {
        let client = self.client().await?;
        let named = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let place = Namespace { metadata: named(namespace), ..Namespace::default() };
        self.apply(&Api::all(client.clone()), &place).await?;
        let account = ServiceAccount { metadata: named(name), ..ServiceAccount::default() };
        self.apply(&Api::namespaced(client.clone(), namespace), &account).await?;
        let binding = ClusterRoleBinding {
            metadata: named(name),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: "cluster-admin".to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
                ..Subject::default()
            }]),
        };
        self.apply(&Api::all(client), &binding).await?;
        Ok(format!("system:serviceaccount:{namespace}:{name}"))
    }

    async fn kubeconfig_with_token(&self, namespace: &str, name: &str) -> Result<Kubeconfig, ClusterError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec {
            audiences: Vec::new(),
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(self.api_error(format!("give a token of {namespace}/{name}")))?;
        let token = answer.status.map(|s| s.token).unwrap_or_default();
        let mut kubeconfig = self.read_kubeconfig()?;
        // The administrator's certificate goes: it would win over the token.
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() });
        }
        Ok(kubeconfig)
    }

    fn read_kubeconfig(&self) -> Result<Kubeconfig, ClusterError> {
        Kubeconfig::read_from(&self.kubeconfig).map_err(|e| self.unusable(&e))
    }

    async fn config(&self, kubeconfig: Kubeconfig) -> Result<Config, ClusterError> {
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|e| self.unusable(&e))
    }

    fn unusable(&self, why: &dyn std::fmt::Display) -> ClusterError {
        ClusterError::Kubeconfig { cluster: self.name.clone(), why: why.to_string() }
    }
}
