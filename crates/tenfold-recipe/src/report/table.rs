//! Tables with captions and row headings that scroll sideways where the screen is narrow.

use super::markup::Markup;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words.
    Text,
    /// Paths and forms, in a fixed-width face.
    Code,
    /// Numbers, flush right.
    Number,
}

impl Column {
    fn class(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Code => "code",
            Self::Number => "number",
        }
    }
}

/// A table; every row has one cell per column, and the first cell is the row's heading.
pub(crate) struct Table {
    /// What the table shows.
    pub(crate) caption: String,
    /// Headings and settings of the columns.
    pub(crate) columns: Vec<(&'static str, Column)>,
    /// The rows.
    pub(crate) rows: Vec<Row>,
    /// Totals, set apart.
    pub(crate) foot: Vec<Row>,
}

/// One row.
pub(crate) struct Row {
    /// One text per column; missing ones are empty.
    pub(crate) cells: Vec<String>,
    /// A mark before the first cell, the color of a chart's series; empty for none.
    pub(crate) mark: &'static str,
    /// Whether the row is the one to look at.
    pub(crate) strong: bool,
}

impl Row {
    /// A row without mark or emphasis.
    pub(crate) fn plain(cells: Vec<String>) -> Self {
        Self { cells, mark: "", strong: false }
    }
}

impl Table {
    /// The table as markup; nothing when it has no rows.
    pub(crate) fn draw(&self) -> Markup {
        let mut page = Markup::new();
        if self.rows.is_empty() && self.foot.is_empty() {
            return page;
        }
        // A region that scrolls must be reachable by keyboard, and so have a name.
        let region =
            [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", &*self.caption)];
        page.inside("div", &region, |page| {
            page.inside("table", &[], |page| {
                page.inside("caption", &[], |page| {
                    page.element("span", &[], &self.caption);
                });
                page.inside("thead", &[], |page| self.head(page));
                page.inside("tbody", &[], |page| self.rows.iter().for_each(|row| self.row(page, row)));
                if !self.foot.is_empty() {
                    page.inside("tfoot", &[], |page| self.foot.iter().for_each(|row| self.row(page, row)));
                }
            });
        });
        page
    }

    fn head(&self, page: &mut Markup) {
        page.inside("tr", &[], |page| {
            for (heading, column) in &self.columns {
                page.element("th", &[("scope", "col"), ("class", column.class())], heading);
            }
        });
    }

    fn row(&self, page: &mut Markup, row: &Row) {
        page.inside("tr", &[("class", if row.strong { "strong" } else { "plain" })], |page| {
            for (at, (_, column)) in self.columns.iter().enumerate() {
                let text = row.cells.get(at).map_or("", String::as_str);
                if at > 0 {
                    page.element("td", &[("class", column.class())], text);
                    continue;
                }
                page.inside("th", &[("scope", "row"), ("class", column.class())], |page| {
                    if !row.mark.is_empty() {
                        page.element("span", &[("class", &format!("mark {}", row.mark))], "");
                    }
                    page.text(text);
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: Vec<Row>) -> Table {
        let columns = vec![("name", Column::Text), ("size", Column::Number)];
        Table { caption: "Sizes & names".to_owned(), columns, rows, foot: Vec::new() }
    }

    #[test]
    fn rows_have_headings_and_missing_cells_are_empty() {
        let html = table(vec![Row::plain(vec!["<a>".to_owned()])]).draw().into_string();
        assert!(html.contains("<caption><span>Sizes &amp; names</span></caption>"), "{html}");
        assert!(
            html.contains("<th scope=\"row\" class=\"text\">&lt;a&gt;</th><td class=\"number\"></td>"),
            "{html}"
        );
    }

    #[test]
    fn nothing_is_drawn_without_rows() {
        assert!(table(Vec::new()).draw().is_empty());
    }
}
