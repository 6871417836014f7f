//! The custom resource definitions as they are installed, and as they are committed in `generated/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt as _, core::ResourceExt as _};

use crate::{ElasticPolicy, SafetyLever};

/// The definitions of all kinds, by name.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![ElasticPolicy::crd(), SafetyLever::crd()];
    for crd in &mut all {
        for version in &mut crd.spec.versions {
            if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
                // The name of the kind stands in `names` already.
                schema.title = None;
                refuse_null(schema);
            }
        }
    }
    all
}

/// The definitions as files: name and YAML.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a defect of this crate.
pub fn generated() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    definitions()
        .iter()
        .map(|crd| {
            let yaml = serde_yaml::to_string(crd)?;
            Ok((format!("{}.yaml", crd.name_any()), yaml))
        })
        .collect()
}

/// Takes `nullable` from every optional field.
///
/// With it, a field that is written as null stays null: it takes no default, and `has()` in a rule finds it.
/// Without it, the API server drops the null, and the field is absent, as whoever wrote it meant.
fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| refuse_null(property));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
}
