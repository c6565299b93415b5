//! SMTP AUTH: reads user and password; the session checks them.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::wire::Wire;

/// Reads user and password (PLAIN or LOGIN), or rejects a mechanism that is not offered and returns `None`.
pub(super) async fn read_credentials(
    wire: &mut Wire,
    arguments: &str,
    offered: &str,
) -> io::Result<Option<(String, String)>> {
    let (mechanism, initial) = arguments.split_once(' ').unwrap_or((arguments, ""));
    if !offered.split(' ').any(|offer| offer == mechanism) {
        wire.reply("504 5.5.4 unknown mechanism").await?;
        return Ok(None);
    }
    Ok(Some(match (mechanism, initial) {
        ("PLAIN", "") => from_plain(&challenge(wire, "").await?),
        ("PLAIN", response) => from_plain(&decode(response)),
        _ => (challenge(wire, "Username:").await?, challenge(wire, "Password:").await?),
    }))
}

/// Sends a challenge and reads the response.
async fn challenge(wire: &mut Wire, question: &str) -> io::Result<String> {
    wire.reply(&format!("334 {}", STANDARD.encode(question))).await?;
    Ok(decode(&wire.read_line().await?))
}

fn decode(base64: &str) -> String {
    let bytes = STANDARD.decode(base64).expect("AUTH in base64");
    String::from_utf8(bytes).expect("AUTH in UTF-8")
}

/// User and password of `\0user\0password`.
fn from_plain(response: &str) -> (String, String) {
    let mut fields = response.split('\0').skip(1).map(str::to_owned);
    (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
}
