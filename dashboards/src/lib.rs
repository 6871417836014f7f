//! What a person sees of Loadline's decisions.
//!
//! ```text
//! policies::plan::Decision ──> terminal: a card, a line of a log, an overview ──> text
//! lines over time          ──> plot ──> SVG
//! ```
//!
//! Pure functions of what was decided: the same decision looks the same in `explain`, in `demo` and in a test.

pub mod plot;
pub mod terminal;
