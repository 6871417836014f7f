//! Decisions on a terminal: width-aware, coloured only where colours are wanted, plain text otherwise.

mod bars;
mod card;
mod numbers;
mod overview;
mod paper;

pub use bars::{load_line, sparkline, track};
pub use card::{Card, card, headline};
pub use numbers::{count, duration, rate};
pub use overview::overview;
pub use paper::{Ink, Paper, paragraph};
