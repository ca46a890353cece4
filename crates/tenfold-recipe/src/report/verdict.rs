//! The verdict: what happened, in plain sentences made from the numbers. It says what was lost as plainly as
//! what was gained.

use super::number::{bytes, count, fixed, percent, signed, similarity, times};
use super::section::study;
use super::{Report, Variant};

/// Sizes that differ by less than this share count as equal.
const SAME_SIZE: f64 = 0.02;

/// Differences of mean cosine below this are no difference.
const SAME_COSINE: f64 = 0.0005;

/// The report's own sentences, or composed ones where it has none.
pub(crate) fn sentences(report: &Report) -> Vec<String> {
    if !report.verdict.is_empty() {
        return report.verdict.clone();
    }
    let Some(chosen) = report.chosen() else { return study::sentences(report) };
    // What was trained and not rewritten has the size that it had.
    let resized = report.rewrites() || report.masked.is_empty();
    [
        size(report, chosen).filter(|_| resized),
        language(report),
        masked(report),
        fidelity(report, chosen),
        comparison(report, chosen),
        task(report, chosen),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn size(report: &Report, chosen: &Variant) -> Option<String> {
    let original = &report.original;
    if original.bytes == 0 || chosen.bytes == 0 {
        return None;
    }
    let name = match original.name.strip_prefix("new:") {
        Some(fresh) => format!("A new {fresh},"),
        None if original.name.is_empty() => "The model".to_owned(),
        None => original.name.clone(),
    };
    let (before, after) = (original.bytes as f64, chosen.bytes as f64);
    let change = if after < before * (1.0 - SAME_SIZE) {
        format!("is now {} times smaller", times(before / after))
    } else if after > before * (1.0 + SAME_SIZE) {
        format!("is now {} times larger", times(after / before))
    } else {
        "is about as large as before".to_owned()
    };
    let parameters = format!("{} of {} parameters", count(chosen.parameters), count(original.parameters));
    Some(format!(
        "{name} {change}: {} instead of {}, {parameters}.",
        bytes(chosen.bytes),
        bytes(original.bytes)
    ))
}

fn masked(report: &Report) -> Option<String> {
    let (first, last) = (&report.masked.first()?.found, &report.masked.last()?.found);
    Some(format!(
        "Of {} hidden tokens it guesses {} right, with a loss of {} nats; before, {} and {}.",
        count(last.tokens as u64),
        percent(last.right),
        fixed(last.loss, 3),
        percent(first.right),
        fixed(first.loss, 3)
    ))
}

fn language(report: &Report) -> Option<String> {
    let (first, last) = (&report.language.first()?.found, &report.language.last()?.found);
    let (flipped, divergence) = (last.flipped?, last.divergence?);
    Some(format!(
        "Its perplexity is {} where the original\u{2019}s is {}; {} of its likeliest next tokens are others, and its distribution \
         diverges by {} nats per token.",
        fixed(last.perplexity, 2),
        fixed(first.perplexity, 2),
        percent(flipped),
        fixed(divergence, 3)
    ))
}

fn fidelity(report: &Report, chosen: &Variant) -> Option<String> {
    let quality = chosen.quality()?;
    let mut sentence = format!(
        "Its sentence vectors have a mean cosine of {} with the original\u{2019}s, where 1 is unchanged",
        similarity(quality.mean_cosine)
    );
    if let (Some(_), Some(truncated)) = (&chosen.healed, &chosen.truncated) {
        sentence += &format!(
            "; before the short training that heals the cut it was {}",
            similarity(truncated.mean_cosine)
        );
    }
    if let Some(agreement) = quality.neighbor_agreement {
        sentence +=
            &format!("; {} of each text\u{2019}s ten nearest neighbors stayed the same", percent(agreement));
    }
    if !report.measured_on.is_empty() {
        sentence += &format!(" (measured on {})", report.measured_on);
    }
    Some(sentence + ".")
}

fn comparison(report: &Report, chosen: &Variant) -> Option<String> {
    let (rival, cosine) = report.rival()?;
    let difference = chosen.quality()?.mean_cosine - cosine;
    let equal = (rival.bytes as f64 / chosen.bytes as f64 - 1.0).abs() < SAME_SIZE;
    let place = if equal { "At the same size".to_owned() } else { format!("With {}", bytes(rival.bytes)) };
    let outcome = match difference {
        _ if !difference.is_finite() => return None,
        _ if difference.abs() < SAME_COSINE => "the chosen form does no better and no worse".to_owned(),
        _ if difference > 0.0 => {
            format!("the chosen form is ahead by {}", signed(difference, 3).replace('+', ""))
        }
        _ => format!("the chosen form is behind by {}", signed(-difference, 3).replace('+', "")),
    };
    let name = if report.variants.len() > 2 {
        format!("the best comparison ({})", rival.name)
    } else {
        rival.name.clone()
    };
    Some(format!("{place}, {name} reaches {}: {outcome}.", similarity(cosine)))
}

fn task(report: &Report, chosen: &Variant) -> Option<String> {
    let (before, after) = (report.original.stsb?, chosen.quality()?.stsb?);
    let (before, after) = (fixed(before, 1), fixed(after, 1));
    Some(format!(
        "On STS-B, where people judged how similar sentences are, it scores {after}; the original {before}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Original, Quality};

    fn variant(name: &str, bytes: u64, truncated: f64, healed: f64) -> Variant {
        let quality = |mean_cosine| Some(Quality { mean_cosine, ..Quality::default() });
        let (truncated, healed) = (quality(truncated), quality(healed));
        Variant {
            name: name.to_owned(),
            parameters: bytes / 4,
            bytes,
            truncated,
            healed,
            ..Variant::default()
        }
    }

    fn report(variants: Vec<Variant>) -> Report {
        let original = Original { parameters: 250, bytes: 1000, ..Original::default() };
        Report { original, variants, ..Report::default() }
    }

    #[test]
    fn a_gain_and_its_price() {
        let said = sentences(&report(vec![variant("auto", 500, 0.9, 0.98), variant("svd", 505, 0.9, 0.97)]));
        assert!(
            said[0].contains("2.0 times smaller") && said[0].contains("500\u{a0}B instead of 1.00\u{a0}kB"),
            "{said:?}"
        );
        assert!(said[1].contains("0.980") && said[1].contains("it was 0.900"), "{said:?}");
        assert_eq!(said[2], "At the same size, svd reaches 0.970: the chosen form is ahead by 0.010.");
    }

    #[test]
    fn a_defeat_is_said() {
        let rivals = vec![
            variant("auto", 500, 0.9, 0.95),
            variant("svd", 700, 0.9, 0.97),
            variant("mpo", 500, 0.5, 0.6),
        ];
        let said = sentences(&report(rivals));
        assert_eq!(
            said[2],
            "With 700\u{a0}B, the best comparison (svd) reaches 0.970: the chosen form is behind by 0.020."
        );
    }

    #[test]
    fn growth_and_nothing() {
        assert!(sentences(&report(vec![variant("auto", 3000, 0.9, 0.95)]))[0].contains("3.0 times larger"));
        assert!(sentences(&report(vec![variant("auto", 1001, 1.0, 1.0)]))[0].contains("as large as before"));
        let original = Original { name: "new:bert, seed 9".to_owned(), bytes: 1000, ..Original::default() };
        let fresh = Report { original, variants: vec![variant("r", 500, 0.9, 0.9)], ..Report::default() };
        assert!(sentences(&fresh)[0].starts_with("A new bert, seed 9, is now 2.0 times smaller"));
        assert!(sentences(&Report::default()).is_empty());
        let own = Report { verdict: vec!["Mine.".to_owned()], ..report(vec![variant("auto", 3, 0.9, 0.9)]) };
        assert_eq!(sentences(&own), ["Mine."]);
    }

    #[test]
    fn broken_numbers_are_said_to_be_broken() {
        let said =
            sentences(&report(vec![variant("auto", 500, 0.9, f64::NAN), variant("svd", 500, 0.9, 0.97)]));
        assert!(said[1].contains("not finite") && said.len() == 2, "{said:?}");
    }
}
