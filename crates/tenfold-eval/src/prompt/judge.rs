//! How a written answer is read.

/// What a model wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The text, up to the first of the task's stops.
    pub text: String,
    /// Whether it ended by itself: by a stop, or by the token that ends texts.
    pub ended: bool,
}

/// What makes a written answer right.
#[derive(Clone, Debug, PartialEq)]
pub enum Judge {
    /// It begins, after blanks, with this text.
    Begins(String),
    /// It is this text, blanks at its ends aside.
    Is(String),
    /// The number after its last "answer is", else its last number, has this value.
    Number(f64),
    /// It has a form. No judge reads what it says.
    Form(Form),
}

/// What can be seen of an answer without understanding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The least number of words.
    pub words: usize,
    /// Whether it holds code: a fence, or lines that end in `;`, `{` or `:`.
    pub code: bool,
    /// The question, which it must not just repeat.
    pub question: String,
}

/// The largest share of runs of three words that may be repetitions.
const REPEATED: f64 = 0.3;

impl Judge {
    /// Whether an answer is right.
    pub fn right(&self, written: &Written) -> bool {
        let text = written.text.trim();
        match self {
            Self::Begins(target) => text.starts_with(target.as_str()),
            Self::Is(target) => text == target,
            Self::Number(value) => {
                number(text).is_some_and(|found| (found - value).abs() < 1e-6 * value.abs().max(1.0))
            }
            Self::Form(form) => form.kept(text),
        }
    }

    /// The answer in short: two texts with the same are no change of mind.
    pub(super) fn answer(&self, written: &Written) -> String {
        let text = written.text.trim();
        match self {
            Self::Begins(target) if text.starts_with(target.as_str()) => target.clone(),
            Self::Begins(target) => text.chars().take(target.chars().count()).collect(),
            Self::Is(_) => text.to_owned(),
            Self::Number(_) => number(text).map_or_else(String::new, |found| found.to_string()),
            Self::Form(form) => form.kept(text).to_string(),
        }
    }
}

impl Form {
    /// Whether a text has this form: enough words, no loops, code where it was asked for, and more than the question.
    fn kept(&self, text: &str) -> bool {
        let words: Vec<&str> = text.split_whitespace().collect();
        let code = || {
            let lines = text.lines().filter(|line| line.trim_end().ends_with([';', '{', ':', ')'])).count();
            text.contains("```") || lines >= 2
        };
        words.len() >= self.words
            && repeated(&words) <= REPEATED
            && !self.question.contains(text)
            && (!self.code || code())
    }
}

/// The share of runs of three words that were there before.
fn repeated(words: &[&str]) -> f64 {
    let runs = words.windows(3);
    let total = runs.len();
    let distinct: std::collections::HashSet<&[&str]> = runs.collect();
    if total == 0 { 0.0 } else { 1.0 - distinct.len() as f64 / total as f64 }
}

/// The number that an answer names.
pub(super) fn number(text: &str) -> Option<f64> {
    let after = text.rfind("answer is").map(|at| &text[at..]);
    after.and_then(|after| numbers(after).into_iter().next()).or_else(|| numbers(text).pop())
}

/// Every number of a text: digits with an optional sign, commas between thousands and a fraction.
fn numbers(text: &str) -> Vec<f64> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        // A minus after a digit or letter is a difference or a hyphen.
        let sign = at > 0
            && bytes[at - 1] == b'-'
            && !(at > 1 && (bytes[at - 2].is_ascii_alphanumeric() || bytes[at - 2] == b')'));
        let mut digits = String::from(if sign { "-" } else { "" });
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        let mut point = false;
        while at < bytes.len() {
            match bytes[at] {
                b'0'..=b'9' => digits.push(bytes[at] as char),
                b',' if !point && (1..4).all(|next| digit(at + next)) && !digit(at + 4) => {}
                b'.' if !point && digit(at + 1) => {
                    point = true;
                    digits.push('.');
                }
                _ => break,
            }
            at += 1;
        }
        found.extend(digits.parse::<f64>().ok());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Written {
        Written { text: text.to_owned(), ended: true }
    }

    #[test]
    fn numbers_are_found_in_prose() {
        assert_eq!(
            numbers("16 - 3 = 13, or $1,234.50. Then -7 (7-2) and 1,23"),
            [16.0, 3.0, 13.0, 1234.5, -7.0, 7.0, 2.0, 1.0, 23.0]
        );
        assert!(numbers("none").is_empty());
        assert_eq!(number("3 and 4. The answer is 12 dollars, not 9"), Some(12.0));
        assert_eq!(number("so 3 and then 18."), Some(18.0));
        assert_eq!(number("the answer is unknown; 5"), Some(5.0));
    }

    #[test]
    fn answers_are_read_by_the_rule_of_the_task() {
        let letter = Judge::Begins("B".to_owned());
        assert!(letter.right(&written(" B")) && letter.right(&written("B.")) && !letter.right(&written("A")));
        assert!(!letter.right(&written("")));
        assert_eq!(letter.answer(&written(" Cat")), "C");
        let number = Judge::Number(18.0);
        assert!(number.right(&written("9 * 2 = 18")) && !number.right(&written("18 or 19")));
        assert_eq!(number.answer(&written("that is 18.0")), number.answer(&written("18")));
        assert!(Judge::Is("[ABC]".to_owned()).right(&written(" [ABC] ")));
        assert!(!Judge::Is("[ABC]".to_owned()).right(&written("[ABC]]")));
    }

    #[test]
    fn form_is_words_without_loops() {
        let form = Form { words: 4, code: false, question: "How can I sleep well?".to_owned() };
        let of = |form: &Form, text: &str| Judge::Form(form.clone()).right(&written(text));
        assert!(of(&form, "Go to bed early and read."));
        assert!(!of(&form, "Go to bed."));
        assert!(!of(&form, "How can I sleep well?"));
        assert!(!of(&form, &"again and again and ".repeat(6)));
        let code = Form { words: 2, code: true, question: String::new() };
        assert!(
            of(&code, "```\nprint(1)\n```")
                && of(&code, "def f():\n  return g()\n")
                && !of(&code, "no code here")
        );
    }
}
