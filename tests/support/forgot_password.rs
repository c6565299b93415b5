//! Forgotten passwords: methods for the endpoints and for whole flows.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    stack::Stack,
};

/// The password that resets and changes set.
pub const NEW: &str = "another horse battery";

impl Client {
    /// Requests a reset code.
    pub async fn request_reset(&self, email: &str) -> Answer {
        self.post("/v1/users/password/forgot", &json!({ "email": email })).await
    }

    /// Sets [`NEW`] with a reset code.
    pub async fn reset(&self, receipt: &str, code: &str) -> Answer {
        self.reset_to(receipt, code, NEW).await
    }

    /// Sets this password with a reset code.
    pub async fn reset_to(&self, receipt: &str, code: &str, password: &str) -> Answer {
        let body = json!({ "receipt": receipt, "code": code, "password": password });
        self.post("/v1/users/password/reset", &body).await
    }

    /// Reads the receipt of a reset, which must exist.
    pub async fn reset_receipt(&self, receipt: &str) -> Value {
        let answer = self.get(&format!("/v1/users/password/forgot/{receipt}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Polls the receipt of a reset until it has this status.
    pub async fn wait_for_reset_receipt(&self, receipt: &str, status: &str) -> Value {
        let wait = async {
            loop {
                let current = self.reset_receipt(receipt).await;
                if current["status"] == status {
                    return current;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(20), wait).await {
            Ok(current) => current,
            Err(_) => panic!("the receipt did not become {status}: {}", self.reset_receipt(receipt).await),
        }
    }
}

impl Answer {
    /// The id in a reset receipt.
    pub fn receipt(&self) -> String {
        self.json()["receipt"].as_str().unwrap_or_else(|| panic!("no receipt: {self:?}")).to_owned()
    }
}

impl Stack {
    /// Creates an account and waits for the welcome mail, the second one to the email address.
    pub async fn create_account(&self, email: &str) {
        self.sign_up_and_activate(email).await;
        self.mail_server.nth_mail_to(email, 2).await;
    }

    /// Requests a reset code and waits for its mail, the `nth` one to the email address. Returns the receipt's id and
    /// the code.
    pub async fn request_reset_code(&self, email: &str, nth: usize) -> (String, String) {
        let answer = self.client.request_reset(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let receipt = answer.receipt();
        let mail = self.mail_server.nth_mail_to(email, nth).await;
        self.client.wait_for_reset_receipt(&receipt, "sent").await;
        (receipt, mail.code())
    }
}
