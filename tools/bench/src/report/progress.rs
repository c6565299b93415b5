//! Progress output.

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the results of the program")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}
