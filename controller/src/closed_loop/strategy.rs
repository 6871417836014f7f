//! The autoscalers that are compared, by the names that the command line knows.

use std::{fmt, str::FromStr};

use loadline_policies::{
    behaviour::tolerance::Tolerances,
    desired::trigger,
    forecast::Forecast,
    now::Mono,
    policy::{Amount, Behaviour, Bounds, RateRule, Rules, Select},
    reference::{cudgx, hpa},
};

use super::{STEP, STEP_SECONDS};

/// An autoscaler with its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Strategy {
    /// The production decisions of Loadline.
    Loadline {
        /// The forecast's quantile; that of the policy when absent.
        quantile: Option<f64>,
    },
    /// The Kubernetes HPA with default behaviour, on an `AverageValue`.
    Hpa {
        /// The share of one replica's capacity that is aimed at, in (0, 1].
        target: f64,
    },
    /// CudgX's redundancy keeper.
    Cudgx {
        /// Redundancy in percent at which replicas are added.
        min: u32,
        /// Redundancy in percent at which replicas are removed.
        max: u32,
        /// Percent of the difference that one change makes up for.
        ratio: u32,
    },
}

/// A name that no strategy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no strategy: write loadline or loadline:QUANTILE, hpa:TARGET, cudgx or cudgx:MIN-MAX/RATIO, for \
     example loadline:0.95, hpa:0.7, cudgx:100-300/30"
)]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownStrategy(text.to_owned());
        let (name, setting) = text.split_once(':').map_or((text, None), |(n, s)| (n, Some(s)));
        let number = |s: &str| s.parse().ok().filter(|n: &f64| *n > 0.0 && *n <= 1.0);
        match (name, setting) {
            ("loadline", None) => Ok(Self::Loadline { quantile: None }),
            ("loadline", Some(q)) => {
                let quantile = number(q).filter(|q| *q < 1.0).ok_or_else(unknown)?;
                Ok(Self::Loadline { quantile: Some(quantile) })
            }
            ("hpa", Some(u)) => Ok(Self::Hpa { target: number(u).ok_or_else(unknown)? }),
            // What its documentation recommends.
            ("cudgx", None) => Ok(Self::Cudgx { min: 100, max: 300, ratio: 30 }),
            ("cudgx", Some(setting)) => keeper(setting).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }
}

fn keeper(setting: &str) -> Option<Strategy> {
    let (band, ratio) = setting.split_once('/')?;
    let (min, max) = band.split_once('-')?;
    let (min, max, ratio) = (min.parse().ok()?, max.parse().ok()?, ratio.parse().ok()?);
    (min > 0 && min < max && max <= 10_000 && (1..=100).contains(&ratio)).then_some(Strategy::Cudgx {
        min,
        max,
        ratio,
    })
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loadline { quantile: None } => f.write_str("loadline"),
            Self::Loadline { quantile: Some(q) } => write!(f, "loadline:{q}"),
            Self::Hpa { target } => write!(f, "hpa:{target}"),
            Self::Cudgx { min, max, ratio } => write!(f, "cudgx:{min}-{max}/{ratio}"),
        }
    }
}

/// What an autoscaler sees at a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Steps that are over: `load[..step]` is the past.
    pub(super) past: &'a [f64],
    /// Replicas asked for.
    pub(super) spec: u32,
    /// Replicas that are ready.
    pub(super) ready: u32,
}

impl View<'_> {
    /// The step that begins now.
    pub(super) fn step(&self) -> usize {
        self.past.len()
    }

    /// The metric: the mean of the four steps before the last two, 60 s that ended 30 s ago. `None` at the
    /// beginning and where a part of it is not known.
    pub(super) fn metric(&self) -> Option<f64> {
        let end = self.step().checked_sub(2)?;
        let window = self.past.get(end.checked_sub(4)?..end)?;
        let mean = window.iter().sum::<f64>() / 4.0;
        mean.is_finite().then_some(mean)
    }

    /// Now, on the clock of the simulation.
    pub(super) fn now(&self) -> Mono {
        Mono(STEP.saturating_mul(u32::try_from(self.step()).unwrap_or(u32::MAX)))
    }
}

