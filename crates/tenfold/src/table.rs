//! Plain text tables: aligned columns, numbers to the right.

/// Spaces between columns.
const GAP: &str = "  ";

/// A table with a header.
pub(crate) struct Table {
    header: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a name that begins with `>` makes its column flush right.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let right = columns.iter().map(|name| name.starts_with('>')).collect();
        let header = columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Self { header, right, rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row<I: IntoIterator<Item = S>, S: Into<String>>(&mut self, cells: I) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
    }

    /// Adds a line between rows.
    pub(crate) fn rule(&mut self) {
        self.rows.push(Vec::new());
    }

    /// The table as text, a line break after every row.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                cells.chain([&self.header[at]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        let rule = rule.join(GAP);
        let mut lines = vec![self.line(&self.header, &widths), rule.clone()];
        lines.extend(
            self.rows.iter().map(|row| if row.is_empty() { rule.clone() } else { self.line(row, &widths) }),
        );
        lines.join("\n") + "\n"
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cell = |(at, cell): (usize, &String)| {
            let space = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            if self.right[at] { format!("{space}{cell}") } else { format!("{cell}{space}") }
        };
        let line: Vec<String> = cells.iter().enumerate().map(cell).collect();
        line.join(GAP).trim_end().to_owned()
    }
}

/// A count for people: 22.7 M, 384 k, 96.
pub(crate) fn count(number: usize) -> String {
    scaled(number as f64, &["", " k", " M", " G"])
}

/// Bytes for people: 90.9 MB.
pub(crate) fn bytes(number: usize) -> String {
    scaled(number as f64, &[" B", " kB", " MB", " GB"])
}

fn scaled(mut number: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    match (unit, number) {
        (0, number) => format!("{number}{}", units[0]),
        (_, number) if number < 99.95 => format!("{number:.1}{}", units[unit]),
        (_, number) => format!("{number:.0}{}", units[unit]),
    }
}

/// A share in percent: 69.9 %; of nothing, `new`.
pub(crate) fn percent(part: usize, whole: usize) -> String {
    if whole == 0 && part > 0 {
        return "new".to_owned();
    }
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["path", ">size"]);
        table.row(["a", "1"]);
        table.rule();
        table.row(["total", "1000"]);
        assert_eq!(table.render(), "path   size\n─────  ────\na         1\n─────  ────\ntotal  1000\n");
    }

    #[test]
    fn numbers_read_well() {
        let counts =
            [(0, "0"), (96, "96"), (999, "999"), (1000, "1.0 k"), (22_713_216, "22.7 M"), (999_960, "1.0 M")];
        for (number, text) in counts {
            assert_eq!(count(number), text);
        }
        assert_eq!(bytes(90_852_864), "90.9 MB");
        assert_eq!(percent(7, 10), "70.0 %");
        assert_eq!((percent(3, 0).as_str(), percent(0, 0).as_str()), ("new", "0.0 %"));
    }
}
