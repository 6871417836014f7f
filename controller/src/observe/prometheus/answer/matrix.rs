//! The answer to a range query: each series with its samples, handed on one series at a time.

use super::{
    Cow, DeserializeSeed, Deserializer, Doubt, IgnoredAny, Labels, MapAccess, Pair, Sample, SeqAccess,
};
use super::{Visitor, de, fmt, open};

/// Parses the answer to a range query, and calls `series` with the wanted labels and the samples of each series. An
/// answer is as long as the time that it is of: no more than one of its series is held decoded.
///
/// # Errors
/// As [`super::parse`]. What was handed on before a doubt is of an answer that is not whole: it must not be used.
pub(in crate::observe::prometheus) fn parse(
    body: &[u8],
    columns: &[String],
    mut series: impl FnMut(&[Cow<'_, str>], &[Sample]),
) -> Result<(), Doubt> {
    open(body, Data { columns, series: &mut series })
}

/// `{"resultType": "matrix", "result": […]}`.
struct Data<'c, F> {
    columns: &'c [String],
    series: &'c mut F,
}

impl<'de, F: FnMut(&[Cow<'_, str>], &[Sample])> DeserializeSeed<'de> for Data<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&[Cow<'_, str>], &[Sample])> Visitor<'de> for Data<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result with its type")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let (mut kind, mut read) = (None, false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "resultType" => kind = Some(map.next_value::<Cow<'de, str>>()?),
                "result" => {
                    map.next_value_seed(AllSeries { columns: self.columns, series: &mut *self.series })?;
                    read = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match kind.as_deref() {
            Some("matrix") if read => Ok(()),
            Some("matrix") => Err(de::Error::missing_field("result")),
            Some(other) => Err(de::Error::custom(format_args!("a {other} where a matrix was asked"))),
            None => Err(de::Error::missing_field("resultType")),
        }
    }
}

struct AllSeries<'c, F> {
    columns: &'c [String],
    series: &'c mut F,
}

impl<'de, F: FnMut(&[Cow<'_, str>], &[Sample])> DeserializeSeed<'de> for AllSeries<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&[Cow<'_, str>], &[Sample])> Visitor<'de> for AllSeries<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut samples = Vec::new();
        while let Some(labels) =
            seq.next_element_seed(Series { columns: self.columns, samples: &mut samples })?
        {
            (self.series)(&labels, &samples);
        }
        Ok(())
    }
}

/// `{"metric": {…}, "values": [[time, "value"], …]}`: its labels, and its samples in the place for them.
struct Series<'c, 's> {
    columns: &'c [String],
    samples: &'s mut Vec<Sample>,
}

impl<'de> DeserializeSeed<'de> for Series<'_, '_> {
    type Value = Vec<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Series<'_, '_> {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut labels = vec![Cow::Borrowed(""); self.columns.len()];
        self.samples.clear();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "metric" => map.next_value_seed(Labels { columns: self.columns, cells: &mut labels })?,
                "values" => map.next_value_seed(Samples(&mut *self.samples))?,
                "histograms" => {
                    return Err(de::Error::custom("native histograms where numbers were asked"));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(labels)
    }
}

struct Samples<'s>(&'s mut Vec<Sample>);

impl<'de> DeserializeSeed<'de> for Samples<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Samples<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of samples")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while let Some(Pair(sample)) = seq.next_element()? {
            self.0.push(sample);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    type Named = (String, Vec<(f64, f64)>);

    fn read(body: &str) -> Result<Vec<Named>, Doubt> {
        let columns = ["app".to_owned(), "zone".to_owned()];
        let mut all = Vec::new();
        parse(body.as_bytes(), &columns, |labels, samples| {
            all.push((labels.join("/"), samples.iter().map(|s| (s.at, s.value)).collect()));
        })?;
        Ok(all)
    }

    #[test]
    fn every_series_comes_with_its_wanted_labels_and_its_own_samples() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"app":"cart","pod":"x"},"values":[[60,"1.5"],[120.5,"+Inf"]]},
            {"values":[[60,"2"]],"metric":{"zone":"b","app":"web"}},
            {"metric":{},"values":[]}]},"infos":["PromQL info: whatever"]}"#;
        assert_eq!(
            read(body).unwrap(),
            [
                ("cart/".to_owned(), vec![(60.0, 1.5), (120.5, f64::INFINITY)]),
                ("web/b".to_owned(), vec![(60.0, 2.0)]),
                ("/".to_owned(), vec![]),
            ]
        );
    }

    #[rstest]
    #[case::a_vector(
        r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        "a vector where a matrix"
    )]
    #[case::nothing(r#"{"status":"success"}"#, "no data in the answer")]
    #[case::a_word(
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
        "not a number"
    )]
    #[case::refused(r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#, "too many samples")]
    #[case::partial(
        r#"{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["one store is away"]}"#,
        "one store is away"
    )]
    #[case::cut(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric""#, "EOF")]
    fn what_is_not_a_whole_matrix_is_a_doubt(#[case] body: &str, #[case] says: &str) {
        let doubt = read(body).unwrap_err().to_string();
        assert!(doubt.contains(says), "{doubt}");
    }
}
