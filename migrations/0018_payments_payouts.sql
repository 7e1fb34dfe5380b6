-- Payments: beneficiaries, payouts folded from their events, what a workspace says about payouts, and what providers said
-- about the money that we have there.
--
-- A payout's events stand in payments_events with the intents', its names in payments_references. The number of an account
-- stands nowhere but sealed with its beneficiary, which can be erased.

create table payments_beneficiaries (
  workspace text not null,
  id text not null,
  version bigint not null,
  name text,
  bank_code text not null,
  ending text not null,
  country text,
  sealed bytea not null,
  fingerprint text not null,
  name_check text,
  created_at bigint not null,
  changed_at bigint not null,
  erased_at bigint,
  primary key (workspace, id)
);
create index payments_beneficiaries_by_fingerprint on payments_beneficiaries (workspace, fingerprint);

create table payments_payouts (
  workspace text not null,
  id text not null,
  version bigint not null,
  state text not null,
  provider text not null,
  beneficiary text not null,
  amount_minor bigint not null,
  currency text not null,
  created_at bigint not null,
  changed_at bigint not null,
  body text not null,
  primary key (workspace, id)
);
create index payments_payouts_by_state on payments_payouts (workspace, state, id);
create index payments_payouts_by_beneficiary on payments_payouts (workspace, beneficiary, id);

create table payments_payout_settings (
  workspace text not null,
  version bigint not null,
  limits text not null,
  runs_on_weekends boolean not null,
  utc_offset_min bigint not null,
  changed_at bigint not null,
  primary key (workspace)
);

-- What a provider said that we have there, beside what the books said at that moment.
create table payments_float_checks (
  workspace text not null,
  id text not null,
  provider text not null,
  currency text not null,
  theirs_minor bigint not null,
  ours_minor bigint not null,
  reserved_minor bigint not null,
  checked_at bigint not null,
  primary key (workspace, id)
);
create index payments_float_checks_by_provider on payments_float_checks (workspace, provider, currency, id);
