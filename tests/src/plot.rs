//! The picture of an emulated workload over time.

use loadline_dashboards::plot::{Line, Panel, Plot, Time};

use crate::emulator::Moment;

/// Load, replicas, redundancy and latency of a workload over time, with the redundancy's band.
#[must_use]
pub fn of_workload(title: &str, moments: &[Moment], band: (f64, f64)) -> Plot {
    let line = |name: &str, value: fn(&Moment) -> f64| {
        Line::new(name, moments.iter().map(|moment| (moment.at, value(moment))))
    };
    let panel = |title: &str, lines: Vec<Line>| Panel { title: title.to_owned(), lines, ..Panel::default() };
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
    Plot { title: title.to_owned(), time: Time::Elapsed, panels: vec![load, replicas, redundancy, latency] }
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
        let svg = of_workload("a < b", &moments, (1.1, 1.6)).svg();
        assert!(svg.contains("a &lt; b") && svg.contains("fill-opacity"), "{svg}");
        assert!(!svg.contains("inf") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("stroke-width=\"1.5\"").count(), 6, "a path for each line");
    }
}
