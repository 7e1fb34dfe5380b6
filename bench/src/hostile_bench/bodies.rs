//! Hostile in what is said: JSON, numbers, times, texts, pictures, templates, idempotency keys.

use serde_json::json;

use super::wire::{Try, Want};

/// A formula that would open a program in a spreadsheet.
pub(super) const FORMULA: &str = "=HYPERLINK(\\\"http://evil.example\\\")";
/// Markup that would run in a page that does not escape.
pub(super) const SCRIPT: &str = "<script>alert(1)</script>";
/// 7 times 191, which a template that runs what people type would turn into 1337.
pub(super) const TEMPLATE: &str = "{{7*191}}${7*191}#{7*191}<%= 7*191 %>";

/// A PNG's chunk.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in kind.iter().chain(data) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &(!crc).to_be_bytes()].concat()
}

/// A PNG that claims this size and holds nothing.
fn png(width: u32, height: u32) -> Vec<u8> {
    let size = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    let empty = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01];
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &size), &chunk(b"IDAT", &empty), &chunk(b"IEND", b"")].concat()
}

/// Bodies and queries of the API.
pub(super) fn tries(key: &str, card: &str, code: &str) -> Vec<Try> {
    let mut all = Vec::new();
    let deep_array = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let with_name = |name: &str| format!("{{\"name\":{name},\"email\":\"h@example.net\"}}");
    let leads: Vec<(&str, Vec<u8>)> = vec![
        ("a number for a text", with_name("5").into()),
        ("null for a text", with_name("null").into()),
        ("a list for a text", with_name("[\"x\"]").into()),
        ("an object for a text", with_name("{\"$ne\":null}").into()),
        ("a list for the body", "[]".into()),
        ("a text for the body", "\"x\"".into()),
        ("no body", Vec::new()),
        ("no JSON", "name=x".into()),
        ("JSON that breaks off", "{\"name\":\"x".into()),
        ("words after the JSON", (with_name("\"x\"") + "garbage").into()),
        ("two bodies", with_name("\"x\"").repeat(2).into()),
        ("a key twice", "{\"name\":\"a\",\"name\":\"b\",\"email\":\"h@example.net\"}".into()),
        ("a field that nobody knows", "{\"name\":\"a\",\"email\":\"h@example.net\",\"is_admin\":true}".into()),
        ("__proto__", "{\"name\":\"a\",\"email\":\"h@example.net\",\"__proto__\":{\"role\":\"owner\"}}".into()),
        (
            "another's workspace named",
            "{\"name\":\"a\",\"email\":\"h@example.net\",\"workspace\":\"ws_00000000000000000000000000000001\"}".into(),
        ),
        ("bytes that are no UTF-8", [b"{\"name\":\"".as_slice(), &[0xff, 0xfe, 0xc0, 0x80], b"\",\"email\":\"h@example.net\"}"].concat()),
        ("an overlong slash", [b"{\"name\":\"".as_slice(), &[0xc0, 0xaf], b"\",\"email\":\"h@example.net\"}"].concat()),
        ("half a surrogate pair", with_name("\"\\ud800\"").into()),
        ("NUL in a text", with_name("\"a\\u0000b\"").into()),
        ("a bell in a text", with_name("\"a\\u0007b\"").into()),
        ("UTF-16", with_name("\"x\"").encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("10,000 lists in lists", deep_array.clone().into()),
        ("10,000 objects in objects", deep_object.into()),
        ("10,000 lists in a field", with_name(&deep_array).into()),
        ("a name of 100 kB", with_name(&format!("\"{}\"", "a".repeat(100_000))).into()),
        ("a body of 20 MB", with_name(&format!("\"{}\"", "a".repeat(20_000_000))).into()),
        ("100,000 fields", format!("{{{}\"name\":\"x\"}}", "\"a\":1,".repeat(100_000)).into()),
        ("nothing but blanks in a name", with_name("\" \\t\\u00a0\"").into()),
        ("a header in an email", "{\"name\":\"x\",\"email\":\"a@example.net\\r\\nBcc: victim@example.net\"}".into()),
        ("two addresses in an email", "{\"name\":\"x\",\"email\":\"a@example.net,victim@example.net\"}".into()),
        ("a text where an id belongs", "{\"name\":\"x\",\"email\":\"h@example.net\",\"assigned_to\":\"' or 1=1 --\"}".into()),
        (
            "a consent of the year 9999",
            "{\"name\":\"x\",\"email\":\"h@example.net\",\"consent\":{\"version\":0,\"at\":\"9999-12-31T23:59:59Z\"}}".into(),
        ),
        (
            "a consent text that never was",
            "{\"name\":\"x\",\"email\":\"h@example.net\",\"consent\":{\"version\":9223372036854775807}}".into(),
        ),
    ];
    for (name, body) in leads {
        // Twenty megabytes are cut off while they are sent, which may cost the answer.
        let want = if body.len() > 1 << 20 { Want::RefusedOrClosed } else { Want::Refused };
        all.push(Try::json(name, "POST", "/v1/leads", key, body).want(want));
    }
    for (name, body) in [
        ("a limit of 2^63 - 1 scans", "{\"scan_limit\":9223372036854775807}"),
        ("a limit of 2^63 scans", "{\"scan_limit\":9223372036854775808}"),
        ("a limit of 1e999 scans", "{\"scan_limit\":1e999}"),
        ("a limit of -1 scans", "{\"scan_limit\":-1}"),
        ("a limit of 1.5 scans", "{\"scan_limit\":1.5}"),
        ("a limit as a text", "{\"scan_limit\":\"5\"}"),
        ("an end in the year 99999", "{\"expires_at\":\"99999-01-01T00:00:00Z\"}"),
        ("an end in the year 0 with 25 hours", "{\"expires_at\":\"0000-01-01T25:00:00Z\"}"),
        ("an end on 30 February", "{\"expires_at\":\"2027-02-30T00:00:00Z\"}"),
        ("an end as a number", "{\"expires_at\":-9223372036854775808}"),
        ("a tag with NUL", "{\"tags\":[\"a\\u0000\"]}"),
        ("a destination that runs a script", "{\"destination\":{\"kind\":\"url\",\"url\":\"javascript:alert(1)\"}}"),
        ("a destination that is data", "{\"destination\":{\"kind\":\"url\",\"url\":\"data:text/html,<script>alert(1)</script>\"}}"),
        ("a destination that is a file", "{\"destination\":{\"kind\":\"url\",\"url\":\"file:///etc/passwd\"}}"),
        ("a destination with a header", "{\"destination\":{\"kind\":\"url\",\"url\":\"https://example.com/\\r\\nSet-Cookie: a=b\"}}"),
        (
            "a destination with a password",
            "{\"destination\":{\"kind\":\"url\",\"url\":\"https://example.com@evil.example:pw@evil.example/\"}}",
        ),
        ("a destination of a kind nobody knows", "{\"destination\":{\"kind\":\"shell\",\"url\":\"https://example.com\"}}"),
    ] {
        let want = if name.contains("a header") { Want::Harmless } else { Want::Refused };
        all.push(Try::json(name, "POST", "/v1/codes", key, body).want(want).never("\r\nset-cookie: a=b"));
    }
    let tags = json!({ "tags": (0..10_000).map(|i| i.to_string()).collect::<Vec<_>>() }).to_string();
    all.push(Try::json("10,000 tags", "POST", "/v1/codes", key, tags));
    all.push(Try::json(
        "a destination of 100 kB",
        "POST",
        "/v1/codes",
        key,
        json!({ "destination": { "kind": "url", "url": format!("https://example.com/{}", "a".repeat(100_000)) } }).to_string(),
    ));
    for count in ["0", "-1", "10001", "4294967296", "1e4", "null"] {
        all.push(Try::json(format!("a batch of {count}"), "POST", "/v1/codes/batch", key, format!("{{\"count\":{count}}}")));
    }
    all.push(
        Try::json(
            "a code that leads to itself",
            "POST",
            &format!("/v1/codes/{code}/bind"),
            key,
            format!("{{\"destination\":{{\"kind\":\"url\",\"url\":\"http://127.0.0.1/{code}\"}}}}"),
        )
        .want(Want::Harmless),
    );
    let auth = ("Authorization", key);
    let body = br#"{"name":"x","email":"h@example.net"}"#;
    for (name, headers) in [
        ("JSON said to be text", vec![("Content-Type", "text/plain")]),
        ("JSON said to be a form", vec![("Content-Type", "application/x-www-form-urlencoded")]),
        ("JSON said to be nothing", vec![]),
        ("JSON in UTF-16, it says", vec![("Content-Type", "application/json; charset=utf-16")]),
        ("a body said to be packed", vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")]),
        ("parts without a boundary", vec![("Content-Type", "multipart/form-data")]),
    ] {
        let headers = [vec![auth], headers].concat();
        // A charset may be ignored: the bytes are UTF-8 or refused.
        all.push(Try::ask(name, "POST", "/v1/leads", &headers, body).want(if name.contains("UTF-16") {
            Want::Harmless
        } else {
            Want::Refused
        }));
    }
    let bomb = [0x1f_u8, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].into_iter().chain(std::iter::repeat_n(0, 4_000)).collect::<Vec<_>>();
    all.push(Try::ask(
        "a packed body that would unfold",
        "POST",
        "/v1/leads",
        &[auth, ("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
        &bomb,
    ));
    let json_type = ("Content-Type", "application/json");
    let long = "k".repeat(10_000);
    for (name, value) in [
        ("an idempotency key of 10 kB", long.as_str()),
        ("an empty idempotency key", ""),
        ("an idempotency key that is no text", "\u{7f}\u{80}"),
    ] {
        all.push(Try::ask(name, "POST", "/v1/leads", &[auth, json_type, ("Idempotency-Key", value)], body));
    }
    all.extend(queries(key, code));
    all.extend(pictures(key, card));
    all.extend(templates(key));
    all
}

fn queries(key: &str, code: &str) -> Vec<Try> {
    let mut all = Vec::new();
    for query in [
        "leads?limit=0",
        "leads?limit=-1",
        "leads?limit=99999999999999999999",
        "leads?limit=1&limit=2",
        "leads?after=lead_%27%20or%201=1",
        "leads?status=new%27%3B%20drop%20table%20leads%3B--",
        "leads?assigned_to=%00",
        "leads?q=%ff%fe",
        "leads?unknown=1",
        "codes?state=%3Cscript%3E",
        "audit?after=1%27",
    ] {
        let want = if query.contains("%ff") || query.contains("unknown") { Want::Harmless } else { Want::Refused };
        all.push(
            Try::ask(format!("query {query}"), "GET", &format!("/v1/{query}"), &[("Authorization", key)], b"").want(want).never("<script>"),
        );
    }
    for query in [
        "leads?q=%25%27%20union%20select%20*%20from%20people_keys--",
        "leads?q=%5C%25_%25_%25_%25_%25_%25_%25",
        "codes?search=%25%25%25%25%25%25%25",
    ] {
        all.push(
            Try::ask(format!("query {query}"), "GET", &format!("/v1/{query}"), &[("Authorization", key)], b"")
                .want(Want::Harmless)
                .never("secret_hash"),
        );
    }
    for query in [
        "png?size=100000",
        "png?module=99999999",
        "png?quiet_zone=-1",
        "svg?foreground=%22/%3E%3Cscript%3E",
        "svg?level=%F0%9F%92%A3",
        "png?size=1e9",
        "svg?background=url(http://evil.example)",
    ] {
        let path = format!("/v1/codes/{code}/symbol.{query}");
        all.push(Try::ask(format!("symbol {query}"), "GET", &path, &[("Authorization", key)], b"").never("<script>"));
    }
    for (by, from, to) in [
        ("minute", "1970-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
        ("day", "2030-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("week", "", ""),
    ] {
        let path = format!("/v1/codes/{code}/scans?by={by}&from={from}&to={to}");
        all.push(Try::ask(format!("scans by {by} from {from:.4} to {to:.4}"), "GET", &path, &[("Authorization", key)], b""));
    }
    all
}

fn pictures(key: &str, card: &str) -> Vec<Try> {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script><image href=\"file:///etc/passwd\"/></svg>";
    let gif_that_is_html = [b"GIF89a=1;/*".as_slice(), b"<script>alert(1)</script>*/"].concat();
    let zip = [b"PK\x03\x04".as_slice(), &[0; 400]].concat();
    let mut truncated = png(64, 64);
    truncated.truncate(40);
    let jpeg_head = [
        &[0xff_u8, 0xd8, 0xff, 0xe0, 0, 16][..],
        b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
        &[0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1],
    ]
    .concat();
    let pictures: Vec<(&str, &str, Vec<u8>)> = vec![
        ("an SVG as a photo", "image/svg+xml", svg.to_vec()),
        ("an SVG said to be PNG", "image/png", svg.to_vec()),
        ("a page said to be a GIF", "image/gif", gif_that_is_html),
        ("a zip as a photo", "image/png", zip),
        ("a PNG of 2 billion pixels a side", "image/png", png(0x7fff_ffff, 0x7fff_ffff)),
        ("a PNG of 30,000 pixels a side", "image/png", png(30_000, 30_000)),
        ("a PNG that would take 256 MB", "image/png", png(8_000, 8_000)),
        ("a PNG without pixels", "image/png", png(0, 0)),
        ("a PNG without its pixels", "image/png", png(64, 64)),
        ("half a PNG", "image/png", truncated),
        ("a JPEG of 65,535 pixels a side", "image/jpeg", jpeg_head),
        ("nothing as a photo", "image/png", Vec::new()),
        ("a photo of 10 MB", "image/jpeg", vec![0xff; 10 << 20]),
    ];
    let path = format!("/v1/cards/{card}/photo");
    pictures
        .into_iter()
        .map(|(name, kind, bytes)| {
            let want = if bytes.len() > 1 << 20 { Want::RefusedOrClosed } else { Want::Refused };
            Try::ask(name, "PUT", &path, &[("Authorization", key), ("Content-Type", kind)], &bytes).want(want)
        })
        .collect()
}

fn templates(key: &str) -> Vec<Try> {
    let path = "/v1/templates/lead_captured/en";
    let wording = |text: &str| json!({ "subject": "x", "text": text, "html": "<p>x</p>" }).to_string();
    let mut all = Vec::new();
    for (name, text) in [
        ("a template that counts to a billion", "{% for i in range(1000000000) %}x{% endfor %}"),
        (
            "loops in loops in a template",
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}",
        ),
        ("a template that reads a file", "{% include '/etc/passwd' %}"),
        ("a template that looks behind the curtain", "{{ self.__class__.__mro__[1].__subclasses__() }}"),
        ("a variable that is not there", "{{ database_password }}"),
        ("a template that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        ("a template that breaks off", "{% for i in"),
        ("a template that grows", "{% set a = 'x' * 1000000000 %}{{ a }}"),
    ] {
        all.push(Try::json(name, "PUT", path, key, wording(text)));
        all.push(Try::json(format!("{name}, in a preview"), "POST", &format!("{path}/preview"), key, wording(text)).never("root:"));
    }
    all.push(Try::json(
        "a header in a subject",
        "PUT",
        path,
        key,
        json!({ "subject": "x\r\nBcc: victim@example.net", "text": "x", "html": "<p>x</p>" }).to_string(),
    ));
    all.push(Try::json("a template of 1 MB", "PUT", path, key, wording(&"x".repeat(1 << 20))).want(Want::RefusedOrClosed));
    all.push(Try::json("a template that nobody knows", "PUT", "/v1/templates/..%2f..%2fetc/en", key, wording("x")));
    all
}

/// Texts that are kept, because people are called all sorts of things; how they are shown is checked afterwards.
pub(super) fn kept(key: &str, card: &str, version: i64) -> Vec<Try> {
    let lead = |number: usize, name: &str| {
        format!("{{\"name\":\"{name}\",\"email\":\"kept{number}@example.net\",\"company\":\"{name}\",\"message\":\"{name}\"}}")
    };
    let mut all = Vec::new();
    for (number, (what, name)) in [
        ("a formula as a name", FORMULA),
        ("a formula behind a tab", "\\t=1+1"),
        ("a formula with a plus", "+1+1"),
        ("a formula with a minus", "-1+1"),
        ("a formula with an at", "@SUM(1)"),
        ("a formula behind a full-width sign", "＝1+1"),
        ("a script as a name", SCRIPT),
        ("an attribute as a name", "\\\"><img src=x onerror=alert(1)>"),
        ("a template as a name", TEMPLATE),
        ("a name that turns the text around", "\u{202e}gnp.exe\u{2066}"),
        ("a name of combining marks", "Z\u{0351}\u{036b}\u{0343}\u{036a}\u{0302}\u{036b}\u{033d}\u{034f}a\u{0334}\u{0319}"),
        ("SQL as a name", "Robert'); drop table leads;--"),
    ]
    .into_iter()
    .enumerate()
    {
        all.push(Try::json(what, "POST", "/v1/leads", key, lead(number, name)).want(Want::Harmless));
    }
    let put = |what: &str, profile: serde_json::Value| {
        let body = json!({ "profile": profile, "version": version }).to_string();
        Try::json(what, "PUT", &format!("/v1/cards/{card}"), key, body)
    };
    all.push(put("a note of 1 MB", json!({ "given_name": "x", "note": "n".repeat(1 << 20) })).want(Want::RefusedOrClosed));
    all.push(
        put(
            "10,000 telephones",
            json!({ "given_name": "x", "phones": vec![json!({ "label": "work", "value": "+44 20 7946 0018" }); 10_000] }),
        )
        .want(Want::RefusedOrClosed),
    );
    all.push(put("a link that runs a script", json!({ "given_name": "x", "links": [{ "url": "javascript:alert(1)" }] })));
    all.push(put("a colour that loads a page", json!({ "given_name": "x", "colour": "red;background:url(http://evil.example)" })));
    all.push(put("a language that is markup", json!({ "given_name": "x", "language": "en\"><script>" })));
    all.push(put("a vCard in a card's name", json!({ "given_name": "x\r\nEND:VCARD\r\nBEGIN:VCARD\r\nFN:evil" })).want(Want::Harmless));
    all.push(
        Try::json(
            "a note that is a vCard",
            "POST",
            "/v1/cards",
            key,
            json!({ "profile": { "given_name": "x", "note": format!("a\nEND:VCARD\nBEGIN:VCARD\n{SCRIPT}") } }).to_string(),
        )
        .want(Want::Harmless),
    );
    all
}
