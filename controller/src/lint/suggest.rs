//! "Did you mean …?"

/// The name that was probably meant: the nearest, if it is near.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let low = wrong.to_lowercase();
    let distance = |name: &str| {
        let name = name.to_lowercase();
        // `stabilizationWindowSeconds` for `stabilizationWindow`: one starts with the other.
        if name.len() >= 4 && low.len() >= 4 && (low.starts_with(&name) || name.starts_with(&low)) {
            return 1;
        }
        strsim::damerau_levenshtein(&low, &name)
    };
    let limit = (wrong.chars().count() / 3).max(1);
    known.map(|name| (distance(name), name)).min().filter(|(d, _)| *d <= limit).map(|(_, name)| name)
}

/// How to fix a name: the one that was probably meant, or all of them.
pub(super) fn fix<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_recognised_and_another_word_is_not() {
        let known = ["behaviour", "bounds", "stabilizationWindow", "min", "max"];
        let guess = |wrong| nearest(wrong, known.into_iter());
        assert_eq!(guess("behavior"), Some("behaviour"));
        assert_eq!(guess("Bounds"), Some("bounds"));
        assert_eq!(guess("stabilizationWindowSeconds"), Some("stabilizationWindow"));
        assert_eq!(guess("minimum"), None);
        assert_eq!(guess("replicas"), None);
    }
}
