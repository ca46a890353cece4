//! The dotted path of a weight, and the address of one leaf inside it.

use std::fmt;
use std::sync::Arc;

/// A dotted path such as `encoder.layer.0.output.dense.weight`. Cheap to clone; ordered like its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    /// Wraps the text of a path as it is.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The path's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path one segment longer.
    pub fn join(&self, segment: &str) -> Self {
        Self::new(format!("{}.{segment}", self.0))
    }

    /// What the path has in common with those of other layers: `*` for every segment of digits, and their numbers.
    ///
    /// ```
    /// let (kind, numbers) = tenfold_weight::Path::new("encoder.layer.11.output.weight").kind();
    /// assert_eq!((kind.as_str(), numbers), ("encoder.layer.*.output.weight", vec![11]));
    /// ```
    pub fn kind(&self) -> (String, Vec<u64>) {
        let mut numbers = Vec::new();
        let mut segment = |segment: &str| match segment.parse() {
            Ok(number) if segment.bytes().all(|sign| sign.is_ascii_digit()) => {
                numbers.push(number);
                "*".to_owned()
            }
            _ => segment.to_owned(),
        };
        let kind = self.0.split('.').map(&mut segment).collect::<Vec<_>>().join(".");
        (kind, numbers)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &*self.0)
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// The address of a form or leaf inside a weight: the weight's path and the way down from it.
///
/// `inner` is empty for the weight's own form, `core.2` for the second core of an MPO, `left.down` for the
/// down factor of a sum's left side. The text form is `path` or `path#inner`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The weight's path.
    pub path: Path,
    /// The way down inside the weight, dotted; empty for the weight itself.
    pub inner: String,
}

/// The address of a leaf. A dense weight's only leaf has an empty `inner`.
pub type LeafId = Address;

impl Address {
    /// The address of a weight's own form.
    pub fn root(path: Path) -> Self {
        Self { path, inner: String::new() }
    }

    /// The address of a part of this form.
    pub fn part(&self, name: impl fmt::Display) -> Self {
        let inner = if self.inner.is_empty() { name.to_string() } else { format!("{}.{name}", self.inner) };
        Self { path: self.path.clone(), inner }
    }

    /// Reads `path` or `path#inner`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('#') {
            Some((path, inner)) => Self { path: Path::new(path), inner: inner.to_owned() },
            None => Self::root(Path::new(text)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inner.is_empty() {
            write!(out, "{}", self.path)
        } else {
            write!(out, "{}#{}", self.path, self.inner)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_text() {
        let root = Address::root(Path::new("a.b.weight"));
        for address in [root.clone(), root.part("core.2"), root.part("left").part("down")] {
            assert_eq!(Address::parse(&address.to_string()), address);
        }
        assert_eq!(root.part("left").part("down").to_string(), "a.b.weight#left.down");
    }
}
