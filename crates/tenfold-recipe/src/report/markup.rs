//! Markup that is well-formed by construction: text is escaped where it enters, elements close where they
//! end.

/// A piece of HTML or SVG.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Markup(String);

/// Attribute names with values.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(letter),
                // Not allowed in XML, and invisible anyway.
                _ if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                    self.0.push('\u{fffd}');
                }
                _ => self.0.push(letter),
            }
        }
        self
    }

    /// Appends an element with what `fill` puts into it.
    pub(crate) fn inside(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        fill: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.open(tag, attributes);
        self.0.push('>');
        fill(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
        self
    }

    /// Appends an element that holds text.
    pub(crate) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) -> &mut Self {
        self.inside(tag, attributes, |inner| {
            inner.text(text);
        })
    }

    /// Appends an element without content.
    pub(crate) fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) -> &mut Self {
        self.open(tag, attributes);
        self.0.push_str("/>");
        self
    }

    /// Appends another piece.
    pub(crate) fn put(&mut self, piece: &Self) -> &mut Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Appends constant text of our own that is not to be escaped: the doctype, the style sheet.
    pub(crate) fn literal(&mut self, text: &'static str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    /// Whether nothing was appended.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the markup.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut page = Markup::new();
        page.element("p", &[("title", "a\"b<'&")], "<script>1 & 2</script>\u{0}\n");
        let expected =
            "<p title=\"a&quot;b&lt;&#39;&amp;\">&lt;script&gt;1 &amp; 2&lt;/script&gt;\u{fffd}\n</p>";
        assert_eq!(page.into_string(), expected);
    }

    #[test]
    fn elements_nest() {
        let mut page = Markup::new();
        page.inside("ul", &[], |list| {
            list.element("li", &[], "one").void("hr", &[("class", "x")]);
        });
        assert_eq!(page.into_string(), "<ul><li>one</li><hr class=\"x\"/></ul>");
    }
}
