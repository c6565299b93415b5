//! What a person can send at once, and what comes back.

use serde_json::{Value, json};

const ID: &str = "b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52";

pub(crate) fn of_schemas() -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("Registration", json!({ "email": "ada@example.com", "password": "correct horse battery" })),
        ("Resending", json!({})),
        ("Activation", json!({ "code": "0042" })),
        (
            "Receipt",
            json!({
                "registration": ID, "status": "sent", "requested_at": "2026-11-21T12:00:00Z",
                "sent_at": "2026-11-21T12:00:00.08Z", "expires_at": "2026-11-21T12:01:00.08Z",
                "resend_at": "2026-11-21T12:01:00Z", "code_length": 4, "attempts_left": 3,
            }),
        ),
        ("Forgotten", json!({ "email": "ada@example.com" })),
        ("Reset", json!({ "receipt": ID, "code": "00420042", "password": "another horse battery" })),
        ("PasswordChange", json!({ "password": "correct horse battery", "new_password": "another horse battery" })),
        (
            "ResetReceipt",
            json!({
                "receipt": ID, "status": "sent", "requested_at": "2026-11-21T12:00:00Z",
                "sent_at": "2026-11-21T12:00:00.08Z", "expires_at": "2026-11-21T12:10:00.08Z",
                "resend_at": "2026-11-21T12:01:00Z", "code_length": 8, "attempts_left": 3,
            }),
        ),
        (
            "Session",
            json!({
                "token": "YW4gZXhhbXBsZSwgYW5kIG5vYm9keSdzIHRva2VuLi4", "token_type": "Bearer",
                "expires_at": "2026-11-22T12:00:00Z",
            }),
        ),
    ]
    .into_iter()
}
