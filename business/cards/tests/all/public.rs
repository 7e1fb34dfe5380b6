//! What everybody gets who scans: the vCard, the offline symbol, and a page whose form leads understands.

use cards::page::{self, CardPage, ExchangeForm, FormState};
use cards::{Card, OfflineSymbol, Profile};
use kernel::{Id, RawId, Timestamp, WorkspaceId};
use rxing::common::HybridBinarizer;
use rxing::qrcode::QRCodeReader;
use rxing::{BinaryBitmap, DecodeHints, Luma8LuminanceSource, Reader};
use serde_json::json;

use crate::world::{World, picture};

#[tokio::test(flavor = "multi_thread")]
async fn a_vcard_is_3_0_by_default_and_4_0_on_request() {
    let world = World::new().await;
    let id = world.card("ada", "Ada Lovelace").await;
    world.upload("ada", &id, picture(1)).await;
    let three = world.get(&format!("/c/{id}.vcf"), &[]).await;
    assert_eq!((three.status.as_u16(), three.header("content-type")), (200, "text/vcard; charset=utf-8"));
    assert_eq!(three.header("content-disposition"), "attachment; filename=\"Ada-Lovelace.vcf\"; filename*=UTF-8''Ada%20Lovelace.vcf");
    assert!(!three.header("cache-control").contains("no-store"));
    assert!(three.text().starts_with("BEGIN:VCARD\r\nVERSION:3.0\r\n"));
    assert!(three.text().contains("\r\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/") && three.text().ends_with("\r\n\r\nEND:VCARD\r\n"));
    assert!(three.text().split("\r\n").all(|line| line.len() <= 75));
    let four = world.get(&format!("/c/{id}.vcf?version=4"), &[]).await;
    assert!(four.text().contains("VERSION:4.0\r\n") && four.text().contains("PHOTO:data:image/jpeg;base64,"));
    assert_ne!(three.header("etag"), four.header("etag"));
    assert_eq!(world.get(&format!("/c/{id}.vcf?version=5"), &[]).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vcard_is_asked_for_again_only_when_the_card_changed() {
    let world = World::new().await;
    let id = world.card("ada", "Ada").await;
    let path = format!("/c/{id}.vcf");
    let tag = world.get(&path, &[]).await.header("etag").to_owned();
    let again = world.get(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    world.upload("ada", &id, picture(1)).await;
    assert_eq!(world.get(&path, &[("if-none-match", &tag)]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iphone_opens_the_contact_at_once_and_a_code_names_the_page() {
    let world = World::new().await;
    let made = world.ask("ada", "POST", "/v1/cards", json!({ "code": "new", "profile": { "display_name": "ليلى حداد" } })).await.json();
    let (id, code) = (made["id"].as_str().unwrap(), made["codes"][0]["code"].as_str().unwrap());
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)";
    let reply = world.get(&format!("/c/{id}.vcf?code={code}"), &[("user-agent", agent)]).await;
    assert!(reply.header("content-disposition").starts_with("inline; filename=\"contact.vcf\"; filename*=UTF-8''%D9%84"));
    assert!(reply.text().contains(&format!("SOURCE:https://t.example/{code}\r\n")));
    let foreign = world.get(&format!("/c/{id}.vcf?code=https://evil.example"), &[]).await;
    assert!(!foreign.text().contains("SOURCE") && !foreign.text().contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404_and_a_retired_card_is_not_there() {
    let world = World::new().await;
    let id = world.card("ada", "Ada").await;
    assert_eq!(world.get(&format!("/c/{id}/qr.svg"), &[]).await.header("content-type"), "image/svg+xml");
    world.ask("ada", "POST", &format!("/v1/cards/{id}/retire"), json!({})).await;
    let unknown = format!("/c/card_{:032x}.vcf", 5);
    for path in [
        format!("/c/{id}.vcf"),
        format!("/c/{id}/qr.svg"),
        format!("/c/{id}"),
        unknown,
        "/c/x.vcf".to_owned(),
        "/photos/00.jpg".to_owned(),
        format!("/photos/{:032x}.jpg", 5),
        format!("/photos/{:032x}.png", 5),
    ] {
        assert_eq!(world.get(&path, &[]).await.status, 404, "{path}");
    }
}

fn card(profile: serde_json::Value) -> Card {
    let text = |name: &str| profile[name].as_str().map(str::to_owned);
    let draft = cards::ProfileDraft {
        display_name: text("display_name"),
        organisation: text("organisation"),
        job_title: text("job_title"),
        emails: vec![cards::LabelledDraft::new("work", profile["email"].as_str().unwrap_or("ada@engines.example"))],
        phones: vec![cards::LabelledDraft::new("mobile", "+44 20 7946 0018")],
        ..cards::ProfileDraft::default()
    };
    let (id, workspace) = (cards::CardId::from_raw(RawId::from_bits(7)), WorkspaceId::from_raw(RawId::from_bits(1)));
    Card::new(id, workspace, None, Profile::parse(draft).unwrap(), Timestamp::from_seconds(1))
}

#[test]
fn an_independent_reader_finds_the_contact_in_the_offline_symbol() {
    for (name, organisation) in
        [("Ada Lovelace", "Analytical Engines Ltd"), ("Zoë Müller", "Söhne & Töchter GmbH"), ("ليلى حداد", "شركة النخيل")]
    {
        let card = card(json!({ "display_name": name, "organisation": organisation, "job_title": "Head" }));
        let symbol = OfflineSymbol::of(&card.profile, Some("https://t.example/K7QW2XR9")).unwrap();
        let text = drawn(&symbol);
        let found = cards::vcard::compact(&card.profile, Some("https://t.example/K7QW2XR9"));
        assert_eq!(text, found[0], "{name}");
        assert!(text.contains(&format!("FN:{name}\r\n")) && text.contains("TEL:+442079460018\r\n"));
    }
}

/// Draws the path as a browser does, and has it read.
fn drawn(symbol: &OfflineSymbol) -> String {
    const SCALE: usize = 4;
    let side = symbol.side() as usize;
    let mut grey = vec![255_u8; side * side * SCALE * SCALE];
    let (mut x, mut y) = (0_usize, 0_usize);
    for step in symbol.path().split_inclusive(|c: char| c.is_ascii_alphabetic()).collect::<Vec<_>>().windows(2) {
        let (command, rest) = (step[0].chars().last().unwrap(), step[1].trim_end_matches(|c: char| c.is_ascii_alphabetic()));
        let numbers: Vec<&str> = rest.split(' ').collect();
        match command {
            'M' => (x, y) = (numbers[0].parse().unwrap(), numbers[1].trim_end_matches(".5").parse().unwrap()),
            'm' => x += numbers[0].parse::<usize>().unwrap(),
            _ => x = line(&mut grey, side, x, y, rest.parse().unwrap(), SCALE),
        }
    }
    let last = symbol.path().rsplit('h').next().unwrap().parse().unwrap();
    line(&mut grey, side, x, y, last, SCALE);
    let pixels = (side * SCALE) as u32;
    let source = Luma8LuminanceSource::new(grey, pixels, pixels).unwrap();
    let hints = DecodeHints { CharacterSet: Some("UTF-8".to_owned()), TryHarder: Some(true), ..DecodeHints::default() };
    QRCodeReader.decode_with_hints(&mut BinaryBitmap::new(HybridBinarizer::new(source)), &hints).unwrap().getText().to_owned()
}

fn line(grey: &mut [u8], side: usize, x: usize, y: usize, run: usize, scale: usize) -> usize {
    for row in y * scale..(y + 1) * scale {
        grey[row * side * scale + x * scale..row * side * scale + (x + run) * scale].fill(0);
    }
    x + run
}

#[test]
fn the_pages_form_has_the_fields_that_leads_reads() {
    let mut page = CardPage::new(card(json!({ "display_name": "Ada" })), "https://t.example/K7QW2XR9");
    page.exchange = Some(ExchangeForm {
        action: "/K7QW2XR9".into(),
        token: "t0ken".into(),
        consent_text: "I agree".into(),
        consent_version: 1,
        state: FormState::Fresh,
    });
    let html = page::render(&page);
    for field in ["name", "email", "phone", "company", "message", leads::CONSENT_FIELD, leads::TRAP_FIELD, leads::TOKEN_FIELD] {
        assert!(html.contains(&format!("name=\"{field}\"")), "{field}");
    }
    let sent = [("name", "Bob"), ("email", "bob@example.com"), (leads::CONSENT_FIELD, "yes"), (leads::TOKEN_FIELD, "t0ken")];
    assert!(html.contains("name=\"consent\" value=\"yes\"") && leads::parse_form(sent).is_ok(), "what the box sends is a consent to leads");
}
