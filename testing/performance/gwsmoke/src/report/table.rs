//! A table of HTML, which a screen reader can find its way in.

use std::fmt::{self, Display, Formatter};

use super::text::Escaped;

/// Rows under named columns.
pub(super) struct Table {
    caption: String,
    columns: Vec<(&'static str, Kind)>,
    rows: Vec<Vec<Cell>>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, to the left.
    Words,
    /// Numbers, to the right.
    Numbers,
}

/// What stands in a cell.
pub(super) enum Cell {
    /// Text of data, which is escaped.
    Text(String),
    /// Markup made here.
    Markup(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", Escaped(text)),
            Self::Markup(markup) => f.write_str(markup),
        }
    }
}

impl Table {
    /// An empty table; `columns` are its heads.
    pub(super) fn new(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = (&'static str, Kind)>,
    ) -> Self {
        Self {
            caption: caption.into(),
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Its first cell names it.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        // Tables that are wider than a small screen are scrolled by themselves, by keys too.
        let caption = Escaped(&self.caption);
        write!(
            f,
            "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\
             <table><caption>{caption}</caption><thead><tr>"
        )?;
        for (name, kind) in &self.columns {
            write!(
                f,
                "<th scope=\"col\"{}>{}</th>",
                class(*kind),
                Escaped(name)
            )?;
        }
        f.write_str("</tr></thead><tbody>")?;
        for row in &self.rows {
            f.write_str("<tr>")?;
            let kinds = self.columns.iter().map(|(_, kind)| class(*kind));
            for (index, (cell, class)) in row.iter().zip(kinds).enumerate() {
                match index {
                    0 => write!(f, "<th scope=\"row\"{class}>{cell}</th>")?,
                    _ => write!(f, "<td{class}>{cell}</td>")?,
                }
            }
            f.write_str("</tr>")?;
        }
        f.write_str("</tbody></table></div>\n")
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Words => "",
        Kind::Numbers => " class=\"n\"",
    }
}

/// Columns of words, then columns of numbers.
pub(super) fn columns<const W: usize, const N: usize>(
    words: [&'static str; W],
    numbers: [&'static str; N],
) -> impl Iterator<Item = (&'static str, Kind)> {
    let words = words.into_iter().map(|name| (name, Kind::Words));
    words.chain(numbers.into_iter().map(|name| (name, Kind::Numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_data_are_text_and_a_row_is_named() {
        let mut table = Table::new("<b>", columns(["name"], ["ms"]));
        assert_eq!(table.to_string(), "", "nothing is said without rows");
        table.row(["</table>".into(), Cell::Markup("<i>1</i>".to_owned())]);
        let html = table.to_string();
        assert!(html.contains("<caption>&lt;b&gt;</caption>"), "{html}");
        assert!(
            html.contains("<th scope=\"row\">&lt;/table&gt;</th>"),
            "{html}"
        );
        assert!(html.contains("<td class=\"n\"><i>1</i></td>"), "{html}");
        assert_eq!(html.matches("</table>").count(), 1);
    }
}
