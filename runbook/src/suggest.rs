//! Did-you-mean: the known word nearest to a written one, when it is near enough to be meant.

/// The nearest of the known words, when at most a third of the written one's characters differ.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (written.chars().count() / 3).max(1);
    let lower = written.to_lowercase();
    known
        .into_iter()
        .filter_map(|word| {
            let distance = strsim::damerau_levenshtein(&lower, &word.to_lowercase());
            (distance <= most && distance < lower.chars().count() && !word.is_empty())
                .then_some((distance, word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// ``did you mean `word`?``, when there is one.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(written, known).map(|word| format!("did you mean `{word}`?"))
}

/// ``did you mean `word`?``, else the known words, of many the first [`LISTED_MAX`].
pub fn did_you_mean_or_list<'a, I>(written: &str, known: I, what: &str) -> Option<String>
where
    I: IntoIterator<Item = &'a str> + Clone,
{
    if let Some(hint) = did_you_mean(written, known.clone()) {
        return Some(hint);
    }
    let mut words = known.into_iter();
    let listed: Vec<String> = words
        .by_ref()
        .take(LISTED_MAX)
        .map(|word| format!("`{word}`"))
        .collect();
    if listed.is_empty() {
        return None;
    }
    let more = words.count();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(format!("{what}: {}{rest}", listed.join(", ")))
}

/// How many known words a hint lists.
pub const LISTED_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_meant_and_far_ones_are_not() {
        let known = ["expect", "effect", "each"];
        assert_eq!(nearest("expct", known), Some("expect"));
        assert_eq!(nearest("Effect", known), Some("effect"));
        assert_eq!(nearest("eahc", known), Some("each"));
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(
            did_you_mean_or_list("zzz", known, "keys").as_deref(),
            Some("keys: `expect`, `effect`, `each`")
        );
    }
}
