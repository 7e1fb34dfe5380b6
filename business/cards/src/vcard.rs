//! vCard: 3.0 (RFC 2426), which every address book reads, and 4.0 (RFC 6350, RFC 9554) for those that ask. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::{Id, Timestamp};

use crate::card::{Card, Profile};
use crate::contact::{Label, Labelled, Phone};

/// The media type of both versions.
pub const MEDIA_TYPE: &str = "text/vcard; charset=utf-8";

/// The most octets of a line, without its line break (RFC 2426 2.6, RFC 6350 3.2).
const LINE_OCTETS_MAX: usize = 75;

/// Which vCard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 3.0: old Androids refuse anything later.
    #[default]
    V3,
    /// 4.0.
    V4,
}

impl Version {
    /// Reads `3`, `3.0`, `4` or `4.0`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "3" | "3.0" => Some(Self::V3),
            "4" | "4.0" => Some(Self::V4),
            _ => None,
        }
    }
}

/// The whole card, with its photo (a JPEG of at most 100 KB) and the address of its page where they are given.
pub fn write(card: &Card, version: Version, photo: Option<&[u8]>, page_url: Option<&str>) -> String {
    let profile = &card.profile;
    let mut lines = Lines::default();
    lines.begin(version);
    lines.names(profile);
    if version == Version::V4 {
        lines.put("KIND", "individual");
        lines.put("LANG", profile.language.as_str());
        if let Some(pronouns) = &profile.pronouns {
            lines.put("PRONOUNS", &escaped(pronouns));
        }
    }
    for (name, phonetic) in
        [("X-PHONETIC-FIRST-NAME", &profile.name.phonetic_given), ("X-PHONETIC-LAST-NAME", &profile.name.phonetic_family)]
    {
        if let Some(phonetic) = phonetic {
            lines.put(name, &escaped(phonetic));
        }
    }
    lines.organisation(profile);
    if let Some(title) = &profile.job_title {
        lines.put("TITLE", &escaped(title));
    }
    for (at, phone) in profile.phones.iter().enumerate() {
        lines.phone(phone, version, at == 0 && profile.phones.len() > 1);
    }
    for (at, email) in profile.emails.iter().enumerate() {
        let is_preferred = at == 0 && profile.emails.len() > 1;
        let kind = match email.label {
            Label::Home => ",HOME",
            Label::Work => ",WORK",
            _ => "",
        };
        let name = match version {
            Version::V3 => format!("EMAIL;TYPE=INTERNET{kind}{}", if is_preferred { ",PREF" } else { "" }),
            Version::V4 => format!("EMAIL{}{}", kind.to_lowercase().replace(',', ";TYPE="), if is_preferred { ";PREF=1" } else { "" }),
        };
        lines.put(&name, &escaped(email.value.as_str()));
    }
    for address in &profile.addresses {
        let part = |part: &Option<String>| part.as_deref().map(escaped).unwrap_or_default();
        let kind = match address.label {
            Label::Home => ";TYPE=HOME",
            Label::Work => ";TYPE=WORK",
            _ => "",
        };
        let name =
            format!("ADR{}", if version == Version::V4 { kind.replace("HOME", "home").replace("WORK", "work") } else { kind.to_owned() });
        let (street, city, region) = (part(&address.street), part(&address.city), part(&address.region));
        lines.put(&name, &format!(";;{street};{city};{region};{};{}", part(&address.postal_code), part(&address.country)));
    }
    for (at, link) in profile.links.iter().enumerate() {
        match &link.title {
            // The titles of links are a custom of address books: a group joins the two lines.
            Some(title) => {
                lines.put(&format!("item{}.URL", at + 1), link.url.as_str());
                lines.put(&format!("item{}.X-ABLabel", at + 1), &escaped(title));
            }
            None => lines.put("URL", link.url.as_str()),
        }
    }
    let note = match (&profile.pronouns, &profile.note) {
        (Some(pronouns), Some(note)) if version == Version::V3 => Some(format!("{pronouns}\n{note}")),
        (Some(pronouns), None) if version == Version::V3 => Some(pronouns.clone()),
        (_, note) => note.clone(),
    };
    if let Some(note) = note {
        lines.put("NOTE", &escaped(&note));
    }
    if let Some(url) = page_url {
        lines.put("SOURCE", url);
    }
    lines.put("UID", &format!("urn:uuid:{}", uuid(card)));
    lines.put("REV", &basic(card.updated_at));
    if let Some(photo) = photo {
        match version {
            Version::V3 => {
                lines.put("PHOTO;ENCODING=b;TYPE=JPEG", &STANDARD.encode(photo));
                // Samsung's address book reads the base64 up to an empty line.
                lines.text.push_str("\r\n");
            }
            Version::V4 => lines.put("PHOTO", &format!("data:image/jpeg;base64,{}", STANDARD.encode(photo))),
        }
    }
    lines.end()
}

