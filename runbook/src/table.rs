//! A table as programs print it: a header line, and columns that begin where the header's words do.
//!
//! Words of the header are two blanks or a tab apart (`CONTAINER ID   IMAGE`). Columns count characters, because names may
//! hold any. A cell that is wider than its header, to the left (numbers) or to the right, keeps its whole word.

/// A printed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The cells of each row, as many as the header has.
    pub rows: Vec<Vec<String>>,
}

/// Drawn before names by `lsblk`, `tree`, `systemctl`: no part of a name.
const DECORATION: &[char] = &['├', '└', '│', '─', '●', '○', '×', ' ', '`', '|'];

impl Table {
    /// Reads a table; `None` when the text is blank.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text
            .lines()
            .map(|line| line.trim_end())
            .filter(|line| !line.is_empty());
        let first = lines.next()?;
        if first.contains('\t') {
            let repeated = first.contains("\t\t");
            let cells = |line: &str| tab_cells(line, repeated);
            let header = cells(first);
            let rows = lines.map(|line| fit(cells(line), header.len())).collect();
            return Some(Self { header, rows });
        }
        let columns = columns(&first.chars().collect::<Vec<_>>());
        let header: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let rows = lines
            .map(|line| cut(&line.chars().collect::<Vec<_>>(), &columns))
            .collect();
        Some(Self { header, rows })
    }

    /// The rows whose first cell is this name; a drawn branch before the name does not count.
    pub fn rows_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [String]> {
        self.rows
            .iter()
            .map(Vec::as_slice)
            .filter(move |row| is_named(row, name))
    }

    /// The index of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The names of the rows.
    pub fn row_names(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row_name(row)).collect()
    }
}

/// A row's name: its first cell without what is drawn before it.
pub fn row_name(row: &[String]) -> &str {
    let cell = row.first().map_or("", String::as_str);
    let plain = cell.trim_start_matches(DECORATION);
    if plain.is_empty() { cell } else { plain }
}

fn is_named(row: &[String], name: &str) -> bool {
    row.first().is_some_and(|cell| cell == name) || row_name(row) == name
}

struct Column {
    name: String,
    start: usize,
    end: usize,
}

/// The words of a header, two blanks apart.
fn columns(header: &[char]) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut at = 0;
    while at < header.len() {
        if header[at].is_whitespace() {
            at += 1;
            continue;
        }
        let start = at;
        while at < header.len()
            && !(header[at].is_whitespace() && header.get(at + 1).is_none_or(|c| c.is_whitespace()))
        {
            at += 1;
        }
        columns.push(Column {
            name: header[start..at].iter().collect(),
            start,
            end: at,
        });
    }
    columns
}

fn cut(line: &[char], columns: &[Column]) -> Vec<String> {
    let mut cells = Vec::with_capacity(columns.len());
    let mut from = 0;
    for next in 1..=columns.len() {
        let to = match columns.get(next) {
            Some(column) => boundary(line, column).max(from),
            None => line.len(),
        };
        let cell: String = line
            .get(from.min(line.len())..to.min(line.len()))
            .unwrap_or_default()
            .iter()
            .collect();
        cells.push(cell.trim().to_owned());
        from = to;
    }
    cells
}

/// Where a column's cell begins in a line: at its header, unless a word stands across that place. Such a word belongs to
/// this column when it ends where the header does (numbers stand to the right), else to the column before.
fn boundary(line: &[char], column: &Column) -> usize {
    let is_word = |at: usize| line.get(at).is_some_and(|c| !c.is_whitespace());
    if column.start == 0 || !is_word(column.start - 1) || !is_word(column.start) {
        return column.start;
    }
    let start = (0..column.start)
        .rev()
        .take_while(|at| is_word(*at))
        .last()
        .unwrap_or(column.start);
    let end = (column.start..line.len())
        .find(|at| !is_word(*at))
        .unwrap_or(line.len());
    if end == column.end { start } else { end }
}

fn tab_cells(line: &str, repeated: bool) -> Vec<String> {
    line.split('\t')
        .map(str::trim)
        .filter(|cell| !repeated || !cell.is_empty())
        .map(str::to_owned)
        .collect()
}

fn fit(mut cells: Vec<String>, length: usize) -> Vec<String> {
    cells.resize(length, String::new());
    cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, header: &[&str], rows: &[&[&str]]) {
        let table = Table::parse(text).unwrap();
        assert_eq!(table.header, header);
        assert_eq!(
            table.rows,
            rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn columns_begin_where_the_words_of_the_header_do() {
        check(
            "NAME      STATUS     ROLES           AGE    VERSION\npve1      Ready      control-plane   5d3h   v1.36.0\npve2      NotReady   <none>          5d     v1.36.0\n",
            &["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
            &[
                &["pve1", "Ready", "control-plane", "5d3h", "v1.36.0"],
                &["pve2", "NotReady", "<none>", "5d", "v1.36.0"],
            ],
        );
    }

    #[test]
    fn one_blank_does_not_part_columns() {
        check(
            "CONTAINER ID   IMAGE     STATUS\n4c01db0b339c   nginx:1   Up 2 hours (healthy)\n",
            &["CONTAINER ID", "IMAGE", "STATUS"],
            &[&["4c01db0b339c", "nginx:1", "Up 2 hours (healthy)"]],
        );
    }

    #[test]
    fn empty_cells_are_empty_and_short_lines_too() {
        check(
            "VMID       Status     Lock         Name\n100        running                 web\n101        stopped\n",
            &["VMID", "Status", "Lock", "Name"],
            &[&["100", "running", "", "web"], &["101", "stopped", "", ""]],
        );
    }

    #[test]
    fn numbers_may_stand_to_the_right_of_their_header_and_names_may_be_too_long() {
        check(
            "NAME     SIZE  ALLOC   FREE\nrpool    928G   300G   628G\ntank    18.2T  1.81T  16.4T\n",
            &["NAME", "SIZE", "ALLOC", "FREE"],
            &[
                &["rpool", "928G", "300G", "628G"],
                &["tank", "18.2T", "1.81T", "16.4T"],
            ],
        );
        check(
            "NAME   STATE\nvery-long-name up\nb      down\n",
            &["NAME", "STATE"],
            &[&["very-long-name", "up"], &["b", "down"]],
        );
    }

    #[test]
    fn a_branch_before_a_name_is_drawn() {
        let table =
            Table::parse("NAME     TYPE\nsda      disk\n├─sda1   part\n└─sda2   part\n").unwrap();
        assert_eq!(table.row_names(), ["sda", "sda1", "sda2"]);
        assert_eq!(table.rows_named("sda2").next().unwrap()[1], "part");
        assert_eq!(table.rows_named("├─sda1").count(), 1);
    }

    #[test]
    fn tabs_part_columns_too() {
        check(
            "a\tb c\td\n1\t\t3\n",
            &["a", "b c", "d"],
            &[&["1", "", "3"]],
        );
        check("NAME  \t\tID\nx\t\t\t1\n", &["NAME", "ID"], &[&["x", "1"]]);
    }

    #[test]
    fn a_blank_text_is_no_table() {
        assert_eq!(Table::parse(" \n\n"), None);
    }

    proptest! {
        #[test]
        fn every_row_has_as_many_cells_as_the_header(text in "([a-zé ]|  |\\t|\\n){0,60}") {
            if let Some(table) = Table::parse(&text) {
                for row in &table.rows {
                    prop_assert_eq!(row.len(), table.header.len());
                }
            }
        }
    }
}
