//! Hostile to the protocol: heads, lengths, chunks, paths, and clients that take their time.

use super::wire::{Try, Want};

/// A head with these lines, and a body.
fn head(lines: &str, body: &str) -> Vec<u8> {
    format!("{lines}\r\n\r\n{body}").into_bytes()
}

/// What comes at once.
pub(super) fn tries(key: &str) -> Vec<Try> {
    let lead = r#"{"name":"x","email":"x@example.net"}"#;
    let post = format!("POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Type: application/json");
    let hidden = "GET /v1/keys HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut all = vec![
        Try::raw("HTTP/1.1 without a host", head("GET /v1/leads HTTP/1.1", "")),
        Try::raw("two hosts", head("GET /v1/leads HTTP/1.1\r\nHost: a\r\nHost: b", "")),
        Try::raw("HTTP/0.9", "GET /\r\n"),
        Try::raw("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Try::raw("HTTP/9.9", head("GET / HTTP/9.9\r\nHost: a", "")),
        Try::raw("a TLS greeting at a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(8)),
        Try::raw("noise", (0..2_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect::<Vec<u8>>()),
        Try::ask("a method nobody knows", "BREW", "/v1/leads", &[("Authorization", key)], b""),
        Try::ask("TRACE", "TRACE", "/", &[("X-Secret", "echo-me")], b"").never("echo-me"),
        Try::raw("CONNECT as a proxy", head("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: a\r\nConnection: close", "")),
        Try::raw(
            "another host in the request's line",
            head("GET http://evil.example/v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close", ""),
        ),
        Try::ask(
            "the method overridden by a header",
            "POST",
            "/v1/workspace",
            &[("Authorization", key), ("X-HTTP-Method-Override", "DELETE")],
            b"{}",
        ),
        Try::ask("the path overridden by a header", "GET", "/", &[("X-Original-URL", "/v1/keys"), ("X-Rewrite-URL", "/v1/keys")], b"")
            .want(Want::Harmless)
            .never("\"items\""),
        Try::raw("an address of 100 kB", head(&format!("GET /{} HTTP/1.1\r\nHost: a", "a".repeat(100_000)), "")),
        Try::raw("an address of 20 kB", head(&format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close", "a".repeat(20_000)), "")),
        Try::raw("a header of 100 kB", head(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "a".repeat(100_000)), "")),
        Try::raw("5,000 headers", head(&format!("GET / HTTP/1.1\r\nHost: a{}", "\r\nX-A: 1".repeat(5_000)), "")),
        Try::raw("a header's name with a blank", head("GET /v1/leads HTTP/1.1\r\nHost: a\r\nX A: 1", "")),
        Try::raw("a blank before the colon", head("GET /v1/leads HTTP/1.1\r\nHost: a\r\nContent-Length : 5", "hello")),
        Try::raw("NUL in a header", head("GET /v1/leads HTTP/1.1\r\nHost: a\r\nX-A: a\0b", "")),
        Try::raw("a folded header", head("GET /v1/leads HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2", "")),
        Try::raw("lines that end with LF alone", "GET /v1/leads HTTP/1.1\nHost: a\nConnection: close\n\n"),
        Try::raw("lines that end with CR alone", "GET /v1/leads HTTP/1.1\rHost: a\r\r"),
        Try::raw(
            "length and chunks",
            head(&format!("{post}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"), &format!("0\r\n\r\n{hidden}")),
        )
        .never("401 unauthorized"),
        Try::raw("two lengths", head(&format!("{post}\r\nContent-Length: 36\r\nContent-Length: 4"), lead)),
        Try::raw("two lengths in one line", head(&format!("{post}\r\nContent-Length: 36, 4"), lead)),
        Try::raw("a length with a sign", head(&format!("{post}\r\nContent-Length: +36"), lead)),
        Try::raw("a negative length", head(&format!("{post}\r\nContent-Length: -1"), lead)),
        Try::raw("a hexadecimal length", head(&format!("{post}\r\nContent-Length: 0x24"), lead)),
        Try::raw("a length beyond 64 bits", head(&format!("{post}\r\nContent-Length: 99999999999999999999999"), lead)),
        Try::raw("a length of 8 exabytes", head(&format!("{post}\r\nContent-Length: 9223372036854775807"), lead)),
        Try::raw("chunks, then identity", head(&format!("{post}\r\nTransfer-Encoding: chunked, identity"), "0\r\n\r\n")),
        Try::raw("an encoding that nobody knows", head(&format!("{post}\r\nTransfer-Encoding: xchunked"), "0\r\n\r\n")),
        Try::raw("chunks behind a vertical tab", head(&format!("{post}\r\nTransfer-Encoding: \x0bchunked"), "0\r\n\r\n")),
        Try::raw("chunks in HTTP/1.0", head("POST /v1/leads HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        Try::raw(
            "a chunk's size beyond 64 bits",
            head(&format!("{post}\r\nTransfer-Encoding: chunked"), "fffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ),
        Try::raw("a negative chunk", head(&format!("{post}\r\nTransfer-Encoding: chunked"), "-1\r\nx\r\n0\r\n\r\n")),
        Try::raw("a chunk longer than it says", head(&format!("{post}\r\nTransfer-Encoding: chunked"), "2\r\n{\"name\":1}\r\n0\r\n\r\n")),
        Try::raw(
            "64 kB of a chunk's extensions",
            head(&format!("{post}\r\nTransfer-Encoding: chunked"), &format!("1;{}\r\n{{\r\n0\r\n\r\n", "a".repeat(65_536))),
        ),
        Try::raw(
            "a key in the trailers",
            head(
                "GET /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization",
                &format!("0\r\nAuthorization: {key}\r\n\r\n"),
            ),
        ),
        Try::raw(
            "a request hidden in the body of a GET",
            head(&format!("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}", hidden.len()), hidden),
        )
        .want(Want::Harmless)
        .never("401"),
        Try::raw("a hundred requests in one packet", hidden.repeat(99) + "GET /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        Try::ask("an expectation that nobody can meet", "POST", "/v1/leads", &[("Authorization", key), ("Expect", "a miracle")], b"{}"),
        Try::ask(
            "an upgrade to HTTP/2",
            "GET",
            "/v1/keys",
            &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")],
            b"",
        ),
        Try::ask(
            "an upgrade to a web socket",
            "GET",
            "/v1/live",
            &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "x")],
            b"",
        ),
        Try::ask("a thousand ranges", "GET", "/docs", &[("Range", &format!("bytes={}", "0-,".repeat(1_000)))], b"").want(Want::Harmless),
        Try::ask("a thousand encodings", "GET", "/docs", &[("Accept-Encoding", &"gzip;q=0.1,".repeat(1_000))], b"").want(Want::Harmless),
        Try::ask("a cookie of 20 kB", "GET", "/v1/leads", &[("Cookie", &format!("tessera_session={}", "a".repeat(20_000)))], b""),
        Try::ask(
            "a cookie that is no session",
            "GET",
            "/v1/leads",
            &[("Cookie", "tessera_session=\"'; drop table people_sessions; --")],
            b"",
        ),
        Try::raw(
            "bytes that are no text in a cookie",
            [
                b"GET /v1/leads HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: tessera_session=".as_slice(),
                &[0xff, 0xfe, 0x80],
                b"\r\n\r\n",
            ]
            .concat(),
        ),
        Try::raw(
            "bytes that are no text in an address",
            [b"GET /v1/leads/".as_slice(), &[0xff, 0xfe], b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"].concat(),
        ),
    ];
    for path in [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5csecret.key",
        "/assets/x/..%2f..%2fsecret.key",
        "/photos/..%2f..%2fsecret.key",
        "/dev/mailbox/..%2f..%2fsecret.key",
        "/%00",
        "/%ff%fe%80",
        "/%",
        "/%zz",
        "/v1/leads/..;/keys",
        "/v1//keys",
        "/v1/leads%2f..%2fkeys",
        "/.git/config",
        "/tessera.toml",
        "/secret.key",
        "/c/..%2f..%2f.vcf",
        "/v1/leads/lead_00000000000000000000000000000000%0d%0aX-A:1",
        "//evil.example/%2f..",
    ] {
        all.push(Try::ask(format!("path {path}"), "GET", path, &[], b"").never("root:").never("location: //evil").never("\r\nx-a:1"));
    }
    all
}

/// Clients that take their time: sent side by side, because each takes as long as the server's patience lasts.
pub(super) fn slow_tries(key: &str) -> Vec<Try> {
    let post = format!("POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Type: application/json\r\n");
    vec![
        Try::raw("a head that never ends", "GET /v1/leads HTTP/1.1\r\nHost: a\r\n").then(60, ""),
        Try::raw("a head of one line every 3 s", "GET /v1/leads HTTP/1.1\r\n")
            .then(3, "X-A: 1\r\n")
            .then(3, "X-B: 1\r\n")
            .then(3, "X-C: 1\r\n")
            .then(3, "X-D: 1\r\n")
            .then(60, ""),
        Try::raw("a connection that says nothing", "").then(60, ""),
        Try::raw("a body that never comes", format!("{post}Content-Length: 100\r\n\r\n")).then(60, ""),
        Try::raw("a body of one byte every 3 s", format!("{post}Content-Length: 100\r\n\r\n{{"))
            .then(3, "\"")
            .then(3, "n")
            .then(3, "a")
            .then(3, "m")
            .then(3, "e")
            .then(60, ""),
        Try::raw("a chunk that never comes", format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\n")).then(60, ""),
        Try::raw(
            "a form that never comes",
            "POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nemail=",
        )
        .then(60, ""),
    ]
}
