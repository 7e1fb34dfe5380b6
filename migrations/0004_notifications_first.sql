-- Notifications: what people and programs are told. The personal data of this module lives in these tables only.

create table notifications_messages (
    id text not null primary key,
    workspace text not null,
    template text not null,
    lane text not null,
    recipient text not null,
    address text not null,
    locale text not null,
    zone text not null,
    variables text not null,
    reply_to text,
    dedupe text,
    state text not null,
    attempts bigint not null,
    reason text,
    created_at bigint not null,
    finished_at bigint
);
create unique index notifications_messages_once on notifications_messages (workspace, dedupe) where dedupe is not null;
create index notifications_messages_listed on notifications_messages (workspace, id);
create index notifications_messages_finished on notifications_messages (finished_at) where finished_at is not null;

create table notifications_attachments (
    message text not null references notifications_messages (id) on delete cascade,
    position bigint not null,
    workspace text not null,
    name text not null,
    content_type text not null,
    content bytea not null,
    primary key (message, position)
);

-- Which messages and events speak of an address or a telephone number, so that a person can be erased without a search.
create table notifications_mentions (
    workspace text not null,
    address text not null,
    subject text not null,
    primary key (workspace, address, subject)
);
create index notifications_mentions_of on notifications_mentions (workspace, subject);

create table notifications_endpoints (
    id text not null primary key,
    workspace text not null,
    url text not null,
    description text not null,
    event_types text not null,
    secret bytea not null,
    previous_secret bytea,
    previous_until_at bigint,
    is_enabled boolean not null,
    disabled_reason text,
    failing_since_at bigint,
    created_at bigint not null,
    updated_at bigint not null
);
create index notifications_endpoints_listed on notifications_endpoints (workspace, id);

create table notifications_events (
    workspace text not null,
    id text not null,
    type text not null,
    body text not null,
    created_at bigint not null,
    primary key (workspace, id)
);
create index notifications_events_by_age on notifications_events (created_at);

-- Every attempt that was made, appended.
create table notifications_attempts (
    id text not null primary key,
    workspace text not null,
    endpoint text not null,
    event text not null,
    job text not null,
    outcome text not null,
    status bigint,
    took_ms bigint not null,
    answer text not null,
    attempted_at bigint not null
);
create index notifications_attempts_listed on notifications_attempts (workspace, endpoint, id);
create index notifications_attempts_of_an_event on notifications_attempts (workspace, event);
create index notifications_attempts_by_age on notifications_attempts (attempted_at);

-- A workspace's own wordings: every version stays, the highest counts; one without text goes back to the built-in wording.
create table notifications_templates (
    workspace text not null,
    template text not null,
    language text not null,
    version bigint not null,
    subject text,
    text_part text,
    html_part text,
    saved_by text not null,
    saved_at bigint not null,
    primary key (workspace, template, language, version)
);
