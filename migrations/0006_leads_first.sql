-- Leads: people who left their details, what became of them, and what they agreed to.

-- The texts that visitors agree to; never edited, so that what a lead agreed to stays on record. Version 0 is built in.
create table leads_consents (
    workspace text not null,
    version bigint not null,
    wording text not null,
    created_by text not null,
    created_at bigint not null,
    primary key (workspace, version)
);

-- Once a person is erased only the status, the counters and the source are left.
create table leads (
    workspace text not null,
    id text not null,
    version bigint not null,
    status text not null,
    source_kind text not null,
    source_id text not null,
    source_code text,
    name text not null,
    email text,
    phone text,
    company text,
    message text,
    search_text text not null,
    consent_version bigint,
    consent_text text,
    consent_at bigint,
    assigned_to text,
    suspected_spam boolean not null,
    submission_count bigint not null,
    note_count bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    erased_at bigint,
    primary key (workspace, id)
);
-- What the counts by status are read from alone. Lists walk the primary key from its end, whatever they filter by.
create index leads_by_status on leads (workspace, status) where erased_at is null and suspected_spam = false;

-- Each address that was ever given belongs to one lead: this is what de-duplication looks up.
create table leads_addresses (
    workspace text not null,
    kind text not null,
    address text not null,
    lead text not null,
    primary key (workspace, kind, address),
    foreign key (workspace, lead) references leads (workspace, id)
);
create index leads_addresses_by_lead on leads_addresses (workspace, lead);

-- What was left, each time, as it was left. The nonce is that of the form's token, which works once.
create table leads_submissions (
    workspace text not null,
    id text not null,
    lead text not null,
    nonce text,
    fingerprint text,
    source_kind text not null,
    source_id text not null,
    source_code text,
    name text,
    email text,
    phone text,
    company text,
    message text,
    consent_version bigint,
    suspected_spam boolean not null,
    created_at bigint not null,
    primary key (workspace, id),
    foreign key (workspace, lead) references leads (workspace, id)
);
create unique index leads_submissions_once on leads_submissions (workspace, nonce);
create index leads_submissions_by_lead on leads_submissions (workspace, lead, id);
create index leads_submissions_by_email on leads_submissions (workspace, email);
create index leads_submissions_by_phone on leads_submissions (workspace, phone);

create table leads_tags (
    workspace text not null,
    tag text not null,
    lead text not null,
    primary key (workspace, tag, lead),
    foreign key (workspace, lead) references leads (workspace, id)
);
create index leads_tags_by_lead on leads_tags (workspace, lead, tag);

create table leads_notes (
    workspace text not null,
    id text not null,
    lead text not null,
    author text not null,
    body text not null,
    created_at bigint not null,
    primary key (workspace, id),
    foreign key (workspace, lead) references leads (workspace, id)
);
create index leads_notes_by_lead on leads_notes (workspace, lead, id);

create table leads_history (
    workspace text not null,
    id text not null,
    lead text not null,
    actor text not null,
    what text not null,
    from_value text,
    to_value text,
    created_at bigint not null,
    primary key (workspace, id),
    foreign key (workspace, lead) references leads (workspace, id)
);
create index leads_history_by_lead on leads_history (workspace, lead, id);
