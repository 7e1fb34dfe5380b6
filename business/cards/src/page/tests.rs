//! The page as phones get it: bytes, words, escapes, directions, and the states of its form.

use kernel::{RawId, Timestamp, WorkspaceId};

use super::*;
use crate::card::{CardId, Profile, ProfileDraft};
use crate::contact::{AddressDraft, LabelledDraft, LinkDraft};
use crate::language::Language;
use crate::photo::PhotoHash;

fn card(draft: ProfileDraft) -> Card {
    let id = CardId::from_raw(RawId::from_bits(0x0198_c2f6_a1b2_7cc0_8a6f_3d2e_1f00_ab12));
    let profile = Profile::parse(draft).unwrap();
    Card::new(id, WorkspaceId::from_raw(RawId::from_bits(2)), None, profile, Timestamp::from_seconds(1_769_851_800))
}

fn short() -> ProfileDraft {
    ProfileDraft {
        given_name: Some("Ada".into()),
        family_name: Some("Lovelace".into()),
        pronouns: Some("she/her".into()),
        job_title: Some("Head of Computation".into()),
        organisation: Some("Analytical Engines Ltd".into()),
        department: Some("Research".into()),
        emails: vec![LabelledDraft::new("work", "ada@engines.example")],
        phones: vec![LabelledDraft::new("mobile", "+44 20 7946 0018"), LabelledDraft::new("work", "+44 20 7946 0000 x42")],
        links: vec![
            LinkDraft { title: None, url: "https://engines.example/".into() },
            LinkDraft { title: Some("LinkedIn".into()), url: "https://www.linkedin.example/in/ada-lovelace".into() },
        ],
        addresses: vec![AddressDraft {
            street: Some("12 St James’s Square".into()),
            city: Some("London".into()),
            postal_code: Some("SW1Y 4JH".into()),
            country: Some("United Kingdom".into()),
            ..AddressDraft::default()
        }],
        note: Some("I write programs for engines that are not built yet.\nAsk me about Bernoulli numbers.".into()),
        colour: Some("#7a3cf0".into()),
        ..ProfileDraft::default()
    }
}

fn long() -> ProfileDraft {
    ProfileDraft {
        display_name: Some("Prof. Dr. Maximiliane-Charlotte Freifrau von Hohenlohe-Waldenburg-Schillingsfürst".into()),
        job_title: Some("Stellvertretende Vorsitzende des Aufsichtsrats für Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaften".into()),
        organisation: Some("Internationale Versicherungs- und Vermögensverwaltungsgesellschaft mbH & Co. KG".into()),
        emails: vec![LabelledDraft::new("work", "maximiliane-charlotte.von-hohenlohe-waldenburg-schillingsfuerst@versicherung.example")],
        phones: vec![LabelledDraft::new("work", "+49 (0)30 1234567-890")],
        language: Some("de".into()),
        colour: Some("#f5d90a".into()),
        ..ProfileDraft::default()
    }
}

fn arabic() -> ProfileDraft {
    ProfileDraft {
        display_name: Some("د. ليلى حداد".into()),
        job_title: Some("مديرة تطوير الأعمال".into()),
        organisation: Some("شركة النخيل للتقنية".into()),
        emails: vec![LabelledDraft::new("work", "layla@nakheel.example")],
        phones: vec![LabelledDraft::new("mobile", "+971 50 123 4567")],
        links: vec![LinkDraft { title: None, url: "https://nakheel.example/".into() }],
        addresses: vec![AddressDraft {
            street: Some("شارع الشيخ زايد".into()), city: Some("دبي".into()), ..AddressDraft::default()
        }],
        note: Some("أساعد الشركات الناشئة على النمو في أسواق جديدة.".into()),
        language: Some("ar".into()),
        colour: Some("#0a7d5c".into()),
        ..ProfileDraft::default()
    }
}

fn form(state: FormState) -> ExchangeForm {
    ExchangeForm {
        action: "/K7QW2XR9/details".into(),
        token: "AaBbCc".into(),
        consent_text: "I agree that Analytical Engines Ltd stores these details to contact me, until I object.".into(),
        consent_version: 3,
        state,
    }
}

fn invalid() -> FormState {
    FormState::Invalid {
        values: FormValues::of([("name", "Charles Babbage"), ("email", "charles@"), ("message", "Let us \"build\" </textarea> it")]),
        errors: vec![
            FieldFault::new("email", "must be a mail address such as ada@example.org"),
            FieldFault::new("consent", "must be ticked, because the details may not be kept without it"),
        ],
    }
}

fn page(draft: ProfileDraft, state: FormState) -> CardPage {
    let mut page = CardPage::new(card(draft), "https://tessera.example/K7QW2XR9");
    page.exchange = Some(form(state));
    page
}