/// What of a profile goes into a symbol that works without a network, from everything that fits down to the bare name;
/// the caller takes the first that its symbol can hold.
pub fn compact(profile: &Profile, page_url: Option<&str>) -> Vec<String> {
    // What is given up first stands first.
    (0..=5).map(|dropped| compact_without(profile, page_url, dropped)).collect()
}

fn compact_without(profile: &Profile, page_url: Option<&str>, dropped: u8) -> String {
    let mut lines = Lines { text: String::new(), folds: false };
    lines.begin(Version::V3);
    lines.names(profile);
    if dropped < 3
        && let Some(organisation) = &profile.organisation
    {
        lines.put("ORG", &escaped(organisation));
    }
    if dropped < 2
        && let Some(title) = &profile.job_title
    {
        lines.put("TITLE", &escaped(title));
    }
    // The telephone in the pocket before the one on a desk.
    let phone = profile.phones.iter().find(|phone| phone.label == Label::Mobile).or(profile.phones.first());
    if dropped < 5
        && let Some(phone) = phone
    {
        lines.put("TEL", &dialled(&phone.value));
    }
    if dropped < 4
        && let Some(email) = profile.emails.first()
    {
        lines.put("EMAIL", &escaped(email.value.as_str()));
    }
    if dropped < 1
        && let Some(url) = page_url.or(profile.links.first().map(|link| link.url.as_str()))
    {
        lines.put("URL", url);
    }
    lines.end()
}

/// A file name that every system takes: the letters and digits of the name.
pub fn file_name(profile: &Profile) -> String {
    let mut name = String::new();
    for c in profile.name.display.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    format!("{}.vcf", if name.is_empty() { "contact" } else { name })
}

struct Lines {
    text: String,
    folds: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { text: String::with_capacity(1_024), folds: true }
    }
}

impl Lines {
    /// One property; `value` is escaped by the caller where its type asks for it.
    fn put(&mut self, name: &str, value: &str) {
        let line = format!("{name}:{value}");
        if self.folds {
            fold(&line, &mut self.text);
        } else {
            self.text.push_str(&line);
            self.text.push_str("\r\n");
        }
    }

    fn begin(&mut self, version: Version) {
        self.put("BEGIN", "VCARD");
        self.put("VERSION", if version == Version::V3 { "3.0" } else { "4.0" });
    }

    fn end(mut self) -> String {
        self.put("END", "VCARD");
        self.text
    }

    fn names(&mut self, profile: &Profile) {
        let name = &profile.name;
        let part = |part: &Option<String>| part.as_deref().map(escaped).unwrap_or_default();
        let (family, given) = match (&name.family, &name.given) {
            // An address book that looks at N only would otherwise show nothing.
            (None, None) => (String::new(), escaped(&name.display)),
            (family, given) => (part(family), part(given)),
        };
        self.put("N", &format!("{family};{given};;;"));
        self.put("FN", &escaped(&name.display));
    }

