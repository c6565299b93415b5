//! Writes the results into docs/PERFORMANCE.md, between two markers, and the plot into docs/performance.svg.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    benches::BenchResults,
    environment::context::BenchContext,
    report::{plot, table},
};

/// The folder of the document.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

/// Updates the table of speed and the plot.
pub(crate) fn write(context: &BenchContext, findings: &BenchResults, servers: &str) -> Result<()> {
    let measured = format!(
        "\n{} {} rounds, engine `{}`.\n\n{}\n![Goodput and latency by offered load](performance.svg)\n",
        machine(context, servers),
        context.rounds(),
        context.engine.name(),
        table::markdown(&findings.rows)
    );
    replace("bench", &measured)?;
    Ok(std::fs::write(Path::new(DOCS).join("performance.svg"), plot::svg(&findings.points))?)
}

/// Updates the table of growth.
pub(crate) fn write_growth(context: &BenchContext, findings: &BenchResults, servers: &str) -> Result<()> {
    replace("growth", &format!("\n{}\n\n{}", machine(context, servers), table::markdown(&findings.rows)))
}

/// Replaces a section of the document.
fn replace(section: &str, new: &str) -> Result<()> {
    let path = Path::new(DOCS).join("PERFORMANCE.md");
    let text = std::fs::read_to_string(&path).context("cannot read docs/PERFORMANCE.md")?;
    let replaced = replace_between_markers(section, &text, new);
    let replaced =
        replaced.with_context(|| format!("docs/PERFORMANCE.md does not contain both markers of {section}"))?;
    Ok(std::fs::write(&path, replaced)?)
}

/// The properties of the machine and the servers that affect the figures.
pub(crate) fn machine(context: &BenchContext, servers: &str) -> String {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    format!("{} cores, {:.0} GiB of memory; {servers}.", context.cores, kib.unwrap_or(0.0) / 1024.0 / 1024.0)
}

/// `None` if a marker is missing.
fn replace_between_markers(section: &str, text: &str, new: &str) -> Option<String> {
    let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {section}:{which} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{new}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_between_the_markers_changes() {
        let text = |content| format!("a\n<!-- x:begin -->{content}<!-- x:end -->\n<!-- y:begin -->y<!-- y:end -->\n");
        assert_eq!(replace_between_markers("x", &text("old"), "new").unwrap(), text("new"));
        assert_eq!(replace_between_markers("z", &text("old"), "new"), None);
    }
}
