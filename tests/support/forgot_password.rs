//! What somebody does who forgot a password, in few words.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    stack::Stack,
};

pub const NEW: &str = "another horse battery";

impl Client {
    pub async fn forgot(&self, email: &str) -> Answer {
        self.post("/v1/users/password/forgot", &json!({ "email": email })).await
    }

    pub async fn reset(&self, receipt: &str, code: &str) -> Answer {
        self.reset_to(receipt, code, NEW).await
    }

    pub async fn reset_to(&self, receipt: &str, code: &str, password: &str) -> Answer {
        let body = json!({ "receipt": receipt, "code": code, "password": password });
        self.post("/v1/users/password/reset", &body).await
    }

    pub async fn reset_receipt(&self, receipt: &str) -> Value {
        let answer = self.get(&format!("/v1/users/password/forgot/{receipt}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Asks for the receipt again and again until it has this status.
    pub async fn reset_receipt_when(&self, receipt: &str, status: &str) -> Value {
        let wait = async {
            loop {
                let read = self.reset_receipt(receipt).await;
                if read["status"] == status {
                    return read;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(20), wait).await {
            Ok(read) => read,
            Err(_) => panic!("never {status}: {}", self.reset_receipt(receipt).await),
        }
    }
}

impl Answer {
    /// The id in the receipt of a reset.
    pub fn receipt(&self) -> String {
        self.json()["receipt"].as_str().unwrap_or_else(|| panic!("no receipt: {self:?}")).to_owned()
    }
}

impl Stack {
    /// An account, whose owner has been welcomed: two mails.
    pub async fn account(&self, email: &str) {
        self.sign_up_and_activate(email).await;
        self.mail_server.nth_mail_to(email, 2).await;
    }

    /// Asks for a code and waits for the mail, which is the `nth`: the receipt's id, and the code.
    pub async fn forgotten(&self, email: &str, nth: usize) -> (String, String) {
        let answer = self.client.forgot(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let (receipt, mail) = (answer.receipt(), self.mail_server.nth_mail_to(email, nth).await);
        self.client.reset_receipt_when(&receipt, "sent").await;
        (receipt, mail.code())
    }
}
