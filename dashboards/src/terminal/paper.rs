//! What is written on: its width, and whether it takes colours.

/// What text is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paper {
    /// Columns.
    pub width: usize,
    /// Whether ANSI colours are wanted.
    pub colours: bool,
}

/// What a colour means; never the only sign of it, so that plain text says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// A heading.
    Bold,
    /// Of lesser interest.
    Faint,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Made up of numbers: bars.
    Accent,
}

/// The narrowest paper that a card fits on; a narrower terminal wraps the lines itself.
const NARROWEST: usize = 40;
/// The widest: longer lines are hard to read.
const WIDEST: usize = 120;
/// Where the terminal does not say how wide it is.
const USUAL: usize = 80;

impl Paper {
    /// Plain text of the usual width: for files, pipes and tests.
    #[must_use]
    pub const fn plain() -> Self {
        Self { width: USUAL, colours: false }
    }

    /// The paper for an output: colours only on a terminal and only while `NO_COLOR` is absent or empty
    /// (<https://no-color.org>).
    #[must_use]
    pub fn of(terminal: bool, columns: Option<u16>, no_color: Option<&str>) -> Self {
        let width = columns.filter(|_| terminal).map_or(USUAL, usize::from).clamp(NARROWEST, WIDEST);
        Self { width, colours: terminal && no_color.is_none_or(str::is_empty) }
    }

    /// The text in this ink.
    #[must_use]
    pub fn ink(self, ink: Ink, text: &str) -> String {
        if !self.colours || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31",
            Ink::Accent => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Text behind a name in a column of its own: the name stands on the first line, every line starts behind it.
///
/// Several lines, the last one not ended. Without a name the text takes the whole width.
#[must_use]
pub fn paragraph(name: &str, text: &str, ink: Option<Ink>, paper: Paper) -> String {
    let indent = if name.is_empty() { 0 } else { columns(name) + 2 };
    let lines = wrap(text, paper.width.saturating_sub(indent));
    let lines = lines.iter().enumerate().map(|(index, line)| {
        let line = ink.map_or_else(|| line.clone(), |ink| paper.ink(ink, line));
        match (index, indent) {
            (_, 0) => line,
            (0, _) => format!("{}  {line}", paper.ink(Ink::Faint, name)),
            _ => format!("{}{line}", " ".repeat(indent)),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks text into lines of at most `width` columns at spaces; a longer word stands alone.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cuts text to `width` columns, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Columns of text without colours: names and reasons hold no wide characters.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_kept_for_terminals_that_want_them() {
        assert!(Paper::of(true, Some(100), None).colours);
        assert!(Paper::of(true, Some(100), Some("")).colours, "an empty NO_COLOR means nothing");
        assert!(!Paper::of(true, Some(100), Some("1")).colours);
        assert!(!Paper::of(false, Some(100), None).colours);
        assert_eq!(Paper::plain().ink(Ink::Bad, "x"), "x");
    }

    #[test]
    fn the_width_stays_readable() {
        assert_eq!(Paper::of(true, Some(20), None).width, 40);
        assert_eq!(Paper::of(true, Some(300), None).width, 120);
        assert_eq!(Paper::of(false, Some(300), None).width, 80);
    }

    #[test]
    fn a_paragraph_stands_behind_its_name() {
        let paper = Paper { width: 16, colours: false };
        assert_eq!(paragraph("12:00", "one two three", None, paper), "12:00  one two\n       three");
        assert_eq!(paragraph("", "one two three four", None, paper), "one two three\nfour");
    }

    #[test]
    fn text_is_wrapped_at_spaces_and_cut_with_an_ellipsis() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensibilities all", 5), ["incomprehensibilities", "all"]);
        assert_eq!((cut("checkout", 8), cut("checkout", 5)), ("checkout".into(), "chec…".into()));
    }
}
