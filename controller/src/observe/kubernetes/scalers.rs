//! Other scalers: HorizontalPodAutoscalers, and KEDA's ScaledObjects where they exist.

use std::{collections::HashMap, sync::Arc};

use kube::{
    Api, Client, Resource as _,
    core::{ApiResource, GroupVersionKind},
};
use loadline_policies::{
    fleet::Contender,
    ids::{Target, TargetObject},
};
use serde::Deserialize;
use tokio::{sync::Notify, task::JoinSet};

use super::{partial::Partial, store::Store, watch::follow};

/// An object that names one scale target in `spec.scaleTargetRef`.
type Scaler = Partial<ScalerSpec, serde::de::IgnoredAny>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScalerSpec {
    scale_target_ref: Option<TargetRef>,
}

/// KEDA leaves the kind and version of Deployments out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetRef {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    name: String,
}

/// The caches of all other scalers.
pub(super) struct Scalers(Vec<Arc<Store<Option<TargetObject>>>>);

impl Scalers {
    /// Begins to watch them.
    pub(super) fn watch(client: &Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Self {
        let kinds = [
            ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
            ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
        ];
        let stores = kinds.into_iter().map(|(group, version, kind, plural)| {
            let resource =
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
            let store = Arc::new(Store::new(kind));
            tasks.spawn(follow(
                Api::<Scaler>::all_with(client.clone(), &resource),
                Arc::clone(&store),
                |scaler| target(&scaler),
                |before, after| before != after,
                Arc::clone(changed),
            ));
            store
        });
        Self(stores.collect())
    }

    /// The caches, one for each kind.
    pub(super) fn stores(&self) -> impl Iterator<Item = &Store<Option<TargetObject>>> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Who else scales what.
    pub(super) fn contenders(&self) -> HashMap<TargetObject, Vec<Contender>> {
        let mut found: HashMap<TargetObject, Vec<Contender>> = HashMap::new();
        for store in &self.0 {
            store.each(|(_, name), target| {
                if let Some(target) = target {
                    let contender = Contender { kind: store.kind().to_owned(), name: name.to_string() };
                    found.entry(target.clone()).or_default().push(contender);
                }
            });
        }
        for contenders in found.values_mut() {
            contenders.sort();
        }
        found
    }
}

/// The target of a scaler; one that is going away scales no more.
fn target(scaler: &Scaler) -> Option<TargetObject> {
    let TargetRef { api_version, kind, name } = scaler.spec.scale_target_ref.as_ref()?;
    if scaler.meta().deletion_timestamp.is_some() {
        return None;
    }
    let namespace = scaler.meta().namespace.as_deref()?;
    let api_version = api_version.as_deref().filter(|v| !v.is_empty()).unwrap_or("apps/v1");
    let kind = kind.as_deref().filter(|k| !k.is_empty()).unwrap_or("Deployment");
    Some(Target::new(api_version, kind, namespace, name).object())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Option<TargetObject> {
        let text = format!(r#"{{"metadata":{{"name":"s","namespace":"shop"}},"spec":{spec}}}"#);
        target(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn an_hpa_names_its_target_in_full() {
        let spec =
            r#"{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"StatefulSet","name":"db"},"maxReplicas":3}"#;
        assert_eq!(read(spec), Some(Target::new("apps/v1", "StatefulSet", "shop", "db").object()));
    }

    #[test]
    fn an_hpa_that_names_another_version_scales_the_same_object() {
        let spec = r#"{"scaleTargetRef":{"apiVersion":"apps/v1beta2","kind":"Deployment","name":"cart"}}"#;
        assert_eq!(read(spec), Some(Target::new("apps/v1", "Deployment", "shop", "cart").object()));
    }

    #[test]
    fn keda_means_a_deployment_where_it_says_nothing() {
        let spec = r#"{"scaleTargetRef":{"name":"cart"}}"#;
        assert_eq!(read(spec), Some(Target::new("apps/v1", "Deployment", "shop", "cart").object()));
    }

    #[test]
    fn a_scaler_without_a_target_contends_with_nobody() {
        assert_eq!(read("{}"), None);
    }
}
