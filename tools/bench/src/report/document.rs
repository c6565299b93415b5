//! Writes the results into docs/PERFORMANCE.md, between two markers, and the plot into docs/performance.svg.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    benches::BenchResults,
    environment::context::BenchContext,
    report::{plot, table},
};

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// Updates the document and the plot.
pub(crate) fn write(context: &BenchContext, findings: &BenchResults, servers: &str) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let path = docs.join("PERFORMANCE.md");
    let text = std::fs::read_to_string(&path).context("cannot read docs/PERFORMANCE.md")?;
    let measured = format!(
        "\n{} {} rounds, engine `{}`.\n\n{}\n![Goodput and latency by offered load](performance.svg)\n",
        machine(context, servers),
        context.rounds(),
        context.engine.name(),
        table::markdown(&findings.rows)
    );
    std::fs::write(
        &path,
        replace_between_markers(&text, &measured)
            .context("docs/PERFORMANCE.md does not contain the markers <!-- bench:begin --> and <!-- bench:end -->")?,
    )?;
    Ok(std::fs::write(docs.join("performance.svg"), plot::svg(&findings.points))?)
}

/// The properties of the machine and the servers that affect the figures.
pub(crate) fn machine(context: &BenchContext, servers: &str) -> String {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    format!("{} cores, {:.0} GiB of memory; {servers}.", context.cores, kib.unwrap_or(0.0) / 1024.0 / 1024.0)
}

/// `None` if a marker is missing.
fn replace_between_markers(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{new}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_between_the_markers_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        assert_eq!(replace_between_markers(&text, "\nnew\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nz\n"));
        assert_eq!(replace_between_markers("no markers", "new"), None);
    }
}
