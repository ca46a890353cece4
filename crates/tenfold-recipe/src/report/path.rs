//! Dotted paths for people: in natural order, without what all have in common, and grouped over layers.

/// A sort key in which `layer.10` comes after `layer.2`.
pub(crate) fn natural(path: &str) -> Vec<(u64, &str)> {
    // Numbers sort before words by their value; words have the largest number.
    path.split('.')
        .map(|segment| segment.parse().map_or((u64::MAX, segment), |number| (number, "")))
        .collect()
}

/// The path with every number replaced by `*`: equal for the same weight of all layers.
pub(crate) fn group(path: &str) -> String {
    let star = |segment: &str| if is_number(segment) { "*".to_owned() } else { segment.to_owned() };
    path.split('.').map(star).collect::<Vec<_>>().join(".")
}

/// The paths without the leading segments that all share, and without `.weight` at the end where all have it.
/// At least one segment remains of each.
pub(crate) fn shortened<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let all_weights =
        paths.iter().all(|path| path.strip_suffix(".weight").is_some_and(|rest| !rest.is_empty()));
    let strip = |path: &'a str| if all_weights { path.strip_suffix(".weight").unwrap_or(path) } else { path };
    let bare: Vec<&str> = paths.iter().map(|path| strip(path)).collect();
    let Some(first) = bare.first().filter(|_| bare.len() > 1) else { return bare };
    let mut cut = 0;
    for (at, _) in first.match_indices('.') {
        if bare.iter().all(|path| path.starts_with(&first[..=at])) {
            cut = at + 1;
        }
    }
    bare.into_iter().map(|path| &path[cut..]).collect()
}

/// The text cut to `letters`, its start replaced by an ellipsis: a path's end says most.
pub(crate) fn ending(text: &str, letters: usize) -> String {
    let length = text.chars().count();
    if length <= letters {
        return text.to_owned();
    }
    let tail: String = text.chars().skip(length + 1 - letters.max(1)).collect();
    format!("\u{2026}{tail}")
}

/// The path without as many leading segments as it takes to fit `letters`, an ellipsis in their place. A last
/// segment that is too long keeps its end.
pub(crate) fn tail(path: &str, letters: usize) -> String {
    let mut rest = path;
    while rest.chars().count() + usize::from(rest.len() < path.len()) > letters {
        match rest.split_once('.') {
            Some((_, shorter)) => rest = shorter,
            None => return ending(rest, letters),
        }
    }
    if rest.len() < path.len() { format!("\u{2026}{rest}") } else { rest.to_owned() }
}

fn is_number(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_in_counting_order() {
        let mut paths = ["l.10.a", "l.2.b", "l.2.a", "embeddings"];
        paths.sort_by_key(|path| natural(path));
        assert_eq!(paths, ["embeddings", "l.2.a", "l.2.b", "l.10.a"]);
    }

    #[test]
    fn numbers_become_stars() {
        assert_eq!(group("encoder.layer.11.output.dense.weight"), "encoder.layer.*.output.dense.weight");
        assert_eq!(group(""), "");
    }

    #[test]
    fn common_ends_are_left_out() {
        assert_eq!(shortened(&["a.b.0.x.weight", "a.b.1.y.weight"]), ["0.x", "1.y"]);
        assert_eq!(shortened(&["a.b.weight", "a.b.bias"]), ["weight", "bias"]);
        assert_eq!(shortened(&["a.weight", "a.weight"]), ["a", "a"]);
        assert_eq!(shortened(&["only.one.weight"]), ["only.one"]);
        assert_eq!(shortened(&[".weight", "weight"]), [".weight", "weight"]);
        assert_eq!(shortened(&[]), [""; 0]);
    }

    #[test]
    fn tails_are_cut_at_dots() {
        assert_eq!(tail("encoder.layer.0.attention", 14), "\u{2026}0.attention");
        assert_eq!(tail("layer.0", 7), "layer.0");
        assert_eq!(tail("a.embedding", 5), "\u{2026}ding");
    }

    #[test]
    fn long_texts_keep_their_end() {
        assert_eq!(ending("attention.query", 6), "\u{2026}query");
        assert_eq!(ending("query", 5), "query");
        assert_eq!(ending("ab", 0), "\u{2026}");
    }
}
