//! What the bench tells whoever waits for it.

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
pub(crate) fn print(line: &str) {
    println!("{line}");
}
