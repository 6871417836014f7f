//! A plot over time as a small SVG: panels one above the other on one time axis, each with a few lines.

use std::fmt::Write as _;

use crate::emulator::Moment;

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
/// More points than the picture has columns would only make the file larger.
const POINTS: usize = 2_000;

/// A picture of panels that share their time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// Top to bottom.
    pub panels: Vec<Panel>,
}

/// Lines with one scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What is measured, with its unit.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// A range to shade: where the values should be.
    pub band: Option<(f64, f64)>,
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
    /// Load, replicas and redundancy of a workload over time, with the redundancy's band.
    #[must_use]
    pub fn of_workload(title: &str, moments: &[Moment], band: (f64, f64)) -> Self {
        let line = |name: &str, value: fn(&Moment) -> f64| {
            Line::new(name, moments.iter().map(|moment| (moment.at, value(moment))))
        };
        let panel =
            |title: &str, lines: Vec<Line>| Panel { title: title.to_owned(), lines, band: None, top: None };
        let load = panel(
            "load, requests/s",
            vec![line("offered", |m| m.seen.offered), line("rejected", |m| m.seen.rejected)],
        );
        let replicas = panel(
            "replicas",
            vec![
                line("ready", |m| f64::from(m.seen.ready)),
                line("ready and starting", |m| f64::from(m.seen.ready + m.seen.starting)),
            ],
        );
        let redundancy = Panel {
            band: Some(band),
            // An idle workload is endlessly redundant: only what is near the band matters.
            top: Some(2.0 * band.1),
            ..panel("redundancy", vec![line("capacity of the ready over the load", |m| m.seen.redundancy())])
        };
        let latency = panel("latency, seconds", vec![line("99th percentile", |m| m.seen.p99)]);
        Self { title: title.to_owned(), panels: vec![load, replicas, redundancy, latency] }
    }

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
            panel.draw(&mut svg, top, (start, end));
            top += PANEL;
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, (start, end): (f64, f64)) {
        let values = self.lines.iter().flat_map(|l| &l.points).map(|p| p.1).filter(|v| v.is_finite());
        let highest = self.top.unwrap_or_else(|| values.fold(0.0, f64::max) * 1.05).max(f64::MIN_POSITIVE);
        let (upper, lower) = (top + TOP, top + PANEL - BOTTOM);
        let x = |t: f64| LEFT + (t - start) / (end - start) * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| lower - (v / highest).clamp(0.0, 1.0) * (lower - upper);
        // Writing to a String does not fail.
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", top + 18.0, escape(&self.title));
        if let Some((low, high)) = self.band {
            let (above, tall) = (y(high), y(low) - y(high));
            let wide = WIDTH - LEFT - RIGHT;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{above:.1}\" width=\"{wide}\" height=\"{tall:.1}\" fill=\"#009e73\" \
                 fill-opacity=\"0.15\"/>"
            );
        }
        for part in [0.0, 0.5, 1.0] {
            let (value, level, right) = (highest * part, y(highest * part), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {level:.1}H{right}\" stroke=\"#ccc\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                level + 4.0,
                number(value)
            );
            let (time, at) = (start + (end - start) * part, x(start + (end - start) * part));
            let anchor = if part < 0.25 {
                "start"
            } else if part > 0.75 {
                "end"
            } else {
                "middle"
            };
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#666\">{} s</text>",
                lower + 15.0,
                number(time)
            );
        }
        let mut legend = WIDTH - RIGHT;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let d = path(&line.points, x, y);
            let _ = writeln!(svg, "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
            let _ = writeln!(
                svg,
                "<text x=\"{legend:.0}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                top + 18.0,
                escape(&line.name)
            );
            // About 6.5 units a letter at this size.
            let letters = u32::try_from(line.name.chars().count()).unwrap_or(0);
            legend -= 16.0 + 6.5 * f64::from(letters);
        }
    }
}

/// The path of a line: thinned to what can be seen, broken where a value is not finite.
fn path(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let (mut d, mut pen_down) = (String::new(), false);
    let every = points.len() / POINTS + 1;
    for (time, value) in points.iter().step_by(every) {
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
    use crate::emulator::Seen;

    #[test]
    fn a_workload_is_drawn_with_its_band_and_without_its_idle_infinities() {
        let moments: Vec<Moment> = (0..100)
            .map(|i| {
                let utilisation = if i < 10 { 0.0 } else { 0.8 };
                let seen = Seen { offered: 100.0, ready: 4, utilisation, p99: 0.1, ..Seen::default() };
                Moment { at: f64::from(i), seen }
            })
            .collect();
        let svg = Plot::of_workload("a < b", &moments, (1.1, 1.6)).svg();
        assert!(svg.contains("a &lt; b") && svg.contains("fill-opacity"), "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("stroke-width=\"1.5\"").count(), 6, "a path for each line");
    }

    #[test]
    fn a_gap_lifts_the_pen() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 2.0)];
        assert_eq!(path(&points, |x| x, |y| y), "M0.0 1.0M2.0 1.0L3.0 2.0");
    }

    #[test]
    fn nothing_to_draw_is_still_a_picture() {
        let empty = Plot { title: "none".into(), panels: vec![] };
        assert!(empty.svg().ends_with("</svg>\n"));
    }
}
