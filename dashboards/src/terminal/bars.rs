//! Bars: the load under its load line, redundancy in its band, a course over time.

use super::{Ink, Paper};

/// Eighths of a column, from empty to full.
const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Part of the width that stays free beyond the larger of load and capacity.
const MARGIN: f64 = 1.1;

/// The load as a bar, and the load line (what the ready replicas bear) as a mark on it.
///
/// Beyond the line the bar turns into `▓`, so that it is seen without colours too.
#[must_use]
pub fn load_line(load: f64, capacity: f64, width: usize, paper: Paper) -> String {
    let full = load.max(capacity).max(f64::MIN_POSITIVE) * MARGIN;
    let position = |value: f64| steps(value / full, width);
    let (line, (whole, rest)) = (position(capacity).0.min(width.saturating_sub(1)), position(load));
    let (mut calm, mut over, mut after) = (String::new(), String::new(), String::new());
    for column in (0..width).filter(|column| *column != line) {
        let side = if column < line { &mut calm } else { &mut after };
        if column < whole && column > line {
            over.push('▓');
        } else if column < whole {
            side.push('█');
        } else if column == whole && column < line {
            side.push(EIGHTHS.get(rest).copied().unwrap_or(' '));
        } else {
            side.push(' ');
        }
    }
    let line = paper.ink(Ink::Bold, "┃");
    format!("{}{line}{}{after}", paper.ink(Ink::Accent, &calm), paper.ink(Ink::Bad, &over))
}

/// A value on a track between two marks: `1.10 ├──●─────┤ 1.60`; beyond a mark it sits on the arrow of its end.
#[must_use]
pub fn track(value: f64, min: f64, max: f64, width: usize) -> String {
    let inner = width.max(3);
    let mut cells = vec!['─'; inner];
    let part = (value - min) / (max - min).max(f64::MIN_POSITIVE);
    let (left, right) = match part {
        p if p < 0.0 => ('◀', '┤'),
        p if p > 1.0 => ('├', '▶'),
        p => {
            let at = steps(p, inner.saturating_sub(1)).0;
            if let Some(cell) = cells.get_mut(at) {
                *cell = '●';
            }
            ('├', '┤')
        }
    };
    format!("{left}{}{right}", cells.into_iter().collect::<String>())
}

/// The last `width` values as a sparkline from zero to the largest; a gap (NaN) is a space.
#[must_use]
pub fn sparkline(values: &[f64], width: usize) -> String {
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let top = shown.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let height = |value: &f64| {
        if !value.is_finite() {
            return ' ';
        }
        let part = if top > 0.0 { value / top } else { 0.0 };
        HEIGHTS.get(steps(part, HEIGHTS.len() - 1).0).copied().unwrap_or('█')
    };
    shown.iter().map(height).collect()
}

/// A part (0 to 1) of `width` columns, as whole columns and eighths of the next one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a terminal's columns, clamped to what there are"
)]
fn steps(part: f64, width: usize) -> (usize, usize) {
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    (eighths / 8, eighths % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paper = Paper::plain();

    #[test]
    fn a_load_under_the_line_ends_before_the_mark() {
        assert_eq!(load_line(50.0, 100.0, 22, PLAIN), "██████████          ┃ ");
    }

    #[test]
    fn a_load_over_the_line_is_seen_without_colours() {
        assert_eq!(load_line(200.0, 100.0, 22, PLAIN), "██████████┃▓▓▓▓▓▓▓▓▓  ");
    }

    #[test]
    fn no_load_and_no_capacity_is_an_empty_bar() {
        assert_eq!(load_line(0.0, 0.0, 8, PLAIN).chars().count(), 8);
    }

    #[test]
    fn bars_are_always_as_wide_as_asked() {
        for (load, capacity) in [(0.0, 10.0), (9.9, 10.0), (10.0, 10.0), (1e9, 1.0), (1.0, 1e9), (3.3, 7.7)] {
            assert_eq!(load_line(load, capacity, 31, PLAIN).chars().count(), 31, "{load} of {capacity}");
        }
    }

    #[test]
    fn a_value_sits_on_its_track_or_on_the_arrow() {
        assert_eq!(track(1.35, 1.1, 1.6, 9), "├────●────┤");
        assert_eq!(track(0.9, 1.1, 1.6, 5), "◀─────┤");
        assert_eq!(track(2.0, 1.1, 1.6, 5), "├─────▶");
    }

    #[test]
    fn a_sparkline_shows_the_last_values_and_gaps() {
        assert_eq!(sparkline(&[9.0, 0.0, 4.0, f64::NAN, 8.0], 4), "▁▄ █");
        assert_eq!(sparkline(&[], 4), "");
    }
}
