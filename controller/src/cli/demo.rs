//! `loadline demo`: the production tick over a simulated fleet that lives through a day in a few minutes.
//!
//! ```text
//! day.yaml ─> world ─> Drive (translate, tick, apply, record: the production code)
//!                        └─> log: one line for each decision that changed something, each fault, each doubt
//!                        └─> header: redrawn in place on a terminal
//! ```
//!
//! No network, no cluster. Everything shown comes from the simulated world, and is said to.

use std::{
    io::{self, IsTerminal as _, Write},
    num::NonZeroU32,
    thread,
    time::{Duration, Instant},
};

use loadline_dashboards::terminal::Paper;

use self::{day::Day, log::Log, screen::Screen};
use super::{CommandResult, Exit};

mod day;
mod log;
mod screen;
mod summary;

/// Arguments of `demo`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Simulated seconds that pass in one second
    #[arg(long, value_name = "N", default_value = "480", conflicts_with = "once")]
    speed: NonZeroU32,
    /// As fast as possible and without animation; the same seed gives the same text
    #[arg(long)]
    once: bool,
    /// Seed of everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Pictures a second on a terminal: smooth enough, and slow enough to read.
const PICTURES: u32 = 10;
/// Simulated time in one day.
const DAY: Duration = Duration::from_hours(24);

/// Runs the demo on standard output.
pub(super) fn run(args: &Args) -> CommandResult {
    let terminal = io::stdout().is_terminal();
    let columns = comfy_table::Table::new().width();
    let no_color = std::env::var("NO_COLOR").ok();
    let paper = Paper::of(terminal && !args.once, columns, no_color.as_deref());
    play(args, paper, terminal && !args.once, &mut io::stdout().lock())?;
    Ok(Exit::Ok)
}

fn play(args: &Args, paper: Paper, animated: bool, out: &mut impl Write) -> Result<(), DemoError> {
    let mut day = Day::new(args.seed)?;
    let mut screen = Screen::new(out, paper, animated);
    let mut log = Log::default();
    screen.lines(&log::greeting(args.seed, (!args.once).then_some(args.speed), paper))?;
    let begun = Instant::now();
    let mut pictures = 0;
    while day.elapsed() < DAY {
        let (plan, events) = day.advance();
        screen.lines(&log.entries(&day, &plan, &events, paper))?;
        if !args.once {
            let due = begun + day.elapsed() / args.speed.get();
            let picture = begun.elapsed().as_millis() * u128::from(PICTURES) / 1_000;
            if animated && picture > pictures {
                pictures = picture;
                screen.header(&screen::header(&day, &plan, paper))?;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    screen.lines(&summary::of(&day, paper))?;
    Ok(())
}

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the demo's own day is broken; please report this with the version of loadline")]
    Day(#[from] serde_yaml::Error),
    #[error("cannot write to the terminal")]
    Output(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(seed: u64) -> String {
        let args = Args { speed: NonZeroU32::MIN, once: true, seed };
        let mut out = Vec::new();
        play(&args, Paper::plain(), false, &mut out).expect("the demo plays");
        String::from_utf8(out).expect("text")
    }

    /// A terminal whose reader has gone away.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let args = Args { speed: NonZeroU32::MIN, once: true, seed: 1 };
        let error = play(&args, Paper::plain(), false, &mut Gone).expect_err("nobody reads");
        assert!(crate::cli::is_closed_pipe(&error), "{error}");
    }

    #[test]
    fn a_day_with_one_seed_is_always_told_in_the_same_words() {
        let told = once(1);
        assert_eq!(told, once(1));
        insta::assert_snapshot!(told);
    }

    #[test]
    fn another_seed_is_another_day() {
        assert_ne!(once(1), once(2));
    }
}
