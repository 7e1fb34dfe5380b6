-- Payments: accounts with providers, intents with their history, references, webhooks, links, routes.
--
-- An intent is its events folded: the row keeps the result, so that it is read at once, and the columns that it is looked up
-- by. Events are never changed. What a person told us stands apart, so that it can be erased.

create table payments_providers (
  workspace text not null,
  id text not null,
  name text not null,
  dialect text not null,
  base_url text not null,
  settings text not null,
  sealed bytea not null,
  token text not null,
  is_enabled boolean not null,
  version bigint not null,
  created_at bigint not null,
  changed_at bigint not null,
  primary key (workspace, id)
);
create unique index payments_providers_by_name on payments_providers (workspace, name);
create unique index payments_providers_by_token on payments_providers (token);

create table payments_intents (
  workspace text not null,
  id text not null,
  version bigint not null,
  state text not null,
  amount_minor bigint not null,
  currency text not null,
  customer text,
  link text,
  created_at bigint not null,
  changed_at bigint not null,
  body text not null,
  primary key (workspace, id)
);
create index payments_intents_by_state on payments_intents (workspace, state, id);
create index payments_intents_by_customer on payments_intents (workspace, customer, id) where customer is not null;
create index payments_intents_by_link on payments_intents (workspace, link, id) where link is not null;

-- What happened, for ever: subject is an intent or a payout, version counts its events from 1.
create table payments_events (
  workspace text not null,
  subject text not null,
  version bigint not null,
  name text not null,
  actor text not null,
  recorded_at bigint not null,
  body text not null,
  primary key (workspace, subject, version)
);
-- only: sqlite
create trigger payments_events_are_never_changed before update on payments_events begin
  select raise(abort, 'the history of payments is never changed');
end;
create trigger payments_events_are_never_deleted before delete on payments_events begin
  select raise(abort, 'the history of payments is never changed');
end;
-- only: postgres
create function payments_history_is_never_changed() returns trigger language plpgsql as $$
begin
  raise exception 'the history of payments is never changed';
end $$;
create trigger payments_events_are_never_changed before update or delete on payments_events for each row execute function payments_history_is_never_changed();
create trigger payments_events_are_never_emptied before truncate on payments_events for each statement execute function payments_history_is_never_changed();
-- both

-- Names of things: ours (provider is empty) and the providers'.
create table payments_references (
  workspace text not null,
  provider text not null,
  reference text not null,
  owner text not null,
  subject text not null,
  primary key (workspace, provider, reference)
);

-- What a payer told us, for receipts and for providers that insist on it.
create table payments_payers (
  workspace text not null,
  intent text not null,
  name text,
  email text,
  phone text,
  created_at bigint not null,
  primary key (workspace, intent)
);
create index payments_payers_by_email on payments_payers (workspace, email) where email is not null;

create table payments_links (
  workspace text not null,
  id text not null,
  amount_minor bigint,
  currency text not null,
  description text not null,
  credit_account text not null,
  is_active boolean not null,
  version bigint not null,
  created_at bigint not null,
  changed_at bigint not null,
  primary key (workspace, id)
);
create unique index payments_links_by_id on payments_links (id);

create table payments_routes (
  workspace text not null,
  version bigint not null,
  rules text not null,
  changed_at bigint not null,
  primary key (workspace)
);

-- Webhooks as they came, card numbers taken out; the same one is kept once.
create table payments_webhooks (
  workspace text not null,
  id text not null,
  provider text not null,
  digest text not null,
  received_at bigint not null,
  headers text not null,
  body bytea not null,
  trust text not null,
  state text not null,
  note text,
  times bigint not null,
  settled_at bigint,
  primary key (workspace, id)
);
create unique index payments_webhooks_by_digest on payments_webhooks (workspace, provider, digest);
create index payments_webhooks_by_age on payments_webhooks (received_at);