fn examples() -> Vec<(&'static str, String)> {
    let mut with_photo = page(short(), FormState::Fresh);
    with_photo.card.photo = PhotoHash::parse("00112233445566778899aabbccddeeff");
    with_photo.one_tap = Some(OneTap {
        action: "/v1/cards/x/exchange".into(),
        own_name: "Charles Babbage".into(),
        fields: vec![("csrf".into(), "t".into())],
    });
    let bare = page(ProfileDraft { display_name: Some("Prince".into()), ..ProfileDraft::default() }, FormState::Fresh);
    let notice = |kind, tag: &str| Notice { back: Some("/K7QW2XR9".into()), ..Notice::new(kind, Language::parse(tag).unwrap()) };
    vec![
        ("short", render(&page(short(), FormState::Fresh))),
        ("photo", render(&with_photo)),
        ("long", render(&page(long(), FormState::Fresh))),
        ("arabic", render(&page(arabic(), FormState::Fresh))),
        ("bare", render(&bare)),
        ("errors", render(&page(short(), invalid()))),
        ("sent", render(&page(short(), FormState::Sent { name: Some("Charles Babbage".into()) }))),
        ("notfound", render_notice(&Notice::new(NoticeKind::NotFound, Language::english()))),
        ("thanks", render_notice(&notice(NoticeKind::Thanks { visitor: None, to: "د. ليلى حداد".into() }, "ar"))),
    ]
}

#[test]
fn every_page_stays_under_thirty_kilobytes_and_loads_nothing() {
    for (name, html) in examples() {
        assert!(html.len() < 30_000, "{name} takes {} bytes", html.len());
        assert!(html.ends_with("</html>\n") || html.ends_with("</html>"), "{name}");
        assert!(!html.contains("<script") && !html.contains("onclick") && !html.contains("@import"), "{name}");
        for (at, _) in html.match_indices("src=\"") {
            assert!(html[at..].starts_with("src=\"/photos/"), "{name}");
        }
    }
}

#[test]
fn what_somebody_typed_is_never_markup() {
    let evil = "<img src=x onerror=alert(1)>\"'&";
    let draft = ProfileDraft {
        display_name: Some(evil.into()),
        job_title: Some(evil.into()),
        organisation: Some(evil.into()),
        note: Some(evil.into()),
        links: vec![LinkDraft { title: Some(evil.into()), url: "https://e.example/\"><b>".into() }],
        ..ProfileDraft::default()
    };
    let values = FormValues {
        name: evil.into(),
        email: evil.into(),
        phone: evil.into(),
        company: evil.into(),
        message: evil.into(),
        has_agreed: true,
    };
    let html = render(&page(draft, FormState::Invalid { values, errors: vec![FieldFault::new("name", evil), FieldFault::new("x", evil)] }));
    assert!(!html.contains("<img src=x") && !html.contains("\"><b>"));
    assert!(render(&page(short(), FormState::Sent { name: Some(evil.into()) })).find("<img src=x").is_none());
}

#[test]
fn the_language_of_a_card_decides_words_and_direction() {
    let html = render(&page(arabic(), FormState::Fresh));
    assert!(html.contains("<html lang=\"ar\" dir=\"rtl\">") && html.contains("حفظ جهة الاتصال"));
    assert!(html.contains("<b class=\"ltr\">+971 50 123 4567</b>"));
    assert!(render(&page(long(), FormState::Fresh)).contains("Kontakt speichern"));
    assert!(render_notice(&Notice::new(NoticeKind::Paused, Language::accepted("fr-CA"))).contains("en pause"));
}

#[test]
fn a_refused_form_comes_back_with_what_was_typed_and_the_first_fault_in_focus() {
    let html = render(&page(short(), invalid()));
    assert!(html.contains("value=\"Charles Babbage\"") && html.contains("Let us &#34;build&#34; &#60;/textarea&#62; it"));
    assert!(html.contains("aria-invalid=\"true\" aria-describedby=\"e-email\" autofocus>"));
    assert_eq!(html.matches(" autofocus").count(), 1);
}

#[test]
fn every_field_has_its_label() {
    let html = render(&page(short(), FormState::Fresh));
    for id in ["name", "email", "phone", "company", "message", "subject"] {
        assert!(html.contains(&format!("for=\"f-{id}\"")) && html.contains(&format!("id=\"f-{id}\"")), "{id}");
    }
}

#[test]
fn a_prepared_page_is_the_rendered_one_for_every_token() {
    let page = page(short(), FormState::Fresh);
    let prepared = PreparedPage::new(page.clone());
    assert_eq!(prepared.with_token("AaBbCc"), render(&page));
    let mut without = page;
    without.exchange = None;
    assert_eq!(PreparedPage::new(without.clone()).with_token("x"), render(&without));
}

#[test]
fn a_visitor_without_a_name_is_thanked_all_the_same() {
    assert!(render(&page(short(), FormState::Sent { name: None })).contains("Thank you!"));
    let notice = Notice::new(NoticeKind::Thanks { visitor: None, to: "ليلى".into() }, Language::parse("ar").unwrap());
    assert!(render_notice(&notice).contains("شكرًا لك!"));
}

/// Writes the example pages into the folder `CARDS_PAGES`, to be looked at.
#[test]
#[ignore = "writes files to be looked at"]
fn the_examples_are_written_to_files() {
    let folder = std::path::PathBuf::from(std::env::var("CARDS_PAGES").expect("CARDS_PAGES names a folder"));
    for (name, html) in examples() {
        std::fs::write(folder.join(format!("{name}.html")), html.replace("/photos/00112233445566778899aabbccddeeff.jpg", "photo.jpg"))
            .unwrap();
    }
}
