//! Which language somebody reads, by the header of the request.

use i18n::{Language, accept_language};
use poem::http::{HeaderMap, header};

/// Several headers are one list. One that is no text says nothing.
pub(crate) fn preferred(headers: &HeaderMap) -> Language {
    let lists = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    accept_language::preferred(&lists.collect::<Vec<_>>().join(","))
}
