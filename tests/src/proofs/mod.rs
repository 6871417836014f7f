//! The long proofs: the project's claims, measured on real servers.
//!
//! ```text
//! tests/prove NAME       full size: the numbers that the documentation quotes
//! tests/run (cargo test) a tenth of it: the same code, so that no proof rots
//! ```
//!
//! A proof is a function that measures and writes figures into a [`Record`]; a figure may have a bound, and the
//! proof holds when all bounds do. To add one: write it in a file of its own here, list it in [`ALL`], and call
//! it in `tests/tests/proofs.rs`. What it leaves lies in `tests/artefacts/NAME`, at a tenth in `NAME-tenth`.

mod election;
mod fleet;
mod frontier;
mod ramp;
mod record;
mod replay;
mod stage;
mod step;

use std::{error::Error, path::Path, time::Duration};

use futures::future::BoxFuture;

pub use record::{Bound, Figure, Record};

/// How much of a proof is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale(f64);

impl Scale {
    /// All of it.
    pub const FULL: Self = Self(1.0);
    /// What an ordinary test runs.
    pub const TENTH: Self = Self(0.1);

    /// A part of it.
    #[must_use]
    pub fn new(part: f64) -> Option<Self> {
        (part > 0.0 && part <= 1.0).then_some(Self(part))
    }

    /// This part of `full` things; at least one.
    #[must_use]
    pub fn count(self, full: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `full`")]
        let part = (f64::from(full) * self.0).round() as u32;
        part.max(1)
    }

    /// This part of a time.
    #[must_use]
    pub fn time(self, full: Duration) -> Duration {
        full.mul_f64(self.0)
    }

    /// What is added to a proof's name where it leaves its figures.
    fn suffix(self) -> String {
        if self == Self::FULL {
            String::new()
        } else if self == Self::TENTH {
            "-tenth".to_owned()
        } else {
            format!("-{}", self.0)
        }
    }
}

/// Why a proof was not carried out, or does not hold.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One proof.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub about: &'static str,
    run: for<'a> fn(&'a mut Record) -> BoxFuture<'a, Result<(), Failure>>,
}

/// All proofs, in alphabetical order.
pub const ALL: &[Proof] =
    &[election::PROOF, fleet::PROOF, frontier::PROOF, ramp::PROOF, replay::PROOF, step::PROOF];

/// Runs a proof; its figures are printed and kept.
///
/// # Errors
/// When there is no such proof, it cannot be carried out, or a bound does not hold.
pub async fn run(name: &str, scale: Scale) -> Result<(), Failure> {
    let Some(proof) = ALL.iter().find(|proof| proof.name == name) else {
        let names: Vec<_> = ALL.iter().map(|proof| proof.name).collect();
        return Err(format!("no proof {name:?}; there are: {}", names.join(", ")).into());
    };
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("artefacts").join(name.to_owned() + &scale.suffix());
    let mut record = Record::new(proof.name, proof.about, scale, folder)?;
    (proof.run)(&mut record).await?;
    record.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_order() {
        let names: Vec<_> = ALL.iter().map(|proof| proof.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }

    #[test]
    fn a_tenth_is_a_tenth_and_never_nothing() {
        assert_eq!(Scale::TENTH.count(10_000), 1_000);
        assert_eq!(Scale::TENTH.count(3), 1);
        assert_eq!(Scale::TENTH.time(Duration::from_mins(10)), Duration::from_mins(1));
        assert_eq!(Scale::new(0.0), None);
    }

    #[tokio::test]
    async fn an_unknown_proof_names_the_known_ones() {
        let said = run("nothing", Scale::TENTH).await.unwrap_err().to_string();
        assert!(said.contains("fleet"), "{said}");
    }
}
