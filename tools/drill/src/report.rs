//! Report of a drill: one row per check and the overall verdict, as a table or as JSON.

use std::io::Write;

use serde_json::{Value, json};

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    /// More was granted than the policy promises.
    Broken,
    NotTried,
}

/// One check: what was granted, compared with what the policy promises at most.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Scenario and subject, such as `burst: mails to one address`.
    pub(crate) check: String,
    pub(crate) attempts: u64,
    pub(crate) granted: u64,
    pub(crate) promised: u64,
    /// Correct guesses. They are a matter of luck and do not affect the verdict.
    pub(crate) hits: u64,
    pub(crate) verdict: Verdict,
    pub(crate) note: String,
}

/// All rows of a drill.
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) rows: Vec<Row>,
    /// Probability promised by the policy: see [`Report::table`].
    pub(crate) yearly_bound: f64,
}

const LEGEND: &str = "granted: the most that any one code, address or network was granted; promised: the most that the \
                      policy allows.\nhits: correct guesses, which are luck and do not affect the verdict.";

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "BROKEN",
            Self::NotTried => "not tried",
        }
    }
}

impl Row {
    /// Compares what was granted with what the policy promises. Without attempts, the check was not tried.
    pub(crate) fn compared(check: &str, attempts: u64, granted: u64, promised: u64) -> Self {
        let verdict = match () {
            () if granted > promised => Verdict::Broken,
            () if attempts == 0 => Verdict::NotTried,
            () => Verdict::Kept,
        };
        Self { check: check.to_owned(), attempts, granted, promised, hits: 0, verdict, note: String::new() }
    }

    /// A check that could not be tried, and the reason.
    pub(crate) fn not_tried(check: &str, reason: &str) -> Self {
        Self::compared(check, 0, 0, 0).with_note(reason)
    }

    /// Adds a note, which is printed below the table.
    pub(crate) fn with_note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }

    /// Sets the number of correct guesses.
    pub(crate) fn with_hits(self, hits: u64) -> Self {
        Self { hits, ..self }
    }

    /// Whether the check could not be tried.
    pub(crate) fn is_not_tried(&self) -> bool {
        self.verdict == Verdict::NotTried
    }

    fn cells(&self) -> [String; 6] {
        let Self { check, attempts, granted, promised, hits, verdict, .. } = self;
        let numbers = [attempts, granted, promised, hits].map(u64::to_string);
        let [attempts, granted, promised, hits] = numbers;
        [check.clone(), attempts, granted, promised, hits, verdict.as_str().to_owned()]
    }

    fn json(&self) -> Value {
        let Self { check, attempts, granted, promised, hits, verdict, note } = self;
        json!({ "play": check, "attempts": attempts, "granted": granted, "promised": promised, "hits": hits,
                "verdict": verdict.as_str().to_lowercase(), "note": note })
    }
}

impl Report {
    /// Whether no check found a violation of the policy.
    pub(crate) fn is_policy_kept(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Broken)
    }

    /// The report as text: a table, the notes, a legend, and the bound that the policy gives for guessing.
    pub(crate) fn table(&self) -> String {
        let header = ["check", "attempts", "granted", "promised", "hits", "verdict"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(header).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3, 4, 5].map(width);
        let mut text = String::new();
        for row in &rows {
            let cells: Vec<_> =
                row.iter().zip(widths).enumerate().map(|(n, (cell, width))| pad(n, cell, width)).collect();
            text += &format!("{}\n", cells.join(" | ").trim_end());
        }
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            text += &format!("\n{}: {}", row.check, row.note);
        }
        let percent = self.yearly_bound * 100.0;
        let bound = "According to the policy, the probability that an attacker without access to the mails takes over a \
                     given address within a year is at most";
        format!("{text}\n\n{LEGEND}\n{bound} {percent:.4} %.\n")
    }

    /// The report as JSON. Scripts parse it: keep its members.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let report = json!({ "target": self.target, "plays": rows, "one_address_one_year": self.yearly_bound,
                             "kept": self.is_policy_kept() });
        format!("{report:#}\n")
    }
}

/// Left-aligns words and right-aligns numbers.
fn pad(column: usize, cell: &str, width: usize) -> String {
    if (1..=4).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

/// Prints progress to standard error.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "drill: {text}");
}

/// Prints the report to standard output.
pub(crate) fn print(text: &str) {
    // If standard output is closed, there is nowhere to report the error.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Row>) -> Report {
        Report { target: "http://localhost:8000".into(), rows, yearly_bound: 0.001_018_5 }
    }

    #[test]
    fn table_is_aligned_and_ends_with_the_bound() {
        let rows = vec![Row::compared("guess", 30, 9, 9).with_hits(1), Row::not_tried("burst", "no mail was sent")];
        let table = report(rows).table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "check | attempts | granted | promised | hits | verdict");
        assert_eq!(lines[1], "guess |       30 |       9 |        9 |    1 | kept");
        assert!(lines[2].ends_with("not tried") && lines[4] == "burst: no mail was sent", "{table}");
        assert!(lines.last().unwrap().ends_with("at most 0.1019 %."), "{table}");
    }

    #[test]
    fn excess_grant_breaks_the_policy_and_a_hit_does_not() {
        assert!(report(vec![Row::compared("guess", 30, 9, 9).with_hits(2)]).is_policy_kept());
        let broken = report(vec![Row::compared("a", 30, 9, 9), Row::compared("b", 30, 10, 9)]);
        assert!(!broken.is_policy_kept());
        let json: Value = serde_json::from_str(&broken.json()).unwrap();
        assert_eq!((&json["plays"][1]["verdict"], &json["kept"]), (&json!("broken"), &json!(false)));
    }
}