    fn organisation(&mut self, profile: &Profile) {
        match (&profile.organisation, &profile.department) {
            (None, None) => {}
            (organisation, None) => self.put("ORG", &escaped(organisation.as_deref().unwrap_or_default())),
            (organisation, Some(department)) => {
                self.put("ORG", &format!("{};{}", escaped(organisation.as_deref().unwrap_or_default()), escaped(department)));
            }
        }
    }

    fn phone(&mut self, phone: &Labelled<Phone>, version: Version, is_preferred: bool) {
        let kind = match phone.label {
            Label::Work => "WORK,VOICE",
            Label::Home => "HOME,VOICE",
            Label::Mobile => "CELL,VOICE",
            Label::Fax => "WORK,FAX",
            Label::Other => "VOICE",
        };
        match version {
            Version::V3 => {
                self.put(&format!("TEL;TYPE={kind}{}", if is_preferred { ",PREF" } else { "" }), &dialled(&phone.value));
            }
            Version::V4 => {
                // A list of types stands in quotes (RFC 6350 5.6).
                let (kind, preferred) = (kind.to_lowercase(), if is_preferred { ";PREF=1" } else { "" });
                self.put(&format!("TEL;VALUE=uri;TYPE=\"{kind}\"{preferred}"), &phone.value.uri());
            }
        }
    }
}

/// As address books keep a number: nothing but what is dialled, and the extension behind an `x`.
fn dialled(phone: &Phone) -> String {
    phone.uri().trim_start_matches("tel:").replace(";ext=", " x")
}

/// Backslash, comma, semicolon and line break (RFC 2426 4, RFC 6350 3.4).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => {}
            c => out.push(c),
        }
    }
    out
}

/// Writes one line in pieces of at most 75 octets, the further ones behind a space, none of them cut inside a character.
fn fold(line: &str, out: &mut String) {
    let mut rest = line;
    let mut room = LINE_OCTETS_MAX;
    while rest.len() > room {
        let mut cut = room;
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        out.push_str(&rest[..cut]);
        out.push_str("\r\n ");
        rest = &rest[cut..];
        room = LINE_OCTETS_MAX - 1;
    }
    out.push_str(rest);
    out.push_str("\r\n");
}

