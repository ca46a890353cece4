//! The report page: well-formed, self-contained, and safe with any text and any numbers.

use tenfold_eval::prompt::PromptScore;
use tenfold_eval::{Language, Masked};
use tenfold_recipe::report::{
    Calibrated, Calibration, Fact, Foretold, Guessed, Latency, Lesson, Loss, Original, Plan, PlanRow,
    Provenance, Quality, Report, Spectrum, Squeeze, SqueezeRound, TaskScore, Variant,
};
use tenfold_recipe::{GaugeResult, RouterResult, Scores, UpdateResult, VariantResult};

/// Text that would break a page that did not escape it.
const HOSTILE: &str = "</style><script>alert('x')</script> \"quoted\" & <b>\u{0}\u{b}";

/// Checks that markup is well-formed XML: elements nest and close, attributes are quoted and unique, every
/// `&` starts one of the five entities that XML knows. Returns the ids and all elements' names.
fn check(page: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").ok_or("no doctype")?;
    let (mut open, mut ids, mut names) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start])?;
        let end = rest[start..].find('>').ok_or("a tag without an end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let last: Option<&str> = open.pop();
            if last != Some(name) {
                return Err(format!("{last:?} closed by {name:?}"));
            }
            continue;
        }
        let (tag, void) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        names.push(name.to_owned());
        for (key, value) in parse_attributes(attributes)? {
            check_text(value)?;
            if key == "id" {
                ids.push(value.to_owned());
            }
        }
        if !void {
            open.push(name);
        }
    }
    check_text(rest)?;
    if open.is_empty() { Ok((ids, names)) } else { Err(format!("left open: {open:?}")) }
}

fn parse_attributes(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").ok_or_else(|| format!("no value in {rest:?}"))?;
        let (value, after) = after.split_once('"').ok_or_else(|| format!("no end in {rest:?}"))?;
        let sound = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if !key.chars().all(sound) || found.iter().any(|known| known.0 == key) {
            return Err(format!("attribute {key:?}"));
        }
        found.push((key, value));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    Ok(found)
}

fn check_text(text: &str) -> Result<(), String> {
    if let Some(bad) = text.chars().find(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')) {
        return Err(format!("control character {bad:?}"));
    }
    for piece in text.split('&').skip(1) {
        if !["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| piece.starts_with(entity)) {
            return Err(format!("bare & before {:?}", piece.chars().take(12).collect::<String>()));
        }
    }
    Ok(())
}

#[track_caller]
fn assert_sound(report: &Report) -> String {
    let page = report.html();
    let (ids, names) = check(&page).unwrap_or_else(|fault| panic!("{fault}"));
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "ids repeat: {ids:?}");
    for active in ["script", "link", "img", "iframe", "object", "image", "use", "a"] {
        assert!(!names.iter().any(|name| name == active), "has <{active}>");
    }
    for outside in ["src=", "href=", "@import", "url(", "://", "NaN", "inf\""] {
        assert!(!page.contains(outside), "contains {outside}");
    }
    page
}

/// A report in which every text is hostile and every list has entries.
fn full(text: &str, value: f64) -> Report {
    let own = || text.to_owned();
    let quality = Some(Quality {
        mean_cosine: value,
        least_cosine: Some(value),
        neighbor_agreement: Some(value),
        stsb: Some(value),
    });
    let latency = Some(Latency { single_ms: value, batch_ms: value });
    let variant = |at: u64| Variant {
        name: format!("{text}{at}"),
        description: own(),
        parameters: at,
        bytes: 4 * at,
        truncated: quality,
        healed: quality,
        latency,
        seconds: Some(value),
        losses: vec![Loss { step: 0, loss: value }, Loss { step: 1, loss: value / 2.0 }],
        watched: vec![Loss { step: 1, loss: value }],
    };
    let row = |at: u64| PlanRow {
        path: format!("{text}.{at}.weight"),
        from: own(),
        to: format!("{text}{at}"),
        parameters_before: 10 * at,
        parameters_after: 5 * at,
        bytes_before: 40 * at,
        bytes_after: 20 * at,
        error: Some(value),
        trains: own(),
    };
    let spectrum = |at: usize| Spectrum {
        path: format!("{text}.{at}"),
        before: vec![value; at],
        after: vec![value; at / 2],
        cut: Some(at as u64 / 2),
        stable_rank_before: Some(value),
        stable_rank_after: Some(value),
        entropy_before: Some(value),
        entropy_after: Some(value),
    };
    Report {
        title: own(),
        notice: Some(own()),
        verdict: Vec::new(),
        original: Original { name: own(), parameters: 100, bytes: 400, latency, stsb: Some(value) },
        variants: (1..8).map(variant).collect(),
        tasks: vec![TaskScore { task: own(), metric: own(), healed: Some(value), ..TaskScore::default() }],
        language: vec![Foretold {
            model: own(),
            found: Language {
                perplexity: value,
                divergence: Some(value),
                flipped: Some(value),
                tokens: usize::MAX >> 1,
            },
        }],
        masked: vec![Guessed { model: own(), found: Masked { loss: value, right: value, tokens: 7 } }],
        study: (0..3).map(|at| studied(own(), value, at)).collect(),
        lesson: Lesson::default(),
        squeezes: vec![Squeeze {
            metric: own(),
            words: own(),
            rounds: (1..6).map(|at| SqueezeRound { parameters: 10 * at, score: value }).collect(),
        }],
        gauges: vec![GaugeResult {
            routers: (0..6)
                .map(|_| RouterResult {
                    path: own(),
                    steps: vec![10, 20, 30],
                    balance: vec![1.4, 1.2, value],
                    dropped: vec![0.1, value, 0.0],
                    shares: vec![vec![0.7, 0.3], vec![0.6, 0.4], vec![value, 0.45]],
                })
                .collect(),
            updates: vec![
                UpdateResult { step: 5, layers: vec![1e-3, value, 3e-3] },
                UpdateResult { step: 15, layers: vec![1e-3, 0.0, 5e-4] },
            ],
        }],
        calibrations: vec![Calibration {
            words: own(),
            components: vec![Calibrated {
                name: own(),
                switched: Some(3),
                steps: vec![1, 3],
                light: vec![value; 2],
                full: vec![value; 2],
                mean_top: vec![value; 2],
                votes: vec![(3, value)],
            }],
        }],
        measured_on: own(),
        plan: Plan { rows: (0..50).map(row).collect(), kept_weights: 3, kept_parameters: 7, kept_bytes: 28 },
        spectra: (0..20).map(spectrum).collect(),
        notes: vec![own(), own()],
        provenance: Provenance {
            model_origin: own(),
            model_hash: own(),
            recipe: own(),
            seed: u64::MAX,
            machine: own(),
            seconds: value,
            peak_bytes: Some(u64::MAX),
            version: own(),
            facts: vec![Fact { name: own(), value: own() }],
        },
    }
}

