//! A statement on paper: A4, as many pages as it takes, written without knowing what an account or a transfer is.
//!
//! Everything comes as text that is ready to be read; what is computed here is where it stands. All measures are whole
//! thousandths of a point.

mod text;
mod write;

use text::{Font, Run};

/// Rows that one document may have; what is longer is a matter for programs, and the CSV has no end.
pub const ROWS_MAX: usize = 4_000;

const WIDE: i32 = 595_276;
const HIGH: i32 = 841_890;
const LEFT: i32 = 42_000;
const RIGHT: i32 = WIDE - 42_000;
const TOP: i32 = HIGH - 42_000;
const BOTTOM: i32 = 60_000;
/// Space between two columns.
const GAP: i32 = 10_000;
/// From one line of a row to its next one.
const LINE: i32 = 10_800;
/// Lines of the words of a row.
const WORDS_MAX: usize = 3;
/// The narrowest column of words; where figures leave less, they are written smaller.
const WORDS_WIDE: i32 = 130_000;

const INK: i32 = 0;
const PALE: i32 = 380;
const RULE: i32 = 800;

/// What a statement says.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// Whose books these are.
    pub workspace: String,
    /// What people call the account.
    pub account: String,
    /// What programs call it, its kind and its unit, in one line.
    pub about: String,
    /// Which time it covers.
    pub period: String,
    /// When it was made, and from what.
    pub made: String,
    /// The balance before the first row.
    pub opening: String,
    /// Labels and figures between the opening and the closing balance.
    pub sums: Vec<(String, String)>,
    /// The balance after the last row.
    pub closing: String,
    /// The rows, oldest first.
    pub rows: Vec<SheetRow>,
}

/// A row of a statement.
#[derive(Debug, Clone, Default)]
pub struct SheetRow {
    /// The day that it counts from.
    pub day: String,
    /// What it was.
    pub words: String,
    /// What else there is to know: the other account, what caused it.
    pub under: String,
    /// Its amount, where it is on this side.
    pub debit: String,
    /// Its amount, where it is on that side.
    pub credit: String,
    /// The balance after it.
    pub balance: String,
}

/// A document could not be made, because a font is broken.
#[derive(Debug, thiserror::Error)]
#[error("the fonts of documents cannot be used")]
pub struct FontError;

/// Which of the two fonts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Regular,
    Bold,
}

/// Something on a page.
#[derive(Debug, Clone)]
enum Mark {
    Words { x: i32, y: i32, size: i32, weight: Weight, gray: i32, run: Run },
    Rule { y: i32, gray: i32 },
}

/// The columns of the table, by their edges: words stand from the left, figures end at the right.
struct Columns {
    size: i32,
    words: i32,
    words_wide: i32,
    debit: i32,
    credit: i32,
    balance: i32,
}

struct Printer {
    regular: Font,
    bold: Font,
    pages: Vec<Vec<Mark>>,
    y: i32,
}

impl Printer {
    fn new() -> Result<Self, FontError> {
        let regular = Font::read(dejavu::sans_condensed::regular()).ok_or(FontError)?;
        let bold = Font::read(dejavu::sans_condensed::bold()).ok_or(FontError)?;
        Ok(Self { regular, bold, pages: vec![Vec::new()], y: TOP })
    }

