//! The rig: real Kubernetes control planes, a real Prometheus and a real Alertmanager on one machine, without
//! containers, and what the end-to-end tests need around them.
//!
//! ```text
//! binaries    kube-apiserver, etcd, kwok, helm …: found, or built once by Go into a cache
//! run_dir     the folder of one run, and the reaper that ends everything that lives in it
//! cluster     a Kubernetes cluster with fake nodes; its API server can be paused, killed and restarted
//! emulator    gives the pods of those clusters load and latency, and serves their metrics
//! prometheus  scrapes the emulator                 proxy      faults on the way to either of them
//! operator    the real `loadline run`              up         all of it for a person: `cargo rig up`
//! proofs      the project's claims, measured          plot        their pictures
//! recording   a past for that Prometheus
//! served      a program that serves HTTP: what prometheus, alertmanager and operator have in common
//! helm        the chart on one of those clusters   audit      who wrote which replicas
//! pair        two operators under pressure         trail      who wrote what, and who held the lease
//! ```
//!
//! Linux only: it reads `/proc`.

pub mod alertmanager;
pub mod audit;
pub mod background;
pub mod binaries;
pub mod cluster;
pub mod emulator;
pub mod helm;
pub mod operator;
pub mod pair;
pub mod plot;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod proofs;
pub mod proxy;
pub mod recording;
pub mod run_dir;
pub mod served;
pub mod trail;
pub mod up;
pub mod wait;
