//! Leads as a table. Pure.

use gateway::table::{self, Cell};

use crate::contact::{Email, Phone};
use crate::lead::Lead;

const COLUMNS: [&str; 17] = [
    "id",
    "created_at",
    "status",
    "name",
    "email",
    "phone",
    "company",
    "message",
    "tags",
    "assigned_to",
    "source_kind",
    "source_id",
    "source_code",
    "consent_version",
    "consent_at",
    "submissions",
    "updated_at",
];

/// The first line.
pub fn header() -> Vec<u8> {
    table::head(&COLUMNS)
}

/// One line for each lead.
pub fn rows(leads: &[Lead]) -> Vec<u8> {
    table::rows(leads.iter().map(|lead| cells(lead).map(Cell::Text)))
}

fn cells(lead: &Lead) -> [String; 17] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        lead.id.to_string(),
        lead.created_at.to_string(),
        lead.status.to_string(),
        lead.name.clone(),
        text(lead.email.as_ref().map(Email::as_str)),
        text(lead.phone.as_ref().map(Phone::as_str)),
        text(lead.company.as_deref()),
        text(lead.message.as_deref()),
        lead.tags.join(", "),
        lead.assigned_to.map(|member| member.to_string()).unwrap_or_default(),
        lead.source.kind.clone(),
        lead.source.id.clone(),
        text(lead.source.code.as_deref()),
        lead.consent.as_ref().map(|consent| consent.version.to_string()).unwrap_or_default(),
        lead.consent.as_ref().map(|consent| consent.at.to_string()).unwrap_or_default(),
        lead.submissions.to_string(),
        lead.updated_at.to_string(),
    ]
}
