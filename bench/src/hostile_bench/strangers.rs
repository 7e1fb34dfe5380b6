//! Hostile in who asks, and where it leads: other workspaces' things, keys and sessions, forms, addresses inside, redirects.

use serde_json::json;

use super::wire::{Try, Want};

/// Things of another workspace.
pub(super) struct Theirs {
    pub(super) lead: String,
    pub(super) card: String,
    pub(super) code: String,
    pub(super) webhook: String,
    pub(super) member: String,
    pub(super) key: String,
}

/// Things of ours.
pub(super) struct Ours {
    /// `Bearer …`
    pub(super) key: String,
    /// The same for a key that may only look.
    pub(super) looker: String,
    pub(super) card: String,
    pub(super) code: String,
    pub(super) lead: String,
    /// `name=value` of a session.
    pub(super) cookie: String,
    /// A form's address, its token and a token that was used.
    pub(super) action: String,
    pub(super) fresh_token: String,
    pub(super) used_token: String,
}

/// What another workspace has is not there.
pub(super) fn across(ours: &Ours, theirs: &Theirs) -> Vec<Try> {
    let Theirs { lead, card, code, webhook, member, key } = theirs;
    let url = r#"{"destination":{"kind":"url","url":"https://evil.example/"}}"#;
    let profile = r#"{"profile":{"given_name":"Mallory"},"version":1}"#;
    let cases: Vec<(&str, String, &str)> = vec![
        ("GET", format!("/v1/leads/{lead}"), ""),
        ("PATCH", format!("/v1/leads/{lead}"), r#"{"version":1,"status":"lost"}"#),
        ("POST", format!("/v1/leads/{lead}/notes"), r#"{"body":"x"}"#),
        ("GET", format!("/v1/cards/{card}"), ""),
        ("PUT", format!("/v1/cards/{card}"), profile),
        ("POST", format!("/v1/cards/{card}/codes"), ""),
        ("POST", format!("/v1/cards/{card}/retire"), "{}"),
        ("PUT", format!("/v1/cards/{}/codes/{code}", ours.card), ""),
        ("PUT", format!("/v1/cards/{card}/codes/{}", ours.code), ""),
        ("GET", format!("/v1/codes/{code}"), ""),
        ("GET", format!("/v1/codes/{code}/scans"), ""),
        ("GET", format!("/v1/codes/{code}/symbol.svg"), ""),
        ("PATCH", format!("/v1/codes/{code}"), r#"{"name":"x"}"#),
        ("POST", format!("/v1/codes/{code}/bind"), url),
        ("POST", format!("/v1/codes/{code}/pause"), ""),
        ("POST", format!("/v1/codes/{code}/retire"), ""),
        ("GET", format!("/v1/webhooks/{webhook}"), ""),
        ("GET", format!("/v1/webhooks/{webhook}/attempts"), ""),
        ("POST", format!("/v1/webhooks/{webhook}/rotate"), "{}"),
        ("POST", format!("/v1/webhooks/{webhook}/test"), ""),
        ("DELETE", format!("/v1/webhooks/{webhook}"), ""),
        ("GET", format!("/v1/members/{member}"), ""),
        ("PATCH", format!("/v1/members/{member}"), r#"{"role":"viewer"}"#),
        ("DELETE", format!("/v1/members/{member}"), ""),
        ("DELETE", format!("/v1/keys/{key}"), ""),
    ];
    let mut all = Vec::new();
    for (method, path, body) in cases {
        let shown = path.replace(&ours.card, "ours").replace(&ours.code, "ours");
        let shown = [lead, card, code, webhook, member, key].iter().fold(shown, |shown, id| shown.replace(id.as_str(), "theirs"));
        let name = format!("{method} {shown}");
        all.push(Try::json(name, method, &path, &ours.key, body).never("theirs only"));
    }
    all.push(Try::json(
        "a lead assigned to a member of theirs",
        "POST",
        "/v1/leads",
        &ours.key,
        json!({ "name": "x", "email": "h@example.net", "assigned_to": member }).to_string(),
    ));
    all.push(Try::json(
        "our card handed to a member of theirs",
        "PUT",
        &format!("/v1/cards/{}/owner", ours.card),
        &ours.key,
        json!({ "owner": member }).to_string(),
    ));
    for (name, path) in [
        ("a page of leads that begins at theirs", format!("/v1/leads?after={lead}")),
        ("the trail of theirs", format!("/v1/audit?subject={lead}")),
    ] {
        all.push(
            Try::ask(name, "GET", &path, &[("Authorization", &ours.key)], b"")
                .want(Want::Harmless)
                .never("theirs only")
                .never("lead.captured"),
        );
    }
    all
}

/// Keys, sessions and rights.
pub(super) fn callers(ours: &Ours) -> Vec<Try> {
    let mut all = Vec::new();
    let key = ours.key.trim_start_matches("Bearer ").to_owned();
    let (id, secret) = key.split_once('.').map_or((String::new(), String::new()), |(id, secret)| (id.to_owned(), secret.to_owned()));
    for (name, value) in [
        ("no key", String::new()),
        ("half a key", format!("Bearer {id}")),
        ("a key with another secret", format!("Bearer {id}.{}", secret.chars().rev().collect::<String>())),
        ("a key cut short", format!("Bearer {}", &key[..key.len() - 1])),
        ("another's key number", format!("Bearer tsk_00000000000000000000000000000000.{secret}")),
        ("a key of 20 kB", format!("Bearer tsk_{}", "a".repeat(20_000))),
        ("SQL as a key", "Bearer ' or 1=1 --".to_owned()),
        ("a password for a key", "Basic YWRtaW46YWRtaW4=".to_owned()),
        ("a token that signs itself", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_owned()),
    ] {
        all.push(Try::ask(name, "GET", "/v1/leads", &[("Authorization", &value)], b""));
    }
    all.push(Try::ask("two keys", "GET", "/v1/leads", &[("Authorization", "Bearer x"), ("Authorization", &ours.key)], b""));
    for (method, path, body) in [
        ("POST", "/v1/leads".to_owned(), r#"{"name":"x","email":"h@example.net"}"#),
        ("POST", "/v1/codes".to_owned(), "{}"),
        ("POST", "/v1/keys".to_owned(), r#"{"name":"more","scopes":["keys:write"]}"#),
        ("POST", "/v1/invitations".to_owned(), r#"{"email":"mallory@example.net","role":"owner"}"#),
        ("POST", "/v1/leads/erase-person".to_owned(), r#"{"email":"ours@example.net"}"#),
        ("GET", "/v1/audit".to_owned(), ""),
        ("GET", "/v1/keys".to_owned(), ""),
    ] {
        all.push(Try::json(format!("a key that may look: {method} {path}"), method, &path, &ours.looker, body));
    }
    let cookie = ("Cookie", ours.cookie.as_str());
    let json_type = ("Content-Type", "application/json");
    for (name, headers) in [
        ("a session without a page", vec![]),
        ("a session from another site", vec![("Sec-Fetch-Site", "cross-site")]),
        ("a session from a sister site", vec![("Sec-Fetch-Site", "same-site")]),
        ("a session from another origin", vec![("Origin", "http://evil.example")]),
        ("a session from our name at another's", vec![("Origin", "http://127.0.0.1.evil.example")]),
        ("a session from no origin", vec![("Origin", "null")]),
        ("a session from another origin that says it is ours", vec![("Origin", "http://evil.example"), ("Host", "evil.example")]),
    ] {
        let headers = [vec![cookie, json_type], headers].concat();
        all.push(Try::ask(name, "POST", "/v1/leads", &headers, br#"{"name":"x","email":"csrf@example.net"}"#));
    }
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    let path = format!("/leads/{}/status", ours.lead);
    all.push(Try::ask(
        "a form of another site",
        "POST",
        &path,
        &[cookie, form_type, ("Sec-Fetch-Site", "cross-site")],
        b"status=lost&version=1",
    ));
    all.push(Try::ask("a page in a frame", "GET", "/leads", &[cookie], b"").want(Want::Taken).holds("frame-ancestors 'none'"));
    for next in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "/%09/evil.example",
        "%0d%0aLocation:%20https://evil.example",
        "javascript:alert(1)",
        "%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/%2F/evil.example",
    ] {
        let asked =
            Try::ask(format!("sign in, then to {next}"), "GET", &format!("/sign-in?next={next}"), &[cookie], b"").want(Want::Harmless);
        all.push(
            asked
                .never("location: //evil")
                .never("location: https://evil")
                .never("location: /\\evil")
                .never("location: javascript")
                .never("<script>alert"),
        );
    }
    all
}

/// The public form and the sign-in.
pub(super) fn visitors(ours: &Ours, other_action: &str) -> Vec<Try> {
    let form = |name: &str, action: &str, body: String| {
        Try::ask(name, "POST", action, &[("Content-Type", "application/x-www-form-urlencoded")], body.as_bytes())
    };
    let Ours { action, fresh_token, used_token, .. } = ours;
    let fields = |token: &str| format!("name=Mallory&email=mallory%40example.net&consent=on&form_token={token}");
    let token_changed = fresh_token.chars().rev().collect::<String>();
    let host = b"POST /sign-in/link HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 23\r\n\r\nemail=ada%40example.com";
    // Signing in first: what is asked too often is refused unread.
    vec![
        Try::raw("a link asked for under another host", host.as_slice()).want(Want::Taken).never("evil.example"),
        form("a sign-in link that was never sent", "/sign-in/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", String::new()),
        form("an invitation that was never sent", "/join/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "name=Mallory".into()),
        form("a form without a token", action, "name=Mallory&email=mallory%40example.net&consent=on".into()),
        form("a form with a forged token", action, fields(&token_changed)),
        form("a form with another card's token", other_action, fields(fresh_token)),
        form("a form with a used token and other words", action, fields(used_token)),
        form("a form without consent", action, format!("name=Mallory&email=mallory%40example.net&form_token={fresh_token}")),
        form("a form with a field twice", action, fields(fresh_token) + "&name=Eve"),
        form("a form of bytes that are no text", action, "name=%ff%fe&email=%00&consent=on".into()),
        form("a form with a script, shown again", action, "name=%3Cscript%3Ealert(1)%3C/script%3E&email=%22%3E%3Cscript%3Ealert(2)".into())
            .never("<script>alert"),
        form("a form with 100,000 fields", action, "a=1&".repeat(100_000)).want(Want::RefusedOrClosed),
        form("a form for a card that is not", "/c/card_00000000000000000000000000000000/details", fields(fresh_token)),
        form("a sign-in with SQL", "/sign-in", "email=%27+or+1%3D1+--&password=x".into()),
        form("a sign-in that leads elsewhere", "/sign-in", "email=ada%40example.com&password=x&next=%22%3E%3Cscript%3Ealert(1)".into())
            .never("<script>alert"),
        form("a password of 100 kB", "/sign-in", format!("email=ada%40example.com&password={}", "x".repeat(100_000))),
    ]
}

/// Webhooks that point inside, in every spelling; what a name leads to is judged again at the delivery.
pub(super) fn inside(ours: &Ours, port: u16) -> Vec<Try> {
    let mut all = Vec::new();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "127.0.0.1.",
        "１２７.0.0.1",
        "①②⑦.⓪.⓪.①",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "[fc00::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "metadata.google.internal",
        "user:pw@127.0.0.1",
        "example.org@127.0.0.1",
        "127.0.0.1#@example.org",
        "127.0.0.1\\\\@example.org",
        "127%2e0%2e0%2e1",
    ] {
        all.push(Try::json(
            format!("a webhook to {host}"),
            "POST",
            "/v1/webhooks",
            &ours.key,
            format!("{{\"url\":\"http://{host}:{port}/hook\"}}"),
        ));
    }
    for url in [
        "gopher://127.0.0.1:25/_HELO",
        "file:///etc/passwd",
        "ftp://example.org/",
        "https://",
        "https://example.org/\\r\\nX-A: 1",
        "https://example.org:99999/",
    ] {
        let want = if url.contains("X-A") { Want::Harmless } else { Want::Refused };
        all.push(Try::json(format!("a webhook to {url}"), "POST", "/v1/webhooks", &ours.key, format!("{{\"url\":\"{url}\"}}")).want(want));
    }
    all
}
