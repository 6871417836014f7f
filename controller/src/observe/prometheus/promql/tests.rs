//! Tests of the policy's own PromQL: nothing leaves the namespace.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn enforce_in_shop(query: &str) -> Result<String, PromqlError> {
    enforce(query, &[("namespace", "shop")])
}

#[rstest]
#[case("x", r#"x{namespace="shop"}"#)]
#[case(r#"x{a="b"}"#, r#"x{a="b",namespace="shop"}"#)]
#[case(r#"x{namespace="shop"}"#, r#"x{namespace="shop"}"#)]
#[case(r#"x{namespace=~"sh.*"}"#, r#"x{namespace="shop"}"#)]
#[case(r#"{__name__="x"}"#, r#"{__name__="x",namespace="shop"}"#)]
#[case("sum(rate(x[1m]))", r#"sum(rate(x{namespace="shop"}[1m]))"#)]
#[case("x offset 5m", r#"x{namespace="shop"} offset 5m"#)]
#[case("max_over_time(sum(x)[5m:30s])", r#"max_over_time(sum(x{namespace="shop"})[5m:30s])"#)]
#[case("topk(scalar(y), x)", r#"topk(scalar(y{namespace="shop"}), x{namespace="shop"})"#)]
#[case("x or on () vector(0)", r#"x{namespace="shop"} or on () vector(0)"#)]
#[case("(x + y) / 2", r#"(x{namespace="shop"} + y{namespace="shop"}) / 2"#)]
#[case("time() % 60", "time() % 60")]
#[case("x @ 1700000000", r#"x{namespace="shop"} @ 1700000000.000"#)]
#[case("x @ end() offset -1h", r#"x{namespace="shop"} @ end() offset -1h"#)]
#[case(r#"x{q="a\"b\\c"}"#, r#"x{namespace="shop",q="a\"b\\c"}"#)]
#[case(
    "quantile(scalar(y), rate(a:b:rate5m[1m]))",
    r#"quantile(scalar(y{namespace="shop"}), rate(a:b:rate5m{namespace="shop"}[1m]))"#
)]
fn the_namespace_is_in_every_selector(#[case] query: &str, #[case] expected: &str) {
    assert_eq!(enforce_in_shop(query).as_deref(), Ok(expected));
}

#[rstest]
#[case(r#"x{namespace="bank"}"#)]
#[case(r#"x{namespace!="shop"}"#)]
#[case(r#"x{namespace=~"bank|till"}"#)]
#[case(r#"x{namespace!~"s.*"}"#)]
#[case(r#"sum(x) / sum(rate(y{namespace=""}[1m]))"#)]
fn a_matcher_that_excludes_the_own_namespace_is_refused(#[case] query: &str) {
    assert!(matches!(enforce_in_shop(query), Err(PromqlError::Foreign { .. })), "{query}");
    // lint, which does not know the namespace, lets it pass
    assert_eq!(check(query), Ok(()));
}

