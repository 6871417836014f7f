//! Recorded answers of the query API, and what each is taken for.

use rstest::rstest;

use super::*;

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn an_instant_vector_becomes_rows_of_the_wanted_labels() {
    // recorded from Prometheus 2.42
    let body = br#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"__name__":"up","instance":"a:1","job":"x \"y\""},"value":[1700000000.781,"1"]},
        {"metric":{"instance":"b:1"},"value":[1700000000,"NaN"]},
        {"metric":{"instance":"c:1","job":"z"},"value":[1700000000.5,"+Inf"]},
        {"metric":{"instance":"d:1","job":"z"},"value":[1700000000.5,"1.5e-05"]}]}}"#;
    let Ok(Answer::Vector(vector)) = parse(body, &columns(&["job", "instance"])) else { panic!() };
    let rows: Vec<(Vec<&str>, Sample)> =
        vector.rows().map(|(labels, s)| (labels.iter().map(|l| &**l).collect(), s)).collect();
    assert_eq!(rows[0], (vec!["x \"y\"", "a:1"], Sample { at: 1_700_000_000.781, value: 1.0 }));
    assert_eq!(rows[1].0, ["", "b:1"]);
    assert!(rows[1].1.value.is_nan());
    assert!(rows[2].1.value.is_infinite());
    assert!((rows[3].1.value - 1.5e-5).abs() < 1e-12);
}

#[test]
fn an_empty_vector_is_no_error_of_the_answer() {
    let body = br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let Ok(Answer::Vector(vector)) = parse(body, &[]) else { panic!() };
    assert!(vector.is_empty());
}

#[test]
fn rows_are_counted_also_where_no_label_is_wanted() {
    let body =
        br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#;
    let Ok(Answer::Vector(vector)) = parse(body, &[]) else { panic!() };
    assert_eq!(vector.rows().map(|(l, s)| (l.len(), s.value)).collect::<Vec<_>>(), [(0, 2.0)]);
}

#[test]
fn the_order_of_keys_does_not_matter() {
    let body =
        br#"{"data":{"result":[{"value":[1,"2"],"metric":{}}],"resultType":"vector"},"status":"success"}"#;
    let Ok(Answer::Vector(vector)) = parse(body, &[]) else { panic!() };
    assert_eq!(vector.len(), 1);
}

#[test]
fn a_scalar_is_a_number() {
    let body = br#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"42"]}}"#;
    assert_eq!(parse(body, &[]), Ok(Answer::Scalar(Sample { at: 1_700_000_000.0, value: 42.0 })));
}

#[rstest]
#[case::info(r#""infos":["PromQL info: metric might not be a counter"]"#)]
#[case::remark(r#""warnings":["PromQL warning: encountered a mix of histograms and floats"]"#)]
#[case::null(r#""warnings":null"#)]
#[case::none(r#""warnings":[]"#)]
fn remarks_about_the_query_do_no_harm(#[case] remark: &str) {
    let body = format!(r#"{{"status":"success",{remark},"data":{{"resultType":"vector","result":[]}}}}"#);
    assert!(parse(body.as_bytes(), &[]).is_ok());
}

#[test]
fn a_warning_that_something_is_missing_is_a_doubt_that_says_it() {
    let body = br#"{"status":"success","data":{"resultType":"vector","result":[]},
        "warnings":["PromQL info: x","remote_read: connection refused"]}"#;
    let Err(Doubt::WrongShape(why)) = parse(body, &[]) else { panic!("{:?}", parse(body, &[])) };
    assert!(why.contains("remote_read: connection refused"), "{why}");
}

#[rstest]
#[case::matrix(
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}"#
)]
#[case::matrix_rows(
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"values":[[1,"2"]]}]}}"#
)]
#[case::text(r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#)]
#[case::native_histogram(
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}"#
)]
#[case::no_value(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#)]
#[case::not_a_number(
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}"#
)]
#[case::no_result(r#"{"status":"success","data":{"resultType":"vector"}}"#)]
#[case::no_type(r#"{"status":"success","data":{"result":[]}}"#)]
#[case::an_empty_matrix_with_sorted_keys(
    r#"{"data":{"result":[],"resultType":"matrix"},"status":"success"}"#
)]
#[case::no_data(r#"{"status":"success"}"#)]
#[case::no_status(r#"{"data":{"resultType":"vector","result":[]}}"#)]
#[case::cut_off(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"#)]
#[case::two_answers(r#"{"status":"success","data":{"resultType":"vector","result":[]}} {}"#)]
#[case::a_login_page("<html>log in</html>")]
#[case::nothing("")]
#[case::partial(r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#)]
fn an_answer_of_another_shape_is_said_to_be_one(#[case] body: &str) {
    assert!(
        matches!(parse(body.as_bytes(), &[]), Err(Doubt::WrongShape(_))),
        "{:?}",
        parse(body.as_bytes(), &[])
    );
}

#[rstest]
#[case::refused("bad_data", "invalid parameter", Doubt::QueryRefused("bad_data: invalid parameter".into()))]
#[case::too_many("execution", "too many samples", Doubt::QueryRefused("execution: too many samples".into()))]
#[case::slow("timeout", "query timed out in expression evaluation", Doubt::TimedOut)]
fn an_error_in_the_body_keeps_its_cause(#[case] kind: &str, #[case] message: &str, #[case] doubt: Doubt) {
    let body = format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#);
    assert_eq!(parse(body.as_bytes(), &[]), Err(doubt));
    assert_eq!(error_of(body.as_bytes()), Some((kind.to_owned(), message.to_owned())));
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let said = cut(&"ü".repeat(400));
    assert_eq!(said.chars().count(), MESSAGE + 1);
}