/// Something that decides on replicas.
pub(super) trait Scaler {
    /// Replicas to ask for from this step on.
    fn decide(&mut self, view: &View<'_>) -> u32;

    /// What it expects, of the one that forecasts.
    fn forecast(&self) -> Option<Forecast> {
        None
    }

    /// Errors of its forecast of the load itself, from a Unix minute on, as ratios to those of the last value: 15 and
    /// 60 minutes ahead.
    fn wape(&self, _from: i64) -> [Option<f64>; 2] {
        [None; 2]
    }
}

/// The HPA on one external metric with an `AverageValue` target.
pub(super) struct HpaScaler {
    hpa: hpa::Hpa,
    per_replica: f64,
}

impl HpaScaler {
    pub(super) fn new(target: f64, capacity: f64, bounds: Bounds) -> Self {
        Self { hpa: hpa::Hpa::new(bounds, hpa_default()), per_replica: target * capacity }
    }
}

impl Scaler for HpaScaler {
    fn decide(&mut self, view: &View<'_>) -> u32 {
        let wanted = view
            .metric()
            .map(|metric| trigger::average_value(metric, self.per_replica, view.spec, Tolerances::default()));
        self.hpa.step(view.spec, &[wanted], view.now())
    }
}

/// HPA's default behaviour: up by 100 % or 4 replicas in 15 s, down at once after 300 s.
fn hpa_default() -> Behaviour {
    let rule = |amount| RateRule { amount, period: STEP };
    let rules = |seconds, policies| Rules {
        stabilization_window: std::time::Duration::from_secs(seconds),
        policies,
        select: Select::Max,
        tolerance: None,
        max_step: None,
        dwell: std::time::Duration::ZERO,
    };
    Behaviour {
        up: rules(0, vec![rule(Amount::Percent(100)), rule(Amount::Replicas(4))]),
        down: rules(300, vec![rule(Amount::Percent(100))]),
    }
}

/// CudgX's redundancy keeper: asked once a minute, of the redundancy of the last minute, and not while replicas are
/// being started.
pub(super) struct CudgxScaler {
    rule: cudgx::Rule,
    capacity: f64,
}

/// Steps of a minute.
const MINUTE: usize = (60 / STEP_SECONDS) as usize;

impl CudgxScaler {
    pub(super) const fn new(rule: cudgx::Rule, capacity: f64) -> Self {
        Self { rule, capacity }
    }
}

impl Scaler for CudgxScaler {
    fn decide(&mut self, view: &View<'_>) -> u32 {
        let Some(last) = view.step().checked_sub(MINUTE).and_then(|from| view.past.get(from..)) else {
            return view.spec;
        };
        if !view.step().is_multiple_of(MINUTE) || view.ready != view.spec {
            return view.spec;
        }
        let redundancies: Vec<f64> =
            last.iter().map(|load| f64::from(view.ready) * self.capacity / load).collect();
        self.rule.step(view.spec, &redundancies)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("loadline")]
    #[case("loadline:0.95")]
    #[case("hpa:0.7")]
    #[case("cudgx:100-300/30")]
    fn a_strategy_is_called_as_it_was_asked_for(#[case] text: &str) {
        assert_eq!(text.parse::<Strategy>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("vpa")]
    #[case("hpa")]
    #[case("hpa:0")]
    #[case("hpa:70")]
    #[case("hpa:NaN")]
    #[case("loadline:1")]
    #[case("loadline:")]
    #[case("cudgx:300-100/30")]
    #[case("cudgx:100-300")]
    #[case("cudgx:100-300/0")]
    fn what_is_no_strategy_is_refused_with_the_way_to_write_one(#[case] text: &str) {
        let error = text.parse::<Strategy>().unwrap_err().to_string();
        assert!(error.contains("for example loadline:0.95, hpa:0.7"), "{error}");
    }

    #[test]
    fn the_metric_is_the_mean_of_sixty_seconds_that_ended_thirty_seconds_ago() {
        let past = [1.0, 2.0, 3.0, 4.0, 100.0, 200.0];
        let view = |past| View { past, spec: 2, ready: 2 };
        assert_eq!(view(&past).metric(), Some(2.5));
        assert_eq!(view(&past[..5]).metric(), None);
        let gap = [1.0, f64::NAN, 3.0, 4.0, 5.0, 6.0, 7.0];
        assert_eq!(view(&gap[..6]).metric(), None);
    }
}