#[test]
fn hostile_text_stays_text() {
    let page = assert_sound(&full(HOSTILE, 0.9));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
}

#[test]
fn any_number_leaves_a_sound_page() {
    for value in
        [0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE]
    {
        assert_sound(&full("plain", value));
    }
}

#[test]
fn an_empty_report_is_a_page() {
    let page = assert_sound(&Report::default());
    assert!(!page.contains("<svg") && !page.contains("<table"), "{page}");
}

#[test]
fn only_learning_from_the_original_is_called_healing() {
    for (lesson, title, words) in [
        (Lesson::Original, "Healing", "closer to the original"),
        (Lesson::Text, "Training", "In nats a token"),
        (Lesson::Task, "Training", "own: cross-entropy of classes"),
    ] {
        let page = assert_sound(&Report { lesson, ..full("plain", 0.5) });
        assert!(page.contains(&format!(">{title}</h2>")) && page.contains(words), "{lesson:?}: {page}");
        assert_eq!(page.contains("Healing is"), lesson == Lesson::Original, "{lesson:?}");
    }
}

#[test]
fn series_of_one_point_and_none_are_drawn_or_left_out() {
    let mut report = full("plain", 0.5);
    report.variants.truncate(1);
    report.variants[0].losses.truncate(1);
    report.plan.rows.truncate(1);
    report.spectra = vec![Spectrum { before: vec![2.0], ..Spectrum::default() }, Spectrum::default()];
    assert_sound(&report);
    report.variants[0].losses.clear();
    assert!(!assert_sound(&report).contains("Training loss"));
}

#[test]
fn drawings_are_named_and_described() {
    let page = assert_sound(&full("plain", 0.9));
    let drawings = page.matches("<svg").count();
    assert!(drawings > 10 && page.matches("role=\"img\"").count() == drawings);
    assert_eq!((page.matches("<title id=").count(), page.matches("<desc id=").count()), (drawings, drawings));
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
}

#[test]
fn the_first_screen_comes_from_the_numbers() {
    let mut report = full("plain", 0.9);
    report.original =
        Original { name: "model".to_owned(), parameters: 200, bytes: 800, ..Original::default() };
    report.variants[0].bytes = 400;
    let page = assert_sound(&report);
    let header = &page[page.find("<header>").unwrap()..page.find("</header>").unwrap()];
    assert!(header.contains("model is now 2.0 times smaller: 400\u{a0}B instead of 800\u{a0}B"), "{header}");
    assert!(header.contains("50\u{a0}% of the original") && header.contains("before healing"), "{header}");
}

#[test]
fn a_report_survives_being_stored() {
    let report = full(HOSTILE, 0.25);
    let stored = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report);
}

#[test]
fn the_checker_finds_what_it_is_for() {
    for bad in ["<p>", "<p></b>", "<p a=1></p>", "<p>a & b</p>", "<p a=\"1\" a=\"2\"></p>", "</p>"] {
        assert!(check(&format!("<!DOCTYPE html>\n{bad}")).is_err(), "{bad}");
    }
}

/// A variant of a study whose every text and number is odd.
fn studied(name: String, value: f64, at: usize) -> VariantResult {
    let score = PromptScore {
        questions: usize::MAX >> 1,
        likelihood: Some(value),
        likelihood_per_byte: Some(value),
        chance: Some(value),
        likelihood_error: Some(value),
        generation: value,
        generation_error: value,
        likelihood_flipped: Some(value),
        generation_flipped: Some(value),
        ended: value,
        shots: value,
        cut: 1,
    };
    let language = Language { perplexity: value, divergence: Some(value), flipped: Some(value), tokens: 1 };
    VariantResult {
        series: name.clone(),
        parameters: 1,
        bytes: 1 << (10 * at),
        half_bytes: 1 << (10 * at),
        weights: at,
        error: value,
        seconds: value,
        scores: Scores {
            language: Some(language),
            prompts: [(name.clone(), score)].into(),
            ..Scores::default()
        },
        name,
    }
}
