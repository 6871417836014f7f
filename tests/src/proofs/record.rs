//! What a proof measured: figures, bounds, plots; printed, and kept as files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use loadline_dashboards::plot::Plot;
use serde::Serialize;

use super::{Failure, Scale};

/// What a figure must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Nothing: it is only reported.
    None,
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what; empty for a bare number.
    pub unit: String,
    /// What it must keep.
    pub bound: Bound,
    /// Whether it does.
    pub holds: bool,
}

/// The record of one run of a proof.
#[derive(Debug)]
pub struct Record {
    name: String,
    about: String,
    scale: Scale,
    folder: PathBuf,
    figures: Vec<Figure>,
    started: Instant,
}

impl Bound {
    /// Whether a value keeps it; a value that is not a number keeps none.
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::None => true,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::None => String::new(),
        }
    }
}

impl Record {
    /// An empty record whose files lie in `folder`, where an earlier run's are removed.
    pub(super) fn new(name: &str, about: &str, scale: Scale, folder: PathBuf) -> Result<Self, Failure> {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| format!("cannot empty {}: {e}", folder.display()))?;
        }
        fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let (name, about) = (name.to_owned(), about.to_owned());
        Ok(Self { name, about, scale, folder, figures: Vec::new(), started: Instant::now() })
    }

    /// How much of the proof is to be run.
    #[must_use]
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Where its files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says what is being done, with the seconds since the start.
    pub fn progress(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// Reports a number.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        self.bounded(name, value, unit, Bound::None);
    }

    /// Reports a number that must keep a bound for the proof to hold.
    pub fn bounded(&mut self, name: &str, value: f64, unit: &str, bound: Bound) {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        let figure = Figure { name, value, unit, bound, holds: bound.holds(value) };
        self.progress(&row(&figure));
        self.figures.push(figure);
    }

    /// Keeps a picture as `FILE.svg`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn plot(&self, file: &str, plot: &Plot) -> Result<(), Failure> {
        self.keep(&format!("{file}.svg"), &plot.svg())
    }

    /// Keeps a text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(file);
        fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()).into())
    }

    /// Writes `figures.json` and `figures.md`, and says where.
    ///
    /// # Errors
    /// When a bound does not hold, or there is no figure with one: that would prove nothing.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(&self.figures)?;
        self.keep("figures.json", &json)?;
        self.keep("figures.md", &self.markdown())?;
        self.progress(&format!("figures in {}", self.folder.display()));
        if self.figures.iter().all(|f| f.bound == Bound::None) {
            return Err(format!("{} bounds nothing, so it proves nothing", self.name).into());
        }
        let broken: Vec<_> = self.figures.iter().filter(|f| !f.holds).map(row).collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(format!("{} does not hold:\n{}", self.name, broken.join("\n")).into())
    }

    fn markdown(&self) -> String {
        let mut lines = vec![
            format!("# {}", self.name),
            String::new(),
            self.about.clone(),
            String::new(),
            format!(
                "Size {}, {:.0} s, {} CPUs.",
                self.scale.0,
                self.started.elapsed().as_secs_f64(),
                std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
            ),
            String::new(),
            "| figure | value | unit | bound | holds |".to_owned(),
            "|---|---|---|---|---|".to_owned(),
        ];
        lines.extend(self.figures.iter().map(|f| {
            let holds = if f.holds { "yes" } else { "**no**" };
            format!("| {} | {} | {} | {} | {holds} |", f.name, short(f.value), f.unit, f.bound.words())
        }));
        lines.join("\n") + "\n"
    }
}

fn row(figure: &Figure) -> String {
    let Figure { name, value, unit, bound, holds } = figure;
    let verdict = match (bound, holds) {
        (Bound::None, _) => String::new(),
        (bound, true) => format!("  ({}: holds)", bound.words()),
        (bound, false) => format!("  ({}: DOES NOT HOLD)", bound.words()),
    };
    format!("{name}: {} {unit}{verdict}", short(*value))
}

/// At most three decimals, no trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(folder: &Path) -> Record {
        Record::new("try", "A try.", Scale::TENTH, folder.join("try")).unwrap()
    }

    #[test]
    fn a_proof_holds_when_all_its_bounds_do_and_leaves_its_figures() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record(folder.path());
        record.figure("queries", 6.0, "a sync");
        record.bounded("lag", 1.25, "s", Bound::AtMost(2.0));
        record.finish().unwrap();
        let text = fs::read_to_string(folder.path().join("try/figures.md")).unwrap();
        assert!(text.contains("| lag | 1.25 | s | ≤ 2 | yes |"), "{text}");
    }

    #[test]
    fn a_broken_bound_is_named_and_its_figures_are_kept_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record(folder.path());
        record.bounded("in band", 80.0, "%", Bound::AtLeast(90.0));
        let said = record.finish().unwrap_err().to_string();
        assert!(said.contains("in band: 80 %") && said.contains("≥ 90"), "{said}");
        assert!(folder.path().join("try/figures.json").exists());
    }

    #[test]
    fn a_number_that_is_none_keeps_no_bound() {
        assert!(!Bound::AtMost(1.0).holds(f64::NAN) && !Bound::AtLeast(1.0).holds(f64::NAN));
    }

    #[test]
    fn a_proof_without_bounds_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record(folder.path());
        record.figure("queries", 6.0, "a sync");
        assert!(record.finish().unwrap_err().to_string().contains("proves nothing"));
    }
}