    fn font(&mut self, weight: Weight) -> &mut Font {
        match weight {
            Weight::Regular => &mut self.regular,
            Weight::Bold => &mut self.bold,
        }
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    fn put(&mut self, x: i32, y: i32, size: i32, weight: Weight, gray: i32, run: Run) {
        self.mark(Mark::Words { x, y, size, weight, gray, run });
    }

    /// Text on one line from `x` on, cut where it is wider than `wide`.
    fn left(&mut self, x: i32, wide: i32, size: i32, weight: Weight, gray: i32, text: &str) {
        let (run, y) = (self.font(weight).fitted(text, size, wide), self.y);
        self.put(x, y, size, weight, gray, run);
    }

    /// Text that ends at `x`; figures are never cut.
    fn right(&mut self, x: i32, size: i32, weight: Weight, gray: i32, text: &str) {
        let (run, y) = (self.font(weight).run(text), self.y);
        self.put(x - run.wide(size), y, size, weight, gray, run);
    }

    fn columns(&mut self, rows: &[SheetRow]) -> Columns {
        let mut columns = Columns { size: 0, words: 0, words_wide: 0, debit: 0, credit: 0, balance: RIGHT };
        for size in [8_500, 7_500, 6_500] {
            let mut widest = |of: fn(&SheetRow) -> &str, head: &str, least: i32| {
                let head = self.bold.run(head).wide(size);
                rows.iter().map(|row| self.regular.run(of(row)).wide(size)).fold(head.max(least), i32::max)
            };
            let words = LEFT + widest(|row| &row.day, "Day", 50_000) + GAP;
            let credit = RIGHT - widest(|row| &row.balance, "Balance", 56_000) - GAP;
            let debit = credit - widest(|row| &row.credit, "Credit", 50_000) - GAP;
            let words_wide = debit - widest(|row| &row.debit, "Debit", 50_000) - GAP - words;
            columns = Columns { size, words, words_wide, debit, credit, balance: RIGHT };
            if words_wide >= WORDS_WIDE {
                break;
            }
        }
        columns
    }

    fn rule(&mut self, gray: i32) {
        let y = self.y;
        self.mark(Mark::Rule { y, gray });
    }

    fn letterhead(&mut self, sheet: &Sheet) {
        self.y = TOP - 14_000;
        self.left(LEFT, 250_000, 18_000, Weight::Bold, INK, "Statement");
        let name = self.bold.fitted(&sheet.workspace, 10_000, 240_000);
        let y = self.y;
        self.put(RIGHT - name.wide(10_000), y, 10_000, Weight::Bold, INK, name);
        self.y -= 26_000;
        for line in self.bold.wrapped(&sheet.account, 12_000, RIGHT - LEFT, 3) {
            let y = self.y;
            self.put(LEFT, y, 12_000, Weight::Bold, INK, line);
            self.y -= 15_500;
        }
        for line in [&sheet.about, &sheet.period, &sheet.made] {
            for line in self.regular.wrapped(line, 9_000, RIGHT - LEFT, 3) {
                let y = self.y;
                self.put(LEFT, y, 9_000, Weight::Regular, PALE, line);
                self.y -= 12_500;
            }
        }
        self.y -= 8_000;
        self.rule(RULE);
        self.y -= 14_000;
        let line = |label: &str, figure: &str, weight| (label.to_owned(), figure.to_owned(), weight);
        let mut lines = vec![line("Opening balance", &sheet.opening, Weight::Bold)];
        lines.extend(sheet.sums.iter().map(|(label, figure)| line(label, figure, Weight::Regular)));
        lines.push(line("Closing balance", &sheet.closing, Weight::Bold));
        for (label, figure, weight) in lines {
            self.left(LEFT, 200_000, 9_500, weight, INK, &label);
            self.right(RIGHT, 9_500, weight, INK, &figure);
            self.y -= 13_500;
        }
        self.y += 6_000;
        self.rule(RULE);
        self.y -= 26_000;
    }

    fn head(&mut self, columns: &Columns) {
        let size = columns.size;
        self.left(LEFT, columns.words - LEFT, size, Weight::Bold, PALE, "Day");
        self.left(columns.words, columns.words_wide, size, Weight::Bold, PALE, "What");
        self.right(columns.debit, size, Weight::Bold, PALE, "Debit");
        self.right(columns.credit, size, Weight::Bold, PALE, "Credit");
        self.right(columns.balance, size, Weight::Bold, PALE, "Balance");
        self.y -= 5_000;
        self.rule(PALE);
        self.y -= LINE + 2_000;
    }

    fn turn(&mut self, columns: &Columns, brought: &str) {
        self.pages.push(Vec::new());
        self.y = TOP - 8_000;
        self.head(columns);
        self.left(columns.words, columns.words_wide, columns.size, Weight::Regular, PALE, "Brought forward");
        self.right(columns.balance, columns.size, Weight::Regular, PALE, brought);
        self.y -= LINE + 4_000;
    }

    fn row(&mut self, columns: &Columns, row: &SheetRow, brought: &str) {
        let size = columns.size;
        let words = self.regular.wrapped(&row.words, size, columns.words_wide, WORDS_MAX);
        let under = self.regular.wrapped(&row.under, size, columns.words_wide, WORDS_MAX);
        let lines = (words.len() + under.len()).max(1) as i32;
        // A row stands on one page.
        if self.y - lines * LINE < BOTTOM {
            self.turn(columns, brought);
        }
        self.left(LEFT, columns.words - LEFT, size, Weight::Regular, INK, &row.day);
        self.right(columns.debit, size, Weight::Regular, INK, &row.debit);
        self.right(columns.credit, size, Weight::Regular, INK, &row.credit);
        self.right(columns.balance, size, Weight::Regular, INK, &row.balance);
        let mut y = self.y;
        for (gray, run) in words.into_iter().map(|run| (INK, run)).chain(under.into_iter().map(|run| (PALE, run))) {
            self.put(columns.words, y, size, Weight::Regular, gray, run);
            y -= LINE;
        }
        self.y -= lines * LINE;
        self.y += 4_000;
        self.rule(RULE);
        self.y -= LINE + 2_000;
    }

    fn end(&mut self, sheet: &Sheet, columns: &Columns) {
        let last = sheet.rows.last().map_or(&sheet.opening, |row| &row.balance);
        if self.y - 5 * LINE < BOTTOM {
            self.turn(columns, last);
        }
        if sheet.rows.is_empty() {
            self.left(LEFT, RIGHT - LEFT, 9_000, Weight::Regular, PALE, "Nothing was posted in this time.");
            self.y -= 2 * LINE;
        }
        self.left(columns.words, columns.words_wide, columns.size, Weight::Bold, INK, "Closing balance");
        self.right(columns.balance, columns.size, Weight::Bold, INK, &sheet.closing);
        self.y -= 2 * LINE;
        let (regular, bold) = (self.regular.lacks(), self.bold.lacks());
        if regular || bold {
            let note =
                "A box stands for a character that the font of this document does not have. The CSV of this statement has every one.";
            for line in self.regular.wrapped(note, 8_000, RIGHT - LEFT, 2) {
                let y = self.y;
                self.put(LEFT, y, 8_000, Weight::Regular, PALE, line);
                self.y -= LINE;
            }
        }
    }

    fn feet(&mut self, sheet: &Sheet) {
        let count = self.pages.len();
        let left = self.regular.fitted(&format!("{} · {}", sheet.about, sheet.period), 8_000, 400_000);
        for number in 0..count {
            let right = self.regular.run(&format!("Page {} of {count}", number + 1));
            let at = |x, run| Mark::Words { x, y: 34_000, size: 8_000, weight: Weight::Regular, gray: PALE, run };
            let marks = [at(LEFT, left.clone()), at(RIGHT - right.wide(8_000), right)];
            self.pages[number].extend(marks);
        }
    }

    fn print(&mut self, sheet: &Sheet) {
        let columns = self.columns(&sheet.rows);
        self.letterhead(sheet);
        self.head(&columns);
        let mut brought = &sheet.opening;
        for row in &sheet.rows {
            self.row(&columns, row, brought);
            brought = &row.balance;
        }
        self.end(sheet, &columns);
        self.feet(sheet);
    }
}

/// The statement as a PDF. It computes for some milliseconds a page: not on a thread that others wait for.
pub fn print(sheet: &Sheet) -> Result<Vec<u8>, FontError> {
    let mut printer = Printer::new()?;
    printer.print(sheet);
    write::file(&printer, &format!("Statement of {}", sheet.account), &sheet.workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: usize) -> SheetRow {
        SheetRow {
            day: format!("{} Mar 2026", day % 28 + 1),
            words: "Sales of the day".into(),
            under: "sales.groceries.eur · till:t1".into(),
            debit: "1234.56".into(),
            credit: String::new(),
            balance: format!("{}.00", day * 100),
        }
    }

    fn sheet(rows: Vec<SheetRow>) -> Sheet {
        Sheet {
            workspace: "Corner Grocery".into(),
            account: "Cash in the till".into(),
            about: "cash.till.eur · asset · EUR".into(),
            period: "1 Mar 2026 to 31 Mar 2026".into(),
            made: "Made on 1 Apr 2026, 08:00 UTC".into(),
            opening: "0.00".into(),
            sums: vec![("Debits".into(), "1.00".into()), ("Credits".into(), "0.00".into())],
            closing: "1.00".into(),
            rows,
        }
    }

    fn printed(sheet: &Sheet) -> Printer {
        let mut printer = Printer::new().unwrap();
        printer.print(sheet);
        printer
    }

    fn edges(printer: &Printer) -> impl Iterator<Item = (i32, i32, i32)> {
        printer.pages.iter().flatten().filter_map(|mark| match mark {
            Mark::Words { x, y, size, run, .. } => Some((*x, x + run.wide(*size), *y)),
            Mark::Rule { .. } => None,
        })
    }

    #[test]
    fn a_long_statement_goes_over_as_many_pages_as_it_takes_and_stays_inside_of_them() {
        let printer = printed(&sheet((0..1_000).map(row).collect()));
        assert!((25..60).contains(&printer.pages.len()), "{} pages", printer.pages.len());
        for (from, to, y) in edges(&printer) {
            assert!(from >= LEFT - 1 && to <= RIGHT + 1 && (30_000..=TOP).contains(&y), "{from} to {to} at {y}");
        }
        let file = print(&sheet((0..1_000).map(row).collect())).unwrap();
        assert!(file.starts_with(b"%PDF-1.7") && file.len() < 500_000, "{} bytes", file.len());
        let pages = file.windows(11).filter(|part| part == b"/Type /Page").count();
        assert_eq!(pages, printer.pages.len() + 1, "each page, and the tree of them");
    }

    #[test]
    fn figures_are_never_cut_however_large_they_are() {
        let mut large = row(1);
        large.debit = "-90071992547409.91".into();
        large.credit = "90071992547409.91".into();
        large.balance = format!("-{}.00", "9".repeat(36));
        large.words = "Everything there is, moved from one side of the books to the other one".into();
        let printer = printed(&sheet(vec![row(0), large.clone()]));
        let mut font = Font::read(dejavu::sans_condensed::regular()).unwrap();
        let whole = font.run(&large.balance).glyphs.len();
        let is_there = |mark: &Mark| matches!(mark, Mark::Words { run, .. } if run.glyphs.len() == whole);
        assert!(printer.pages[0].iter().any(is_there));
        let mut rows: Vec<_> = edges(&printer).collect();
        rows.sort_unstable_by_key(|(from, _, y)| (-*y, *from));
        for pair in rows.windows(2) {
            assert!(pair[0].2 != pair[1].2 || pair[0].1 <= pair[1].0, "two texts overlap: {pair:?}");
        }
    }

    #[test]
    fn a_long_memo_is_wrapped_and_then_cut_and_never_pushes_a_row_over_the_edge() {
        let mut long = row(3);
        long.words = "A memo of five hundred characters ".repeat(20);
        long.under = "x".repeat(500);
        let printer = printed(&sheet(vec![long; 60]));
        assert!(printer.pages.len() > 4);
        assert!(edges(&printer).all(|(from, to, y)| from >= LEFT - 1 && to <= RIGHT + 1 && y >= 30_000));
    }

    #[test]
    fn letters_that_the_font_does_not_have_are_announced() {
        let count = |account: &str| {
            let printer = printed(&Sheet { account: account.into(), ..sheet(vec![row(1)]) });
            (printer.regular.lacks() || printer.bold.lacks(), printer.pages[0].len())
        };
        let (plain, marks) = count("Касса магазина");
        let (lacking, more) = count("現金勘定");
        assert!(!plain && lacking && more > marks, "the note says what a box is");
    }

    #[test]
    fn nothing_posted_is_a_statement_too() {
        let file = print(&sheet(Vec::new())).unwrap();
        assert!(file.starts_with(b"%PDF-1.7") && file.ends_with(b"%%EOF\n") || file.ends_with(b"%%EOF"));
    }
}
