//! Recorded answers to triggers, and budgets.

use rstest::rstest;

use super::*;
use crate::config::Config;

const SYNC: Duration = Duration::from_secs(5);
const TWO_SCRAPES: Duration = Duration::from_secs(30);

/// An answer of the query API with these `(part, value)` series, evaluated at 1000 s.
fn answer(series: &[(&str, &str)]) -> String {
    let rows: Vec<String> = series
        .iter()
        .map(|(part, value)| format!(r#"{{"metric":{{"loadline_part":"{part}"}},"value":[1000,"{value}"]}}"#))
        .collect();
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, rows.join(","))
}

#[test]
fn a_trigger_is_as_old_as_the_samples_that_it_reads() {
    let series = [("value", "42"), ("0", "999"), ("1", "990.5"), ("2", "998")];
    let reading = number(answer(&series).as_bytes(), 3, TWO_SCRAPES).unwrap();
    assert!((reading.value - 42.0).abs() < f64::EPSILON);
    assert_eq!(reading.observed_at.as_millisecond(), 990_500);
    // a query that reads nothing is of its own time
    let reading = number(answer(&[("value", "7")]).as_bytes(), 0, TWO_SCRAPES).unwrap();
    assert_eq!(reading.observed_at.as_second(), 1000);
}

#[rstest]
#[case::nothing(&[], Doubt::EmptyVector)]
#[case::only_times(&[("0", "999")], Doubt::EmptyVector)]
#[case::not_a_number(&[("value", "NaN"), ("0", "999")], Doubt::NotANumber)]
#[case::infinite(&[("value", "+Inf"), ("0", "999")], Doubt::Infinite)]
#[case::negative(&[("value", "-1"), ("0", "999")], Doubt::Negative)]
#[case::stale(&[("value", "1"), ("0", "900")], Doubt::Stale { age: Duration::from_secs(100) })]
#[case::all_that_it_reads_is_gone(&[("value", "0")], Doubt::AbsentSeries)]
#[case::several(
    &[("value", "1"), ("value", "2"), ("0", "999")],
    Doubt::WrongShape("2 series where one number is needed; put the query into sum(…) or max(…)".into())
)]
fn what_is_no_single_fresh_number_is_a_doubt(#[case] series: &[(&str, &str)], #[case] doubt: Doubt) {
    assert_eq!(number(answer(series).as_bytes(), 1, TWO_SCRAPES), Err(doubt));
}

#[test]
fn a_trigger_of_which_a_part_is_gone_is_no_number() {
    // `sum(x) + sum(y) or sum(x)`, and the exporter of y is dead
    let answer = answer(&[("value", "7"), ("0", "999")]);
    assert_eq!(number(answer.as_bytes(), 2, TWO_SCRAPES), Err(Doubt::AbsentSeries));
}

fn ask(policy: &str, queries: &[&str]) -> LoadAsk {
    let (namespace, name) = policy.split_once('/').unwrap();
    LoadAsk {
        policy: PolicyKey::new(namespace, name),
        target: loadline_policies::ids::Target::new("apps/v1", "Deployment", namespace, name),
        profile: "otel-http".into(),
        selector: crate::ports::SeriesSelector::Profile,
        detail: crate::ports::Detail::default(),
        expected: BTreeMap::new(),
        triggers: queries.iter().enumerate().map(|(i, q)| (format!("t{i}"), (*q).to_owned())).collect(),
    }
}

#[test]
fn what_is_over_budget_is_refused_by_name_and_the_rest_is_asked() {
    let budget = TriggerBudget { max_per_policy: 2, max_per_namespace: 3, ..Config::default().triggers };
    let triggers = Triggers::new(budget, &[], SYNC);
    let asks = [ask("shop/b", &["x", "y", "z"]), ask("shop/a", &["x", "y"]), ask("bank/a", &["x"])];
    let (refused, asked) = triggers.prepare(&asks);
    let mut asked: Vec<String> = asked.iter().map(|((p, t), _)| format!("{p} {t}")).collect();
    asked.sort();
    // shop/a comes first by name; of shop/b one trigger fits the namespace, and none beyond two the policy
    assert_eq!(asked, ["bank/a t0", "shop/a t0", "shop/a t1", "shop/b t0"]);
    let mut refused: Vec<String> =
        refused.iter().map(|((p, t), d)| format!("{p} {t}: {}", d.as_ref().unwrap_err())).collect();
    refused.sort();
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn a_query_that_leaves_its_namespace_is_refused_with_the_reason() {
    let triggers = Triggers::new(Config::default().triggers, &[], SYNC);
    let (_, asked) = triggers.prepare(&[ask("shop/a", &[r#"x{namespace="bank"}"#])]);
    let [(_, query)] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(
        matches!(&**query, Err(Doubt::QueryRefused(why)) if why.contains("namespace=\"shop\"")),
        "{query:?}"
    );
}

#[test]
fn a_query_to_a_global_source_stays_in_the_operators_own_cluster() {
    let config =
        Config::parse("cluster: prod-eu\nsources: [{name: a, url: 'http://a', clusterLabel: site}]").unwrap();
    let triggers = Triggers::new(config.triggers, &config.sources, SYNC);
    let (_, asked) = triggers.prepare(&[ask("shop/a", &["sum(x)", r#"x{site="bank"}"#])]);
    let [(_, own), (_, foreign)] = asked.as_slice() else { panic!("{asked:?}") };
    let own = own.as_ref().as_ref().unwrap();
    assert!(own.promql.contains(r#"sum(x{namespace="shop",site="prod-eu"})"#), "{}", own.promql);
    assert!(matches!(&**foreign, Err(Doubt::QueryRefused(_))), "{foreign:?}");
}

#[test]
fn triggers_are_asked_where_the_own_cluster_is_known() {
    let source = |text: &str| {
        let config = Config::parse(text).unwrap();
        Triggers::new(config.triggers, &config.sources, SYNC).source
    };
    let edge = "{name: edge, url: 'http://e', cluster: edge}";
    assert_eq!(source(&format!("sources: [{edge}, {{name: home, url: 'http://h'}}]")), Some(1));
    assert_eq!(source(&format!("sources: [{edge}]")), Some(0));
}

#[tokio::test]
async fn without_a_source_every_trigger_says_so() {
    let triggers = Triggers::new(Config::default().triggers, &[], SYNC);
    let answers = triggers.answers(triggers.ask(&[], &[ask("shop/a", &["x"])])).await;
    let doubts: Vec<_> = answers.values().collect();
    assert!(matches!(doubts.as_slice(), [Err(Doubt::NotConfigured(_))]), "{doubts:?}");
}