fn uuid(card: &Card) -> String {
    let hex = format!("{:032x}", card.id.raw().bits());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The basic format of ISO 8601, which both versions take.
fn basic(time: Timestamp) -> String {
    let utc = Timestamp::from_seconds(time.as_seconds()).to_string();
    utc.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

#[cfg(test)]
mod tests {
    use kernel::{RawId, WorkspaceId};
    use proptest::prelude::*;

    use super::*;
    use crate::card::{CardId, ProfileDraft};
    use crate::contact::{AddressDraft, LabelledDraft, LinkDraft};

    /// An independent reader: unfolds, splits at the first colon outside quotes, undoes the escapes.
    fn read(text: &str) -> Vec<(String, String)> {
        assert!(text.ends_with("\r\n"));
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "every break is CRLF");
        let unfolded = text.replace("\r\n ", "");
        let line = |line: &str| {
            let mut is_quoted = false;
            let at = line.find(|c| {
                is_quoted ^= c == '"';
                c == ':' && !is_quoted
            });
            let (name, value) = line.split_at(at.expect("a line has a name"));
            (name.to_owned(), value[1..].to_owned())
        };
        unfolded.split("\r\n").filter(|text| !text.is_empty()).map(line).collect()
    }

    fn components(value: &str) -> Vec<String> {
        let mut parts = vec![String::new()];
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            match c {
                ';' => parts.push(String::new()),
                '\\' => match chars.next() {
                    Some('n') => parts.last_mut().unwrap().push('\n'),
                    Some(c) => parts.last_mut().unwrap().push(c),
                    None => panic!("a lone backslash"),
                },
                c => parts.last_mut().unwrap().push(c),
            }
        }
        parts
    }

    fn card(draft: ProfileDraft) -> Card {
        let profile = Profile::parse(draft).unwrap();
        let id = CardId::from_raw(RawId::from_bits(0x0198_c2f6_a1b2_7cc0_8a6f_3d2e_1f00_ab12));
        Card::new(id, WorkspaceId::from_raw(RawId::from_bits(2)), None, profile, Timestamp::from_seconds(1_769_851_800))
    }

    fn full() -> Card {
        card(ProfileDraft {
            given_name: Some("Zoë".into()),
            family_name: Some("Müller; von, der\\Heide".into()),
            display_name: Some("Dr. Zoë Müller".into()),
            phonetic_given_name: Some("ZO-ee".into()),
            pronouns: Some("she/her".into()),
            job_title: Some("Head of R&D, Robotics".into()),
            organisation: Some("Müller & Söhne GmbH".into()),
            department: Some("Research".into()),
            emails: vec![LabelledDraft::new("work", "zoe@mueller.example"), LabelledDraft::new("home", "z@home.example")],
            phones: vec![LabelledDraft::new("mobile", "+49 170 1234567"), LabelledDraft::new("work", "+49 (0)30 1234 x5")],
            links: vec![
                LinkDraft { title: None, url: "mueller.example".into() },
                LinkDraft { title: Some("LinkedIn".into()), url: "https://linkedin.example/in/zoe?a=1,2;b".into() },
            ],
            addresses: vec![AddressDraft {
                street: Some("Straße 1\nHof".into()),
                city: Some("Berlin".into()),
                postal_code: Some("10115".into()),
                country: Some("Germany".into()),
                ..AddressDraft::default()
            }],
            note: Some("Robots; and more,\nsince 2001".into()),
            language: Some("de".into()),
            ..ProfileDraft::default()
        })
    }

    #[test]
    fn a_card_of_3_0_is_written_as_old_phones_read_it() {
        let text = write(&full(), Version::V3, Some(&[0xff; 100]), Some("https://t.example/ABC"));
        let expected = "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Müller\\; von\\, der\\\\Heide;Zoë;;;\r\nFN:Dr. Zoë Müller\r\nX-PHONETIC-FIRST-NAME:ZO-ee\r\n\
            ORG:Müller & Söhne GmbH;Research\r\nTITLE:Head of R&D\\, Robotics\r\nTEL;TYPE=CELL,VOICE,PREF:+491701234567\r\n\
            TEL;TYPE=WORK,VOICE:+49301234 x5\r\nEMAIL;TYPE=INTERNET,WORK,PREF:zoe@mueller.example\r\nEMAIL;TYPE=INTERNET,HOME:z@home.example\r\n\
            ADR;TYPE=WORK:;;Straße 1\\nHof;Berlin;;10115;Germany\r\nURL:https://mueller.example/\r\n\
            item2.URL:https://linkedin.example/in/zoe?a=1,2;b\r\nitem2.X-ABLabel:LinkedIn\r\n\
            NOTE:she/her\\nRobots\\; and more\\,\\nsince 2001\r\nSOURCE:https://t.example/ABC\r\n\
            UID:urn:uuid:0198c2f6-a1b2-7cc0-8a6f-3d2e1f00ab12\r\nREV:20260131T093000Z\r\nPHOTO;ENCODING=b;TYPE=JPEG:";
        assert_eq!(&text[..expected.len()], expected);
        assert!(text.ends_with("\r\n\r\nEND:VCARD\r\n"), "an empty line follows the base64");
    }

    #[test]
    fn a_card_of_4_0_has_addresses_as_values_and_its_photo_as_a_data_uri() {
        let lines = read(&write(&full(), Version::V4, Some(&[0xff, 0xd8, 0xff]), None));
        let value = |name: &str| lines.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!(value("VERSION"), Some("4.0"));
        assert_eq!(value("TEL;VALUE=uri;TYPE=\"cell,voice\";PREF=1"), Some("tel:+491701234567"));
        assert_eq!(value("TEL;VALUE=uri;TYPE=\"work,voice\""), Some("tel:+49301234;ext=5"));
        assert_eq!(value("EMAIL;TYPE=work;PREF=1"), Some("zoe@mueller.example"));
        assert_eq!(value("PHOTO"), Some("data:image/jpeg;base64,/9j/"));
        assert_eq!((value("LANG"), value("PRONOUNS"), value("KIND")), (Some("de"), Some("she/her"), Some("individual")));
        assert_eq!(value("NOTE"), Some("Robots\\; and more\\,\\nsince 2001"));
    }

    #[test]
    fn a_file_name_is_plain() {
        assert_eq!(file_name(&full().profile), "Dr-Zo-M-ller.vcf");
        assert_eq!(file_name(&card(ProfileDraft { display_name: Some("ليلى".into()), ..ProfileDraft::default() }).profile), "contact.vcf");
    }

    #[test]
    fn a_compact_card_gives_up_its_least_parts_first_and_never_its_name() {
        let forms = compact(&full().profile, Some("https://t.example/ABC"));
        assert!(forms.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
        assert!(forms[0].contains("URL:https://t.example/ABC\r\n") && forms[0].contains("TEL:+491701234567\r\n"));
        assert!(forms[5].contains("FN:Dr. Zoë Müller\r\n") && !forms[5].contains("TEL"));
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_75_octets_and_unfolding_gives_it_back(line in "\\PC{0,400}") {
            let mut out = String::new();
            fold(&line, &mut out);
            prop_assert!(out.ends_with("\r\n"));
            for piece in out.split("\r\n") {
                prop_assert!(piece.len() <= LINE_OCTETS_MAX);
            }
            prop_assert_eq!(out.trim_end_matches("\r\n").replace("\r\n ", ""), line);
        }

        #[test]
        fn whatever_stands_on_a_card_is_read_back_from_its_vcard(
            given in "\\PC{1,40}", family in "\\PC{1,40}", organisation in "\\PC{0,120}", note in "(\\PC|\n){0,300}", v4: bool,
        ) {
            let draft = ProfileDraft {
                given_name: Some(given),
                family_name: Some(family),
                organisation: Some(organisation),
                note: Some(note),
                ..ProfileDraft::default()
            };
            if let Ok(profile) = Profile::parse(draft) {
                let mut card = full();
                card.profile = profile;
                let text = write(&card, if v4 { Version::V4 } else { Version::V3 }, None, None);
                let lines = read(&text);
                let value = |name: &str| lines.iter().find(|(found, _)| found == name).map(|(_, value)| components(value));
                let name = &card.profile.name;
                prop_assert_eq!(value("FN").unwrap(), vec![name.display.clone()]);
                if name.given.is_some() || name.family.is_some() {
                    let (family, given) = (name.family.clone().unwrap_or_default(), name.given.clone().unwrap_or_default());
                    prop_assert_eq!(&value("N").unwrap()[..2], &[family, given][..]);
                }
                prop_assert_eq!(value("ORG"), card.profile.organisation.clone().map(|organisation| vec![organisation]));
                prop_assert_eq!(value("NOTE"), card.profile.note.clone().map(|note| vec![note]));
            }
        }

        #[test]
        fn a_photo_is_read_back_from_its_vcard(photo in proptest::collection::vec(any::<u8>(), 1..3_000)) {
            for (version, name) in [(Version::V3, "PHOTO;ENCODING=b;TYPE=JPEG"), (Version::V4, "PHOTO")] {
                let lines = read(&write(&full(), version, Some(&photo), None));
                let value = &lines.iter().find(|(found, _)| found == name).unwrap().1;
                let base64 = value.strip_prefix("data:image/jpeg;base64,").unwrap_or(value);
                prop_assert_eq!(&STANDARD.decode(base64).unwrap(), &photo);
            }
        }
    }
}
