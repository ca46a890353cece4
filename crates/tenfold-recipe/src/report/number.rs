//! Numbers for people: `22.7 M`, `90.9 MB`, `0.987`, `3 min 12 s`.
//!
//! Units are joined by a no-break space. Sizes count in thousands, as disks and downloads do. What is not
//! finite says so; what is absent is a dash.

/// No-break space.
const GAP: char = '\u{a0}';

/// What stands for an absent value.
pub(crate) const ABSENT: &str = "\u{2013}";

/// What stands for NaN and infinities.
const NOT_FINITE: &str = "not finite";

/// A count in three digits: `950`, `12.3 k`, `22.7 M`, `1.34 B`.
pub(crate) fn count(value: u64) -> String {
    if value < 1000 {
        return value.to_string();
    }
    let (digits, unit) = three_digits(value as f64, &["k", "M", "B", "T"]);
    format!("{digits}{GAP}{unit}")
}

/// A count in full: `22,713,216`.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size: `512 B`, `90.9 MB`.
pub(crate) fn bytes(value: u64) -> String {
    if value < 1000 {
        return format!("{value}{GAP}B");
    }
    let (digits, unit) = three_digits(value as f64, &["kB", "MB", "GB", "TB", "PB", "EB"]);
    format!("{digits}{GAP}{unit}")
}

/// A time in milliseconds: `0.85 ms`, `8.12 ms`, `1.20 s`.
pub(crate) fn milliseconds(value: f64) -> String {
    if !value.is_finite() {
        NOT_FINITE.to_owned()
    } else if value < 999.5 {
        format!("{}{GAP}ms", significant(value))
    } else {
        duration(value / 1e3)
    }
}

/// A duration in seconds: `8.1 s`, `42 s`, `3 min 12 s`, `1 h 4 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return NOT_FINITE.to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}{GAP}s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s}{GAP}s"),
        (0, m, s) => format!("{m}{GAP}min {s}{GAP}s"),
        (h, m, _) => format!("{h}{GAP}h {m}{GAP}min"),
    }
}

/// A cosine or agreement: three decimals, and as many more as it takes to tell it from 1.
pub(crate) fn similarity(value: f64) -> String {
    if !value.is_finite() {
        return NOT_FINITE.to_owned();
    }
    let decimals =
        if value < 1.0 { (3..=6).find(|&places| !rounds_to_one(value, places)).unwrap_or(6) } else { 3 };
    minus(&format!("{value:.decimals$}"))
}

/// A share as a percentage: `49.8 %`, `12 %` where it is round, `0.03 %`.
pub(crate) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NOT_FINITE.to_owned();
    }
    let value = share * 100.0;
    let text = if value.abs() >= 0.1 || value == 0.0 { format!("{value:.1}") } else { format!("{value:.2}") };
    minus(&format!("{}{GAP}%", text.strip_suffix(".0").unwrap_or(&text)))
}

/// How many times smaller or larger: `2.0`, `12`.
pub(crate) fn times(factor: f64) -> String {
    match factor {
        _ if !factor.is_finite() => NOT_FINITE.to_owned(),
        _ if factor < 9.95 => format!("{factor:.1}"),
        _ => format!("{factor:.0}"),
    }
}

/// A difference with its sign: `+0.006`, `−1.20`.
pub(crate) fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{value:+.decimals$}");
    // A difference that rounds to nothing has no direction.
    let nothing = text.bytes().all(|byte| !byte.is_ascii_digit() || byte == b'0');
    match value.is_finite() {
        false => NOT_FINITE.to_owned(),
        true if nothing => format!("{:.decimals$}", 0.0),
        true => minus(&text),
    }
}

/// A number in three significant digits: `12.3`, `0.0123`, `1.2e−7`.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !size.is_finite() => return NOT_FINITE.to_owned(),
        0.0 => "0".to_owned(),
        _ if !(1e-4..1e6).contains(&size) => format!("{value:.1e}"),
        _ => {
            // From the rounded value, so that 9.999 is 10.0 and not 10.00.
            let exponent = format!("{size:.2e}").split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
            let decimals = (2 - exponent.unwrap_or(0)).max(0) as usize;
            format!("{value:.decimals$}")
        }
    };
    minus(&text)
}

