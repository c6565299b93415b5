//! Result table, as text and as Markdown.

use crate::report::statistics::{median, range};

/// The goal of a value and its floor: the limit that is still acceptable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Goal and floor.
    AtLeast(f64, f64),
    /// Goal and floor.
    AtMost(f64, f64),
    /// The value is only reported.
    None,
}

/// Unit of the values of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Ratio,
    Milliseconds,
    Seconds,
    /// How often something happened.
    Count,
    PerSecond,
}

/// A result: the values of all rounds and their goal.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) label: String,
    vestibule: String,
    baseline: String,
    /// One per round.
    values: Vec<f64>,
    unit: Unit,
    goal: Goal,
}

/// The column titles.
pub(crate) const HEADER: [&str; 9] =
    ["id", "measurement", "vestibule", "baseline", "median", "range", "goal", "floor", "result"];

impl Row {
    /// A ratio: the values of Vestibule and of the baseline in each round, in the same unit.
    pub(crate) fn ratio(id: &'static str, label: &str, rounds: &[(f64, f64)], unit: &str, goal: Goal) -> Self {
        let side = |values: Vec<f64>| format!("{} {unit}", number(median(&values)));
        Self {
            id,
            label: label.to_owned(),
            vestibule: side(rounds.iter().map(|round| round.0).collect()),
            baseline: side(rounds.iter().map(|round| round.1).collect()),
            values: rounds.iter().map(|(vestibule, baseline)| vestibule / baseline).collect(),
            unit: Unit::Ratio,
            goal,
        }
    }

    /// Values without a baseline.
    pub(crate) fn plain(id: &'static str, label: &str, values: Vec<f64>, unit: Unit, goal: Goal) -> Self {
        Self { id, label: label.to_owned(), vestibule: String::new(), baseline: String::new(), values, unit, goal }
    }

    /// The row as text, in the order of [`HEADER`].
    pub(crate) fn cells(&self) -> [String; 9] {
        let (least, most) = range(&self.values);
        let write = |value: f64| self.unit.write(value);
        let (goal, floor) = match self.goal {
            Goal::AtLeast(goal, floor) => (format!("≥ {}", write(goal)), format!("≥ {}", write(floor))),
            Goal::AtMost(goal, floor) => (format!("≤ {}", write(goal)), format!("≤ {}", write(floor))),
            Goal::None => (String::new(), String::new()),
        };
        [
            self.id.to_owned(),
            self.label.clone(),
            self.vestibule.clone(),
            self.baseline.clone(),
            write(median(&self.values)),
            format!("{}–{}", write(least).split(' ').next().unwrap_or_default(), write(most)),
            goal,
            floor,
            self.verdict().to_owned(),
        ]
    }

    /// Whether the median meets the goal or the floor.
    pub(crate) fn verdict(&self) -> &'static str {
        let value = median(&self.values);
        match self.goal {
            Goal::None => "",
            Goal::AtLeast(goal, _) if value >= goal => "met",
            Goal::AtMost(goal, _) if value <= goal => "met",
            Goal::AtLeast(_, floor) if value >= floor => "floor met",
            Goal::AtMost(_, floor) if value <= floor => "floor met",
            Goal::AtLeast(..) | Goal::AtMost(..) => "missed",
        }
    }

    /// Whether every round has a value; otherwise the bench is broken.
    pub(crate) fn is_measured(&self) -> bool {
        !self.values.is_empty() && self.values.iter().all(|value| value.is_finite())
    }
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Milliseconds => format!("{} ms", number(value)),
            Self::Seconds => format!("{value:.1} s"),
            Self::Count => format!("{value:.0}"),
            Self::PerSecond => format!("{} /s", number(value)),
        }
    }
}

/// Formats a number with three significant digits, the precision of the measurements.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The table as Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let line = |cells: [String; 9]| format!("| {} |\n", cells.join(" | "));
    let mut table = line(HEADER.map(str::to_owned)) + &line(HEADER.map(|_| "---".to_owned()));
    table.extend(rows.iter().map(|row| line(row.cells())));
    table
}

/// The table as text with aligned columns.
pub(crate) fn aligned(rows: &[Row]) -> String {
    let lines: Vec<_> = std::iter::once(HEADER.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let line = |cells: &[String; 9]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_compares_the_median_with_goal_and_floor() {
        let row =
            |vestibule: f64, goal| Row::ratio("B0", "this", &[(vestibule, 100.0), (vestibule, 100.0)], "/s", goal);
        let at_least = Goal::AtLeast(0.9, 0.8);
        assert_eq!(
            [95.0, 85.0, 75.0].map(|vestibule| row(vestibule, at_least).verdict()),
            ["met", "floor met", "missed"]
        );
        let at_most = Goal::AtMost(0.8, 0.9);
        assert_eq!(
            [75.0, 85.0, 95.0].map(|vestibule| row(vestibule, at_most).verdict()),
            ["met", "floor met", "missed"]
        );
        assert_eq!(row(f64::NAN, at_least).verdict(), "missed");
        assert!(!row(f64::NAN, at_least).is_measured() && row(1.0, at_least).is_measured());
    }

    #[test]
    fn markdown_and_text_have_the_same_cells() {
        let rows = [Row::ratio("B0", "this ÷ that", &[(95.0, 100.0), (90.0, 100.0), (99.0, 100.0)], "/s", Goal::None)];
        assert!(markdown(&rows).ends_with("| B0 | this ÷ that | 95.0 /s | 100 /s | 0.95 | 0.90–0.99 |  |  |  |\n"));
        assert!(aligned(&rows).lines().nth(1).unwrap().starts_with("B0  this ÷ that  95.0 /s    100 /s"));
    }
}
