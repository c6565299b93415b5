//! Selects the client's language from `Accept-Language`.

use i18n::{Language, accept_language};
use poem::http::{HeaderMap, header};

/// The preferred language of the request. Several headers form one list; a header that is not text is ignored.
pub(crate) fn preferred(headers: &HeaderMap) -> Language {
    let lists = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    accept_language::preferred(&lists.collect::<Vec<_>>().join(","))
}
