//! A plot over time as a small SVG: panels one above the other on one time axis, each with a few lines.

use std::fmt::Write as _;

use jiff::Timestamp;

/// Width of the picture, in SVG units.
const WIDTH: f64 = 960.0;
/// Height of one panel, its title included.
const PANEL: f64 = 190.0;
/// Room on the left for the numbers.
const LEFT: f64 = 64.0;
/// Room on the right.
const RIGHT: f64 = 16.0;
/// Room above for the title.
const TOP: f64 = 26.0;
/// Room below for the time.
const BOTTOM: f64 = 22.0;
/// Colours that people who see few of them tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];
/// The picture has about so many columns; of more points than that, each column keeps its lowest and its highest.
const COLUMNS: usize = 1_000;

/// A picture of panels that share their time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What the times are.
    pub time: Time,
    /// Top to bottom.
    pub panels: Vec<Panel>,
}

/// What the times of a plot are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Seconds since a beginning.
    Elapsed,
    /// Unix seconds, shown in UTC.
    Unix,
    /// No times at all but another number.
    Number,
}

/// Lines with one scale.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// What is measured, with its unit.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// A range to shade: where the values should be.
    pub band: Option<(f64, f64)>,
    /// An area between two courses, `(seconds, lower, upper)`: what was expected. What is not finite is a gap.
    pub ribbon: Vec<(f64, f64, f64)>,
    /// Stretches of time to mark, `(from, to)`: when something was wrong.
    pub marks: Vec<(f64, f64)>,
    /// The highest value to show; the highest of the lines when absent.
    pub top: Option<f64>,
}

/// A line of points `(seconds, value)`; what is not finite is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Ascending in time.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// A line from its points.
    #[must_use]
    pub fn new(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.to_owned(), points: points.into_iter().collect() }
    }
}

impl Plot {
    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let times = || self.panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.points).map(|p| p.0);
        let start = times().fold(f64::INFINITY, f64::min);
        let end = times().fold(f64::NEG_INFINITY, f64::max);
        let (start, end) = if start < end { (start, end) } else { (0.0, 1.0) };
        let panels: f64 = self.panels.iter().map(|_| PANEL).sum();
        let height = TOP + panels;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
            escape(&self.title)
        );
        let mut top = TOP;
        for panel in &self.panels {
            let highest = panel.highest();
            let frame = Frame { top, start, end, highest };
            frame.shade(&mut svg, panel);
            frame.axes(&mut svg, self.time);
            frame.lines(&mut svg, panel);
            top += PANEL;
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn highest(&self) -> f64 {
        let lines = self.lines.iter().flat_map(|l| &l.points).map(|p| p.1);
        let values = lines.chain(self.ribbon.iter().map(|p| p.2)).filter(|v| v.is_finite());
        self.top.unwrap_or_else(|| values.fold(0.0, f64::max) * 1.05).max(f64::MIN_POSITIVE)
    }
}

/// Where a panel lies, and its scales.
struct Frame {
    top: f64,
    start: f64,
    end: f64,
    highest: f64,
}

// Writing to a String does not fail.
impl Frame {
    fn upper(&self) -> f64 {
        self.top + TOP
    }

    fn lower(&self) -> f64 {
        self.top + PANEL - BOTTOM
    }

    fn x(&self, time: f64) -> f64 {
        let share = (time - self.start) / (self.end - self.start);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.lower() - (value / self.highest).clamp(0.0, 1.0) * (self.lower() - self.upper())
    }

    /// The title, and what is shaded behind the lines.
    fn shade(&self, svg: &mut String, panel: &Panel) {
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", self.top + 18.0, escape(&panel.title));
        if let Some((low, high)) = panel.band {
            let (above, tall) = (self.y(high), self.y(low) - self.y(high));
            let wide = WIDTH - LEFT - RIGHT;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{above:.1}\" width=\"{wide}\" height=\"{tall:.1}\" fill=\"#009e73\" \
                 fill-opacity=\"0.15\"/>"
            );
        }
        self.ribbon(svg, &panel.ribbon);
        let (upper, tall) = (self.upper(), self.lower() - self.upper());
        for (from, to) in &panel.marks {
            // A moment must be seen too.
            let (left, wide) = (self.x(*from), (self.x(*to) - self.x(*from)).max(0.7));
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{upper:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"#d55e00\" \
                 fill-opacity=\"0.35\"/>"
            );
        }
    }

    fn ribbon(&self, svg: &mut String, points: &[(f64, f64, f64)]) {
        for part in points.split(|(_, low, high)| !(low.is_finite() && high.is_finite())) {
            let corner = |(time, value): (f64, f64)| format!("{:.1} {:.1}", self.x(time), self.y(value));
            let above = part.iter().map(|(time, _, high)| corner((*time, *high)));
            let below = part.iter().rev().map(|(time, low, _)| corner((*time, *low)));
            let corners: Vec<_> = above.chain(below).collect();
            if !corners.is_empty() {
                let d = corners.join("L");
                let _ = writeln!(svg, "<path d=\"M{d}Z\" fill=\"#e69f00\" fill-opacity=\"0.35\"/>");
            }
        }
    }

    fn axes(&self, svg: &mut String, time: Time) {
        for part in [0.0, 0.5, 1.0] {
            let (value, level, right) = (self.highest * part, self.y(self.highest * part), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {level:.1}H{right}\" stroke=\"#ccc\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                level + 4.0,
                number(value)
            );
            let at = self.start + (self.end - self.start) * part;
            let anchor = if part < 0.25 {
                "start"
            } else if part > 0.75 {
                "end"
            } else {
                "middle"
            };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#666\">{}</text>",
                self.x(at),
                self.lower() + 15.0,
                time.text(at)
            );
        }
    }

    fn lines(&self, svg: &mut String, panel: &Panel) {
        let mut legend = WIDTH - RIGHT;
        for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
            let d = path(&thinned(&line.points), |t| self.x(t), |v| self.y(v));
            let _ = writeln!(svg, "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
            let _ = writeln!(
                svg,
                "<text x=\"{legend:.0}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                self.top + 18.0,
                escape(&line.name)
            );
            // About 6.5 units a letter at this size.
            let letters = u32::try_from(line.name.chars().count()).unwrap_or(0);
            legend -= 16.0 + 6.5 * f64::from(letters);
        }
    }
}

