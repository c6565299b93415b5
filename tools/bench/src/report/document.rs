//! Writes what was found into docs/PERFORMANCE.md, between its two marks, and draws the plot beside it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    benches::BenchResults,
    environment::context::BenchContext,
    report::{plot, table},
};

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

pub(crate) fn write(context: &BenchContext, findings: &BenchResults, servers: &str) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let path = docs.join("PERFORMANCE.md");
    let text = std::fs::read_to_string(&path).context("docs/PERFORMANCE.md")?;
    let measured = format!(
        "\n{} {} rounds, engine `{}`.\n\n{}\n![Goodput and waiting time against offered load](performance.svg)\n",
        machine(context, servers),
        context.rounds(),
        context.engine.name(),
        table::markdown(&findings.rows)
    );
    std::fs::write(&path, between_marks(&text, &measured).context("docs/PERFORMANCE.md has lost its marks")?)?;
    Ok(std::fs::write(docs.join("performance.svg"), plot::svg(&findings.points))?)
}

/// By what matters for the figures, and by nothing else.
pub(crate) fn machine(context: &BenchContext, servers: &str) -> String {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    format!("{} cores, {:.0} GiB of memory; {servers}.", context.cores, kib.unwrap_or(0.0) / 1024.0 / 1024.0)
}

fn between_marks(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{new}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        assert_eq!(between_marks(&text, "\nnew\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nz\n"));
        assert_eq!(between_marks("no marks", "new"), None);
    }
}
