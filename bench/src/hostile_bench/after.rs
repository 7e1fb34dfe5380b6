//! What is looked at afterwards: whether anybody inside was reached, and how what was kept is shown.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::Row;
use super::scene::Scene;
use super::wire::{Try, Want};

/// Idempotency keys used again.
pub(super) async fn replays(scene: &Scene) -> Result<Vec<Row>, String> {
    let headers =
        [("Authorization", scene.ours.key.as_str()), ("Content-Type", "application/json"), ("Idempotency-Key", "once-and-only-once")];
    let body = br#"{"name":"Replayed","email":"replayed@example.net"}"#;
    let mut rows = Vec::new();
    let first = Try::ask("an idempotency key", "POST", "/v1/leads", &headers, body).want(Want::Is(201));
    let answer = first.send(scene.host()).await;
    rows.push(Row::of(&first, &answer));
    let id =
        answer.text.split_once("\"id\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(id, _)| id.to_owned()).unwrap_or_default();
    for (name, path, body, want) in [
        ("the same request again", "/v1/leads", body.as_slice(), Want::Is(201)),
        ("its key with other words", "/v1/leads", br#"{"name":"Mallory","email":"mallory@example.net"}"#.as_slice(), Want::Refused),
        ("its key at another address", "/v1/codes", b"{\"name\":\"another address\"}".as_slice(), Want::Harmless),
    ] {
        let again = Try::ask(name, "POST", path, &headers, body).want(want);
        let again = if want == Want::Is(201) { again.holds(&id) } else { again.never(&id) };
        let got = again.send(scene.host()).await;
        rows.push(Row::of(&again, &got));
    }
    let looker = [("Authorization", scene.ours.looker.as_str()), headers[1], headers[2]];
    let stolen = Try::ask("its key with another API key", "POST", "/v1/leads", &looker, body).never(&id);
    let got = stolen.send(scene.host()).await;
    rows.push(Row::of(&stolen, &got));
    let mut racing = Vec::new();
    let headers = [headers[0], headers[1], ("Idempotency-Key", "twenty-at-once")];
    let race = Try::ask("twenty at once with one key", "POST", "/v1/leads", &headers, br#"{"name":"Raced","email":"raced@example.net"}"#)
        .want(Want::Is(201));
    for _ in 0..20 {
        let (race, host) = (race.clone(), scene.host().to_owned());
        racing.push(tokio::spawn(async move { race.send(&host).await }));
    }
    let mut bodies = Vec::new();
    let mut row = None;
    for racer in racing {
        let got = racer.await.map_err(|e| e.to_string())?;
        bodies.push(got.text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned());
        row = Some(row.filter(|row: &Row| row.wrong.is_some()).unwrap_or_else(|| Row::of(&race, &got)));
    }
    bodies.dedup();
    rows.extend(row.map(|mut row| {
        row.wrong = row.wrong.or((bodies.len() > 1).then(|| format!("{} different answers", bodies.len())));
        row
    }));
    let raced = scene.us.must(Method::GET, "/v1/leads?q=raced", None).await?;
    let count = raced["items"].as_array().map_or(0, Vec::len);
    let submissions = raced["items"][0]["submissions"].as_i64().unwrap_or_default();
    rows.push(Row::looked(
        "twenty at once made one lead",
        (count != 1 || submissions != 1).then(|| format!("{count} leads, {submissions} submissions")),
    ));
    Ok(rows)
}

/// Deliveries that would have to reach what is inside.
pub(super) async fn inside(scene: &Scene) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let own_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let port = scene.port_inside();
    let mut urls = vec![("a webhook that redirects inside", scene.leading_url())];
    if !own_name.is_empty() {
        urls.push(("a webhook to a name that points inside", format!("http://{own_name}:{port}/hook")));
    }
    for (name, url) in urls {
        let (status, made) = scene.us.call(Method::POST, "/v1/webhooks", Some(&json!({ "url": url })), None).await?;
        let Some(id) = made["endpoint"]["id"].as_str() else {
            let code = made["code"].as_str().unwrap_or_default().to_owned();
            rows.push(Row { name: name.into(), status: Some(status.as_u16()), code, wrong: None });
            continue;
        };
        scene.us.must(Method::POST, &format!("/v1/webhooks/{id}/test"), None).await?;
        let mut attempts = Vec::new();
        for _ in 0..50 {
            attempts = scene.us.all(&format!("/v1/webhooks/{id}/attempts")).await?;
            if !attempts.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let was_delivered = attempts.iter().any(|attempt| attempt["outcome"] == "delivered");
        let answer = attempts.first().map(|attempt| format!("{} {}", attempt["outcome"], attempt["answer"])).unwrap_or_default();
        let wrong = if attempts.is_empty() {
            Some("no attempt was recorded".to_owned())
        } else {
            was_delivered.then(|| "it was delivered".to_owned())
        };
        rows.push(Row { name: name.into(), status: Some(status.as_u16()), code: answer.chars().take(90).collect(), wrong });
        scene.us.call(Method::DELETE, &format!("/v1/webhooks/{id}"), None, None).await?;
    }
    let (reached, led) = (scene.forbidden.reached(), scene.leading.reached());
    rows.push(Row::looked("nobody inside was reached", (reached > 0).then(|| format!("{reached} requests came"))));
    rows.push(Row::looked("the redirect was really met", (led == 0).then(|| "the leading server was not reached".to_owned())));
    Ok(rows)
}

/// The first cell that a spreadsheet would run.
fn formula_in(table: &str) -> Option<String> {
    let (mut is_quoted, mut is_start) = (false, true);
    for (at, c) in table.char_indices() {
        match c {
            '"' if is_start => {
                is_quoted = true;
                continue;
            }
            '"' => is_quoted = !is_quoted,
            ',' | '\n' if !is_quoted => {
                is_start = true;
                continue;
            }
            '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠' if is_start && !table[at..].starts_with("\r\n") => {
                return Some(table[at..].chars().take(30).collect());
            }
            _ => {}
        }
        is_start = false;
    }
    None
}

/// How what was kept is shown: in tables, pages, vCards and mails.
pub(super) async fn shown(scene: &Scene) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for table in ["leads.csv", "codes.csv"] {
        let (status, text) = scene.us.call_text(&format!("/v1/{table}")).await?;
        let wrong = if status.is_success() { formula_in(&text) } else { Some(status.to_string()) };
        rows.push(Row::looked(format!("no cell of {table} is a formula"), wrong));
    }
    let kept: Vec<_> = scene
        .us
        .all("/v1/leads")
        .await?
        .into_iter()
        .filter(|lead| lead["email"].as_str().is_some_and(|email| email.starts_with("kept")))
        .collect();
    let mut pages = vec!["/leads".to_owned(), "/codes".to_owned(), "/cards".to_owned(), format!("/c/{}/page", scene.other_card)];
    pages.extend(kept.iter().filter_map(|lead| Some(format!("/leads/{}", lead["id"].as_str()?))));
    let (mut wrong, mut seen) = (None, 0);
    for path in &pages {
        let (status, text) = scene.page(path).await?;
        let lower = text.to_lowercase();
        let found = ["<script>alert", "<img src=x", "1337", "\" onerror="].into_iter().find(|bad| lower.contains(bad));
        wrong = wrong.or(found.map(|bad| format!("{path} holds {bad}"))).or((!status.is_success()).then(|| format!("{path}: {status}")));
        seen += usize::from(lower.contains("&lt;script&gt;alert") || lower.contains("&#60;script&#62;alert"));
    }
    rows.push(Row::looked(format!("what was kept is escaped on {} pages", pages.len()), wrong));
    rows.push(Row::looked(
        "the script was really shown, escaped",
        (seen == 0).then(|| format!("{} leads kept, and no page shows it", kept.len())),
    ));
    let mut wrong = None;
    for card in scene.us.all("/v1/cards").await? {
        let path = card["vcard"].as_str().unwrap_or_default().to_owned();
        let (status, text) = scene.page(&path).await?;
        let begins = text.lines().filter(|line| line.trim_end().eq_ignore_ascii_case("BEGIN:VCARD")).count();
        wrong = wrong.or((begins != 1).then(|| format!("{path}: {status}, {begins} cards in it")));
    }
    rows.push(Row::looked("no vCard holds another", wrong));
    let mut wrong = None;
    let mut mails = 0;
    for entry in std::fs::read_dir(scene.mail_folder()).into_iter().flatten().flatten() {
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()).to_lowercase();
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        mails += 1;
        let found = ["\nbcc:", "victim@", "evil.example"].into_iter().find(|bad| head.contains(bad));
        let found = found.or_else(|| ["http://evil.example/sign-in", "1337"].into_iter().find(|bad| text.contains(bad)));
        wrong = wrong.or(found.map(|bad| format!("a mail holds {bad:?}")));
    }
    rows.push(Row::looked(format!("nothing was slipped into {mails} mails"), wrong.or((mails == 0).then(|| "there are none".into()))));
    Ok(rows)
}