#[test]
fn at_a_source_of_several_clusters_the_own_one_is_in_every_selector_too() {
    let own = [("namespace", "shop"), ("cluster", "prod-eu")];
    assert_eq!(
        enforce(r#"sum(x) + sum(y{cluster=~"prod-.*"})"#, &own).as_deref(),
        Ok(r#"sum(x{cluster="prod-eu",namespace="shop"}) + sum(y{cluster="prod-eu",namespace="shop"})"#)
    );
    let foreign = enforce(r#"x{cluster="bank"}"#, &own).unwrap_err();
    assert!(
        matches!(&foreign, PromqlError::Foreign { own, .. } if own == r#"cluster="prod-eu""#),
        "{foreign}"
    );
}

#[rstest]
#[case(r#"{__name__=~".+"}"#, "MetricByPattern")]
#[case(r#"{__name__!="x",a="b"}"#, "MetricByPattern")]
#[case(r#"count({__name__=~"kube_.*"})"#, "MetricByPattern")]
#[case(r#"x{a="b" or namespace="bank"}"#, "OrMatchers")]
#[case("x[5m]", "NotANumber")]
#[case(r#""text""#, "NotANumber")]
#[case("sum(", "Syntax")]
#[case("rate(x)", "Syntax")]
#[case("nosuchfunction(x)", "Syntax")]
#[case("", "Syntax")]
#[case("info(x)", "HiddenSelector")]
fn what_cannot_be_a_trigger_is_refused(#[case] query: &str, #[case] reason: &str) {
    let error = check(query).unwrap_err();
    assert!(format!("{error:?}").starts_with(reason), "{query}: {error:?}");
}

#[test]
fn too_long_and_too_complex_queries_are_refused_before_they_are_parsed() {
    assert_eq!(check(&"x".repeat(5000)), Err(PromqlError::TooLong(5000)));
    // each of these once ended the stack of its thread
    let deep = format!("{}1{}", "(".repeat(1000), ")".repeat(1000));
    let chain = vec!["x"; 2000].join("+");
    let words = vec!["x"; 400].join(" unless ");
    for query in [deep, chain, words, format!("{}x", "-".repeat(4000))] {
        assert!(matches!(check(&query), Err(PromqlError::TooComplex(_))), "{query:.20}");
    }
}

#[test]
fn a_query_as_complex_as_allowed_passes() {
    for query in [
        vec!["x"; MAX_PARTS + 1].join("+"),
        vec!["x"; MAX_PARTS + 1].join(" Or "),
        format!("{}x{}", "(".repeat(MAX_PARTS), ")".repeat(MAX_PARTS)),
        format!("{}x", "-".repeat(MAX_PARTS)),
    ] {
        assert!(enforce_in_shop(&query).is_ok(), "{query:.20}: {:?}", check(&query));
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    let queries =
        [r#"x{namespace="bank"}"#, r#"{__name__=~".+"}"#, r#"x{a="b" or c="d"}"#, "x[5m]", "sum(", "info(x)"];
    let said: Vec<String> =
        queries.iter().map(|q| format!("{q}: {}", enforce_in_shop(q).unwrap_err())).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_trigger_asks_for_its_value_and_for_the_times_of_what_it_reads() {
    let asked = ["sum(x) / sum(rate(y[1m] offset 1w)) + sum(x)", "time()", "scalar(x)"]
        .map(|q| trigger(q, &[("namespace", "shop")]).unwrap());
    assert_eq!(asked.each_ref().map(|q| q.selectors), [2, 0, 1]);
    for query in &asked {
        parser::parse(&query.promql).unwrap();
    }
    insta::assert_snapshot!(asked.map(|q| q.promql).join("\n"));
}

/// Any query of the kinds that people write, each with selectors of its own.
fn query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["x", "y_total", "a:b:rate5m", "http_requests_total"]);
    let matchers = prop::sample::select(vec![
        "",
        r#"{a="b"}"#,
        r#"{a=~"b.*",c!="d"}"#,
        r#"{quote="a\"b\\c"}"#,
        r#"{namespace="shop"}"#,
        r#"{namespace=~".+"}"#,
        r#"{le="+Inf", namespace!="bank"}"#,
    ]);
    let modifier = prop::sample::select(vec!["", " offset 5m", " @ 1700000000", " offset -1h"]);
    let instant = (name.clone(), matchers.clone(), modifier).prop_map(|(n, m, o)| format!("{n}{m}{o}"));
    let rated = (name, matchers).prop_map(|(n, m)| format!("rate({n}{m}[1m])"));
    let leaf = prop_oneof![instant, rated, Just("vector(1)".to_owned()), Just("vector(time())".to_owned())];
    leaf.prop_recursive(5, 32, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|q| format!("sum by (a, b) (vector(1) * on () group_left () ({q}))")),
            inner.clone().prop_map(|q| format!("({q})")),
            inner.clone().prop_map(|q| format!("-({q})")),
            inner.clone().prop_map(|q| format!("max_over_time(({q})[10m:1m])")),
            inner.clone().prop_map(|q| format!("clamp_min({q}, 0)")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) + on (a) ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("quantile(scalar(vector(1) + {a}), {b})")),
        ]
    })
}

proptest! {
    // one case parses a query three times, which a debug build does in milliseconds
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_generator_makes_queries_that_pass(queries in prop::collection::vec(query(), 8)) {
        // a generator that makes nothing valid would prove nothing
        prop_assert!(queries.iter().any(|q| enforce_in_shop(q).is_ok()), "{queries:#?}");
    }

    #[test]
    fn any_query_that_passes_has_the_matcher_in_every_selector(query in query()) {
        let Ok(enforced) = enforce_in_shop(&query) else { return Ok(()) };
        let mut expr = parser::parse(&enforced).unwrap();
        let mut seen = 0;
        selectors(&mut expr, &mut |s| {
            seen += 1;
            let own: Vec<String> = s
                .matchers
                .matchers
                .iter()
                .filter(|m| m.name == "namespace")
                .map(ToString::to_string)
                .collect();
            assert_eq!(own, [r#"namespace="shop""#], "{enforced}");
            Ok(())
        })
        .unwrap();
        // every opening brace is one of the selectors: none was left out of the walk
        let braces = enforced.replace("\\\"", "").split('"').step_by(2).collect::<String>().matches('{').count();
        prop_assert_eq!(seen, braces);
        // and enforcing twice changes nothing
        prop_assert_eq!(enforce_in_shop(&enforced), Ok(enforced));
    }

    #[test]
    fn no_text_at_all_makes_the_check_panic(text in "\\PC{0,60}") {
        drop(enforce_in_shop(&text));
    }
}