impl Time {
    fn text(self, at: f64) -> String {
        match self {
            Self::Elapsed => format!("{} s", number(at)),
            Self::Number => format!("{at:.2}"),
            Self::Unix => {
                #[expect(clippy::cast_possible_truncation, reason = "Unix seconds; `as` saturates")]
                let second = at as i64;
                Timestamp::from_second(second)
                    .map_or_else(|_| number(at), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
            }
        }
    }
}

/// What can be seen of a line: no more than its lowest and its highest point of each column, and its gaps.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len() / COLUMNS;
    if every < 3 {
        return points.to_vec();
    }
    let column = |column: &[(f64, f64)]| {
        let seen = || column.iter().copied().filter(|(_, value)| value.is_finite());
        let lowest = seen().min_by(|a, b| a.1.total_cmp(&b.1));
        let highest = seen().max_by(|a, b| a.1.total_cmp(&b.1));
        match (lowest, highest) {
            (Some(low), Some(high)) if low.0 <= high.0 => vec![low, high],
            (Some(low), Some(high)) => vec![high, low],
            _ => column.first().copied().into_iter().collect(),
        }
    };
    points.chunks(every).flat_map(column).collect()
}

/// The path of a line, broken where a value is not finite.
fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let (mut d, mut pen_down) = (String::new(), false);
    for (time, value) in points {
        if value.is_finite() {
            let command = if pen_down { 'L' } else { 'M' };
            let _ = write!(d, "{command}{:.1} {:.1}", x(*time), y(*value));
        }
        pen_down = value.is_finite();
    }
    d
}

/// Three figures that matter.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_lifts_the_pen() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 2.0)];
        assert_eq!(path(&points, |x| x, |y| y), "M0.0 1.0M2.0 1.0L3.0 2.0");
    }

    #[test]
    fn a_spike_of_one_point_among_very_many_is_still_seen() {
        let points: Vec<(f64, f64)> =
            (0..100_000).map(|i| (f64::from(i), if i == 77_777 { 9.0 } else { 1.0 })).collect();
        let seen = thinned(&points);
        assert!(seen.len() <= 2 * COLUMNS + 2, "{}", seen.len());
        assert!(seen.contains(&(77_777.0, 9.0)));
    }

    #[test]
    fn a_ribbon_is_filled_and_broken_where_nothing_was_expected() {
        let ribbon = vec![(0.0, 1.0, 2.0), (1.0, 1.0, 3.0), (2.0, f64::NAN, 3.0), (3.0, 1.0, 2.0)];
        let panel = Panel { ribbon, ..Panel::default() };
        let line = Line::new("load", [(0.0, 1.0), (3.0, 1.0)]);
        let panels = vec![Panel { lines: vec![line], ..panel }];
        let svg = Plot { title: "ribbon".into(), time: Time::Elapsed, panels }.svg();
        assert_eq!(svg.matches("Z\" fill=\"#e69f00\"").count(), 2, "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_still_a_picture() {
        let empty = Plot { title: "none".into(), time: Time::Elapsed, panels: vec![] };
        assert!(empty.svg().ends_with("</svg>\n"));
    }

    #[test]
    fn times_are_shown_as_what_they_are_and_marks_where_they_were() {
        let line = Line::new("load", [(1_397_088_000.0, 1.0), (1_397_091_600.0, 2.0)]);
        let panel =
            Panel { lines: vec![line], marks: vec![(1_397_088_000.0, 1_397_088_060.0)], ..Panel::default() };
        let svg = Plot { title: "a < b".into(), time: Time::Unix, panels: vec![panel] }.svg();
        assert!(svg.contains("2014-04-10 00:00 UTC") && svg.contains("a &lt; b"), "{svg}");
        assert!(svg.contains("fill-opacity=\"0.35\""), "{svg}");
    }
}