/// A power of ten on an axis: `1e−7`, `2e6`.
pub(crate) fn power(value: f64) -> String {
    minus(&format!("{value:.0e}"))
}

/// A number with a given number of decimals.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if value.is_finite() { minus(&format!("{value:.decimals$}")) } else { NOT_FINITE.to_owned() }
}

/// A value that may be absent.
pub(crate) fn maybe<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| ABSENT.to_owned(), show)
}

/// Three significant digits with the unit that leaves one to three of them before the point.
fn three_digits(value: f64, units: &[&'static str]) -> (String, &'static str) {
    let mut scaled = value / 1e3;
    let mut at = 0;
    while scaled >= 999.5 && at + 1 < units.len() {
        scaled /= 1e3;
        at += 1;
    }
    let digits = match scaled {
        _ if scaled < 9.995 => format!("{scaled:.2}"),
        _ if scaled < 99.95 => format!("{scaled:.1}"),
        _ => format!("{scaled:.0}"),
    };
    (digits, units[at])
}

fn rounds_to_one(value: f64, places: usize) -> bool {
    format!("{value:.places$}").starts_with('1')
}

/// The typographic minus sign.
fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_sizes() {
        assert_eq!([count(0), count(999), count(1000)], ["0", "999", "1.00\u{a0}k"]);
        assert_eq!([count(22_713_216), count(999_999)], ["22.7\u{a0}M", "1.00\u{a0}M"]);
        assert_eq!(count(1_340_000_000), "1.34\u{a0}B");
        assert_eq!([bytes(512), bytes(90_852_864)], ["512\u{a0}B", "90.9\u{a0}MB"]);
        assert_eq!(bytes(u64::MAX), "18.4\u{a0}EB");
        assert_eq!([grouped(7), grouped(1234), grouped(22_713_216)], ["7", "1,234", "22,713,216"]);
    }

    #[test]
    fn times_of_all_lengths() {
        assert_eq!(
            [duration(0.0), duration(9.94), duration(9.96)],
            ["0.0\u{a0}s", "9.9\u{a0}s", "10\u{a0}s"]
        );
        assert_eq!([duration(192.4), duration(3840.0)], ["3\u{a0}min 12\u{a0}s", "1\u{a0}h 4\u{a0}min"]);
        assert_eq!([milliseconds(0.85), milliseconds(8.123)], ["0.850\u{a0}ms", "8.12\u{a0}ms"]);
        assert_eq!([milliseconds(999.7), milliseconds(f64::NAN)], ["1.0\u{a0}s", "not finite"]);
    }

    #[test]
    fn similarities_never_round_up_to_one() {
        assert_eq!([similarity(0.98712), similarity(1.0)], ["0.987", "1.000"]);
        assert_eq!([similarity(0.99987), similarity(0.999999)], ["0.9999", "0.999999"]);
        assert_eq!([similarity(-0.2), similarity(f64::NAN)], ["\u{2212}0.200", "not finite"]);
    }

    #[test]
    fn shares_and_differences() {
        assert_eq!(
            [percent(0.498), percent(0.12), percent(0.0003)],
            ["49.8\u{a0}%", "12\u{a0}%", "0.03\u{a0}%"]
        );
        assert_eq!([percent(1.0), percent(f64::INFINITY)], ["100\u{a0}%", "not finite"]);
        assert_eq!([signed(0.006, 3), signed(-1.2, 2)], ["+0.006", "\u{2212}1.20"]);
        assert_eq!([signed(-0.0001, 3), signed(f64::NAN, 3)], ["0.000", "not finite"]);
        assert_eq!([times(2.04), times(12.4), times(f64::NAN)], ["2.0", "12", "not finite"]);
    }

    #[test]
    fn significant_digits() {
        assert_eq!(
            [significant(12.345), significant(0.01234), significant(9.999)],
            ["12.3", "0.0123", "10.0"]
        );
        assert_eq!(
            [significant(0.0), significant(-0.5), significant(1234.0)],
            ["0", "\u{2212}0.500", "1234"]
        );
        assert_eq!(significant(1.23e-7), "1.2e\u{2212}7");
        assert_eq!([maybe(Some(0.5), similarity), maybe(None, similarity)], ["0.500", "\u{2013}"]);
        assert_eq!([fixed(-1.25, 1), fixed(f64::NAN, 1)], ["\u{2212}1.2", "not finite"]);
    }
}
