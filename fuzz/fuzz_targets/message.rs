//! Parser of queue messages: a parsed message serialises to the same content.
#![no_main]

use shared::messages::Message;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = Message::from_json(bytes) {
        assert_eq!(Message::from_json(message.to_json().to_string().as_bytes()), Ok(message));
    }
});
