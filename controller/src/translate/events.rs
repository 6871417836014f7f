//! Events: known multiples of the usual load.

use loadline_crds::elastic_policy as api;
use loadline_policies::policy::Event;

use super::{complaint::Complaints, numbers::all};

/// The most that a load is believed to be multiplied by; more is a slip of the pen.
const MOST: f64 = 100.0;

/// All events of a policy.
pub(super) fn events(events: &[api::Event], c: &mut Complaints) -> Option<Vec<Event>> {
    super::policy::unique(events.iter().map(|e| e.name.as_str()), "spec.events", c);
    all(events.iter().enumerate().map(|(i, e)| event(e, &format!("spec.events[{i}]"), c)))
}

fn event(e: &api::Event, path: &str, c: &mut Complaints) -> Option<Event> {
    let api::Event { name, from, to, multiple } = e;
    let in_order = from.0 < to.0;
    if !in_order {
        c.add::<()>(
            format!("{path}.to"),
            format!("the event is over at {}, before it begins at {}", to.0, from.0),
            "let to be later than from",
        );
    }
    if !(1.0..=MOST).contains(multiple) {
        return c.add(
            format!("{path}.multiple"),
            format!("{multiple} is no multiple of the usual load"),
            "write a number from 1 to 100, for example 3 for three times the usual load",
        );
    }
    in_order.then(|| Event { name: name.clone(), from: from.0, to: to.0, multiple: *multiple })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(yaml: &str) -> Vec<String> {
        let event: api::Event = serde_yaml::from_str(yaml).unwrap();
        let mut c = Complaints::default();
        let parsed = events(&[event], &mut c);
        let complaints: Vec<_> = c.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(parsed.is_some(), complaints.is_empty());
        complaints
    }

    #[test]
    fn an_event_has_an_end_after_its_beginning_and_a_multiple_that_can_be_meant() {
        let event = |from: &str, to: &str, multiple: &str| {
            complaints(&format!("{{name: sale, from: '{from}', to: '{to}', multiple: {multiple}}}"))
        };
        let (begin, end) = ("2026-11-27T08:00:00Z", "2026-11-28T00:00:00+01:00");
        assert_eq!(event(begin, end, "3"), [""; 0]);
        assert!(event(end, begin, "3")[0].starts_with("spec.events[0].to: "));
        for multiple in ["0.5", "101", ".nan"] {
            assert!(event(begin, end, multiple)[0].starts_with("spec.events[0].multiple: "), "{multiple}");
        }
    }
}
