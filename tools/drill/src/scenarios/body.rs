//! Account enumeration by content: sends the same requests for unknown, pending and active addresses and compares the
//! responses.

use anyhow::Result;
use serde_json::json;

use super::{Environment, Row, register_victim};
use crate::{
    client::{Credentials, retry_overloaded},
    response::Response,
    response_diff::differences,
};

const CHECK: &str = "body: answers that differ";

/// The requests about one address, in order, and their responses.
type Transcript = Vec<(&'static str, Response)>;

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let pending = match register_victim(environment, environment.client.next_source()).await? {
        Ok(pending) => pending.credentials.email,
        Err(reason) => return Ok(vec![Row::not_tried(CHECK, &reason)]),
    };
    let unknown = transcript(environment, &Credentials::throwaway().email).await?;
    let mut compared = 0;
    let mut found = vec![];
    let active = environment.arguments.active.iter().map(|email| ("active", email));
    for (kind, email) in std::iter::once(("pending", &pending)).chain(active) {
        let known = transcript(environment, email).await?;
        for ((request, unknown), (_, known)) in unknown.iter().zip(&known) {
            // A correct guess is luck and not a difference; a throttled request tells nothing.
            let is_lucky = *request != "receipt" && (unknown.is_correct_code() || known.is_correct_code());
            if is_lucky || unknown.is_throttled() && known.is_throttled() {
                continue;
            }
            compared += 1;
            found.extend(differences(&format!("{request}, {kind}"), unknown, known));
        }
        if unknown.len() != known.len() {
            found.push(format!("no mail was sent for either the {kind} or the unknown address"));
        }
    }
    if !found.is_empty() && have_codes_become_longer(environment, &unknown).await? {
        let reason = "the codes of all addresses got longer meanwhile, because of the wrong codes of all clients";
        return Ok(vec![Row::not_tried(CHECK, reason)]);
    }
    Ok(vec![Row::compared(CHECK, compared, u64::try_from(found.len())?, 0).with_note(&found.join("; "))])
}

/// Whether a new address gets longer codes than the unknown one got before: then the responses differ for that reason,
/// which reveals nothing about an address.
async fn have_codes_become_longer(environment: &Environment, before: &Transcript) -> Result<bool> {
    let (client, new) = (&environment.client, Credentials::throwaway());
    let now = retry_overloaded(|| client.register(client.next_source(), &new)).await?;
    let registered = before.iter().find(|(request, _)| *request == "register");
    let code_length = |response: &Response| response.json()["code_length"].as_u64();
    Ok(registered.is_some_and(|(_, before)| code_length(before) < code_length(&now)))
}

/// Everything that a client without an account can ask about an address.
async fn transcript(environment: &Environment, email: &str) -> Result<Transcript> {
    let client = &environment.client;
    let source = client.next_source();
    let credentials = Credentials::for_address(email);
    let guess = json!({ "code": "0000" });
    let mut transcript = vec![];
    transcript.push(("activate", retry_overloaded(|| client.activate(source, &credentials, &guess)).await?));
    transcript.push(("resend", retry_overloaded(|| client.resend(source, &credentials)).await?));
    let registered = retry_overloaded(|| client.register(source, &credentials)).await?;
    let registration = registered.registration();
    transcript.push(("register", registered));
    if let Some(receipt) = client.receipt_when_sent(&registration).await? {
        transcript.push(("receipt", receipt));
        let resent = retry_overloaded(|| client.resend(source, &credentials)).await?;
        transcript.push(("resend after registering", resent));
        client.receipt_when_sent(&registration).await?;
        let guessed = retry_overloaded(|| client.activate(source, &credentials, &guess)).await?;
        transcript.push(("activate after registering", guessed));
    }
    Ok(transcript)
}
