//! What the drill found: a row for each promise, and the verdict.

use std::io::Write;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    Broken,
    NotTried,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) play: String,
    pub(crate) attempts: u64,
    pub(crate) granted: u64,
    pub(crate) promised: u64,
    /// Codes guessed right. They are luck, and no part of the verdict.
    pub(crate) hits: u64,
    pub(crate) verdict: Verdict,
    pub(crate) note: String,
}

pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) yearly_bound: f64,
}

const LEGEND: &str = "granted: the most that one code, address or network was granted. Hits are luck; the verdict \
                      compares granted with promised.";

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "BROKEN",
            Self::NotTried => "not tried",
        }
    }
}

impl Row {
    pub(crate) fn judged(play: &str, attempts: u64, granted: u64, promised: u64) -> Self {
        let verdict = match () {
            () if granted > promised => Verdict::Broken,
            () if attempts == 0 => Verdict::NotTried,
            () => Verdict::Kept,
        };
        Self { play: play.to_owned(), attempts, granted, promised, hits: 0, verdict, note: String::new() }
    }

    pub(crate) fn not_tried(play: &str, why: &str) -> Self {
        Self::judged(play, 0, 0, 0).with_note(why)
    }

    pub(crate) fn with_note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }

    pub(crate) fn with_hits(self, hits: u64) -> Self {
        Self { hits, ..self }
    }

    pub(crate) fn says_nothing(&self) -> bool {
        self.verdict == Verdict::NotTried
    }

    fn cells(&self) -> [String; 6] {
        let Self { play, attempts, granted, promised, hits, verdict, .. } = self;
        let numbers = [attempts, granted, promised, hits].map(u64::to_string);
        let [attempts, granted, promised, hits] = numbers;
        [play.clone(), attempts, granted, promised, hits, verdict.word().to_owned()]
    }

    fn json(&self) -> Value {
        let Self { play, attempts, granted, promised, hits, verdict, note } = self;
        json!({ "play": play, "attempts": attempts, "granted": granted, "promised": promised, "hits": hits,
                "verdict": verdict.word().to_lowercase(), "note": note })
    }
}

impl Report {
    pub(crate) fn is_kept(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Broken)
    }

    pub(crate) fn table(&self) -> String {
        let head = ["play", "attempts", "granted", "promised", "hits", "verdict"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3, 4, 5].map(width);
        let mut text = String::new();
        for row in &rows {
            let cells: Vec<_> =
                row.iter().zip(widths).enumerate().map(|(n, (cell, width))| pad(n, cell, width)).collect();
            text += &format!("{}\n", cells.join(" | ").trim_end());
        }
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            text += &format!("\n{}: {}", row.play, row.note);
        }
        let percent = self.yearly_bound * 100.0;
        let bound = "In a year, whoever never reads the mail gets into one given address with a probability of at most";
        format!("{text}\n\n{LEGEND}\n{bound} {percent:.4} %, says the policy.\n")
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let report = json!({ "target": self.target, "plays": rows, "one_address_one_year": self.yearly_bound,
                             "kept": self.is_kept() });
        format!("{report:#}\n")
    }
}

/// Words to the left, numbers to the right.
fn pad(column: usize, cell: &str, width: usize) -> String {
    if (1..=4).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

/// Tells how far the drill is, to whoever waits.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "drill: {text}");
}

pub(crate) fn print(text: &str) {
    // Nobody reads it: then there is nobody to tell, either.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Row>) -> Report {
        Report { target: "http://localhost:8000".into(), rows, yearly_bound: 0.001_018_5 }
    }

    #[test]
    fn the_table_is_read_from_left_to_right_and_ends_with_the_bound() {
        let rows = vec![Row::judged("guess", 30, 9, 9).with_hits(1), Row::not_tried("burst", "no mail came")];
        let table = report(rows).table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "play  | attempts | granted | promised | hits | verdict");
        assert_eq!(lines[1], "guess |       30 |       9 |        9 |    1 | kept");
        assert!(lines[2].ends_with("not tried") && lines[4] == "burst: no mail came", "{table}");
        assert!(lines.last().unwrap().ends_with("at most 0.1019 %, says the policy."), "{table}");
    }

    #[test]
    fn one_grant_too_many_breaks_the_promise_and_luck_does_not() {
        assert!(report(vec![Row::judged("guess", 30, 9, 9).with_hits(2)]).is_kept());
        let broken = report(vec![Row::judged("a", 30, 9, 9), Row::judged("b", 30, 10, 9)]);
        assert!(!broken.is_kept());
        let json: Value = serde_json::from_str(&broken.json()).unwrap();
        assert_eq!((&json["plays"][1]["verdict"], &json["kept"]), (&json!("broken"), &json!(false)));
    }
}
