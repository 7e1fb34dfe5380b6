//! The query of a scan, carried over into the destination's address. Pure.

use std::collections::HashSet;

/// Longest part of a scan's query that is carried over.
const QUERY_BYTES_MAX: usize = 2_048;

/// The destination's address with the scan's parameters added: behind its own and before its fragment, never in the place of
/// one of its own, and with whatever must not stand in an address escaped. `None` when nothing is to be added.
pub fn merged(location: &str, query: &str) -> Option<String> {
    let query = query.get(..query.len().min(QUERY_BYTES_MAX)).filter(|query| !query.is_empty())?;
    // A parameter that the bound cuts in two is left out as a whole.
    let is_cut = query.len() == QUERY_BYTES_MAX;
    let query = if is_cut { query.rsplit_once('&').map_or("", |(whole, _)| whole) } else { query };
    let (address, fragment) = location.split_once('#').map_or((location, None), |(address, fragment)| (address, Some(fragment)));
    let own = address.split_once('?').map(|(_, own)| own);
    let own_names: HashSet<String> = own.into_iter().flat_map(names).collect();
    let mut out = String::with_capacity(location.len() + query.len() + 1);
    out.push_str(address);
    let mut is_first = true;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if names(pair).next().is_none_or(|name| name.is_empty() || own_names.contains(&name)) {
            continue;
        }
        match (is_first, own) {
            (true, None) => out.push('?'),
            (true, Some(own)) if own.is_empty() || own.ends_with('&') => {}
            _ => out.push('&'),
        }
        is_first = false;
        escape(pair, &mut out);
    }
    if is_first {
        return None;
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    Some(out)
}

/// The names of a query's parameters, decoded, so that `%61` is the same as `a`.
fn names(query: &str) -> impl Iterator<Item = String> + '_ {
    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned())
}

/// Keeps what RFC 3986 allows in a query, escapes included, and escapes the rest.
fn escape(pair: &str, out: &mut String) {
    for byte in pair.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;=:@/?%&".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = std::fmt::Write::write_fmt(out, format_args!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_merged_without_harm_to_the_destination() {
        for (location, query, expected) in [
            ("https://a.example/", "", None),
            ("https://a.example/", "&", None),
            ("https://a.example/", "x=1", Some("https://a.example/?x=1")),
            ("https://a.example/p", "x=1&y=2", Some("https://a.example/p?x=1&y=2")),
            ("https://a.example/p?a=1", "x=1", Some("https://a.example/p?a=1&x=1")),
            ("https://a.example/p?", "x=1", Some("https://a.example/p?x=1")),
            ("https://a.example/p?a=1&", "x=1", Some("https://a.example/p?a=1&x=1")),
            ("https://a.example/p#top", "x=1", Some("https://a.example/p?x=1#top")),
            ("https://a.example/p?a=1#top?b", "x=1", Some("https://a.example/p?a=1&x=1#top?b")),
            ("https://a.example/p?a=1", "a=2", None),
            ("https://a.example/p?a=1", "%61=2&b=3", Some("https://a.example/p?a=1&b=3")),
            ("https://a.example/p?a", "a=2&c", Some("https://a.example/p?a&c")),
            ("https://a.example/p?a=1", "x=1&&y=2&", Some("https://a.example/p?a=1&x=1&y=2")),
            ("https://a.example/p?a=1", "=2", None),
            ("https://a.example/p", "x=1&x=2", Some("https://a.example/p?x=1&x=2")),
            ("https://a.example/p", "x=a+b%20c%26d", Some("https://a.example/p?x=a+b%20c%26d")),
            ("https://a.example/p", "x=\"<b>\\^`{|}", Some("https://a.example/p?x=%22%3Cb%3E%5C%5E%60%7B%7C%7D")),
            ("https://a.example/p", "x=https://b.example/?q=1", Some("https://a.example/p?x=https://b.example/?q=1")),
            ("https://a.example/p", "x=1;y=2", Some("https://a.example/p?x=1;y=2")),
            ("https://a.example/p", "ümlaut=ß", Some("https://a.example/p?%C3%BCmlaut=%C3%9F")),
            (
                "https://a.example/p?request_id=req_1",
                "request_id=req_2&utm_source=qr",
                Some("https://a.example/p?request_id=req_1&utm_source=qr"),
            ),
        ] {
            assert_eq!(merged(location, query).as_deref(), expected, "{location} with {query}");
        }
    }

    #[test]
    fn a_query_beyond_the_bound_loses_whole_parameters_only() {
        let query = format!("a=1&b={}", "x".repeat(3_000));
        assert_eq!(merged("https://a.example/", &query).as_deref(), Some("https://a.example/?a=1"));
        let query = format!("b={}", "x".repeat(3_000));
        assert_eq!(merged("https://a.example/", &query), None);
        let umlauts = "ü".repeat(3_000);
        assert_eq!(merged("https://a.example/", &format!("a={umlauts}")), None);
    }
}
