//! The API of Loadline: the custom resources of group `loadline.dev`, version `v1alpha1`.
//!
//! One file or folder per kind. `generated/*.yaml` is printed from these types (`loadline crds`) and checked
//! by a test.

#![expect(unreachable_pub, reason = "derive(KubeSchema) copies each type into a function, with its pub")]

mod definitions;
pub mod duration;
pub mod elastic_policy;
pub mod safety_lever;

pub use definitions::{definitions, generated};
pub use duration::ApiDuration;
pub use elastic_policy::{ElasticPolicy, ElasticPolicySpec, ElasticPolicyStatus};
pub use safety_lever::{SafetyLever, SafetyLeverSpec, SafetyLeverStatus};

/// The API group.
pub const GROUP: &str = "loadline.dev";
/// The API version.
pub const VERSION: &str = "v1alpha1";
