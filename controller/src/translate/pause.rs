//! The pause annotations: how a person holds a workload without editing its policy.

use std::collections::BTreeMap;

use loadline_policies::policy::Pause;

use super::{MAX_REPLICAS, complaint::Complaints};

/// `"true"`: no writes; the recommendation is still shown.
const PAUSED: &str = "loadline.dev/paused";
/// `"true"`: nothing is removed.
const SCALE_IN: &str = "loadline.dev/paused-scale-in";
/// `"true"`: nothing is added.
const SCALE_OUT: &str = "loadline.dev/paused-scale-out";
/// A number: hold exactly so many.
const REPLICAS: &str = "loadline.dev/paused-replicas";

/// Every annotation of an `ElasticPolicy` that Loadline reads.
pub const ANNOTATIONS: [&str; 4] = [PAUSED, SCALE_IN, SCALE_OUT, REPLICAS];

/// Reads the annotations.
///
/// A value that is neither `true` nor `false` makes the policy invalid, so nothing is written: whoever
/// wrote `yes` in a hurry wanted a stop, and sees at once how to write it.
pub(super) fn pause(annotations: Option<&BTreeMap<String, String>>, c: &mut Complaints) -> Option<Pause> {
    let Some(annotations) = annotations else { return Some(Pause::default()) };
    let mut flag = |name: &str| match annotations.get(name).map(|v| v.trim()) {
        None | Some("false") => Some(false),
        Some("true") => Some(true),
        Some(other) => c.add(
            path(name),
            format!("{other:?} is neither \"true\" nor \"false\", and nothing is written until it is"),
            format!("write {name}: \"true\" to pause, or remove the annotation"),
        ),
    };
    let (all, scale_in, scale_out) = (flag(PAUSED), flag(SCALE_IN), flag(SCALE_OUT));
    let replicas = match annotations.get(REPLICAS).map(|v| v.trim()) {
        None => Some(None),
        Some(text) => match text.parse::<u32>() {
            Ok(n) if n <= MAX_REPLICAS => Some(Some(n)),
            _ => c.add(
                path(REPLICAS),
                format!("{text:?} is not a number of replicas, and nothing is written until it is"),
                format!("give a whole number from 0 to {MAX_REPLICAS}, or remove the annotation"),
            ),
        },
    };
    Some(Pause { all: all?, scale_in: scale_in?, scale_out: scale_out?, replicas: replicas? })
}

fn path(name: &str) -> String {
    format!("metadata.annotations[{name}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Pause, Vec<String>> {
        let map = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut c = Complaints::default();
        pause(Some(&map), &mut c).ok_or_else(|| c.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_annotation_pauses_its_own_part() {
        assert_eq!(read(&[(PAUSED, "true")]), Ok(Pause { all: true, ..Pause::default() }));
        assert_eq!(read(&[(SCALE_IN, "true")]), Ok(Pause { scale_in: true, ..Pause::default() }));
        assert_eq!(read(&[(SCALE_OUT, "true")]), Ok(Pause { scale_out: true, ..Pause::default() }));
        assert_eq!(read(&[(REPLICAS, "7")]), Ok(Pause { replicas: Some(7), ..Pause::default() }));
        assert_eq!(read(&[(PAUSED, "false"), ("other/paused", "true")]), Ok(Pause::default()));
    }

    #[test]
    fn a_value_that_is_no_flag_is_refused_with_the_way_to_write_it() {
        let complaints = read(&[(PAUSED, "yes"), (REPLICAS, "-3")]).unwrap_err();
        assert_eq!(complaints.len(), 2, "both are named: {complaints:?}");
        assert!(complaints[0].contains("write loadline.dev/paused: \"true\""), "{complaints:?}");
        assert!(complaints[1].contains("whole number from 0"), "{complaints:?}");
    }
}
