//! The screen: a log that scrolls, and under it a header that is redrawn in place.

use std::io::{self, Write};

use loadline_dashboards::terminal::{Card, Ink, Paper, card, headline};
use loadline_policies::plan::{Applied, Plan};

use super::{day::Day, log::clock};

/// Where the demo writes.
pub(super) struct Screen<'a, W: Write> {
    out: &'a mut W,
    paper: Paper,
    animated: bool,
    /// Lines of the header that stand at the bottom now.
    standing: usize,
}

impl<'a, W: Write> Screen<'a, W> {
    pub(super) fn new(out: &'a mut W, paper: Paper, animated: bool) -> Self {
        Self { out, paper, animated, standing: 0 }
    }

    /// Adds to the log; the header stands aside until it is drawn again.
    pub(super) fn lines(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.clear()?;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Draws the header anew.
    pub(super) fn header(&mut self, text: &str) -> io::Result<()> {
        if !self.animated {
            return Ok(());
        }
        self.clear()?;
        let rule = self.paper.ink(Ink::Faint, &"─".repeat(self.paper.width));
        let block = format!("{rule}\n{text}");
        self.out.write_all(block.as_bytes())?;
        self.standing = block.lines().count();
        self.out.flush()
    }

    /// Takes the header away: up to its first line, and everything from there on is cleared.
    fn clear(&mut self) -> io::Result<()> {
        if self.standing > 0 {
            write!(self.out, "\x1b[{}A\x1b[J", self.standing)?;
            self.standing = 0;
        }
        Ok(())
    }
}

/// The header: the time of day, a card of the first workload, a line for each of the others.
pub(super) fn header(day: &Day, plan: &Plan<Applied>, paper: Paper) -> String {
    let mut text = format!("{}\n", paper.ink(Ink::Bold, &format!("SIMULATED {}", clock(plan.at))));
    for (index, (key, decision)) in plan.decisions.iter().enumerate() {
        let policy = day.policy(key);
        if index > 0 {
            text.push_str(&headline(key, decision, paper));
            text.push('\n');
            continue;
        }
        text.push_str(&card(
            &Card {
                policy: key,
                decision,
                at: plan.at.mono,
                band: policy.map(|p| p.capacity.redundancy),
                bounds: policy.map(|p| p.bounds),
                objective: policy.and_then(|p| p.objective),
                course: day.course(key),
            },
            paper,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(animated: bool, draw: impl FnOnce(&mut Screen<'_, Vec<u8>>)) -> String {
        let mut out = Vec::new();
        draw(&mut Screen::new(&mut out, Paper { width: 4, colours: false }, animated));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_header_is_taken_away_before_anything_else_is_written() {
        let text = drawn(true, |screen| {
            screen.header("one\ntwo\n").expect("memory");
            screen.lines("log\n").expect("memory");
        });
        assert_eq!(text, "────\none\ntwo\n\x1b[3A\x1b[Jlog\n");
    }

    #[test]
    fn without_a_terminal_there_is_no_header_and_no_code() {
        let text = drawn(false, |screen| {
            screen.header("one\n").expect("memory");
            screen.lines("log\n").expect("memory");
        });
        assert_eq!(text, "log\n");
    }
}
