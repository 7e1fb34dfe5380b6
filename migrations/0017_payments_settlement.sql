-- Payments: what is expected of providers, their reports as they came, the lines, what did not match, and bank lines.
--
-- An expectation is written with the transfer that it follows, and matched at most once. A report is kept once, by its
-- digest, in pieces; the cursor says up to which line it is in the books.

create table payments_expected (
  workspace text not null,
  subject text not null,
  attempt text,
  owner text not null,
  provider text not null,
  kind text not null,
  currency text not null,
  amount_minor bigint not null,
  expected_at bigint not null,
  is_missing boolean not null,
  settlement text,
  line bigint,
  primary key (workspace, subject)
);
create index payments_expected_of_attempt on payments_expected (workspace, attempt) where attempt is not null;
create index payments_expected_open on payments_expected (workspace, provider, expected_at) where settlement is null;
create unique index payments_expected_by_line on payments_expected (workspace, settlement, line) where settlement is not null;

create table payments_settlements (
  workspace text not null,
  id text not null,
  provider text not null,
  digest text not null,
  name text not null,
  format text not null,
  state text not null,
  note text,
  covers_until bigint,
  bytes bigint not null,
  lines bigint not null,
  booked bigint not null,
  matched bigint not null,
  exceptions bigint not null,
  actor text not null,
  created_at bigint not null,
  finished_at bigint,
  primary key (workspace, id)
);
create unique index payments_settlements_by_digest on payments_settlements (workspace, provider, digest);
create index payments_settlements_by_state on payments_settlements (workspace, provider, state);

create table payments_settlement_pieces (
  workspace text not null,
  settlement text not null,
  piece bigint not null,
  body bytea not null,
  primary key (workspace, settlement, piece)
);

create table payments_settlement_lines (
  workspace text not null,
  settlement text not null,
  line bigint not null,
  kind text not null,
  reference text,
  provider_ref text,
  batch text not null,
  currency text not null,
  gross_minor bigint not null,
  fee_minor bigint not null,
  net_minor bigint not null,
  happened_at bigint,
  outcome text not null,
  subject text,
  primary key (workspace, settlement, line)
);
create index payments_settlement_lines_by_outcome on payments_settlement_lines (workspace, settlement, outcome, line) where outcome <> 'matched';

-- What a report says of a batch in all; a batch without a name is the rest of its report.
create table payments_batches (
  workspace text not null,
  settlement text not null,
  batch text not null,
  currency text not null,
  provider text not null,
  gross_minor bigint not null,
  fee_minor bigint not null,
  net_minor bigint not null,
  bank_line text,
  primary key (workspace, settlement, batch, currency)
);
create index payments_batches_by_name on payments_batches (workspace, batch);

create table payments_exceptions (
  workspace text not null,
  id text not null,
  provider text not null,
  kind text not null,
  state text not null,
  settlement text,
  line bigint,
  subject text,
  owner text,
  reference text,
  provider_ref text,
  batch text,
  currency text not null,
  expected_minor bigint,
  got_minor bigint,
  note text,
  proposed text,
  proposed_by text,
  resolution text,
  version bigint not null,
  created_at bigint not null,
  changed_at bigint not null,
  resolved_at bigint,
  primary key (workspace, id)
);
create index payments_exceptions_open on payments_exceptions (workspace, state, provider, created_at);
create unique index payments_exceptions_by_line on payments_exceptions (workspace, settlement, line) where line is not null;
create index payments_exceptions_by_subject on payments_exceptions (workspace, subject, kind) where subject is not null;

-- What was done about an exception, for ever.
create table payments_exception_actions (
  workspace text not null,
  exception text not null,
  version bigint not null,
  action text not null,
  reason text not null,
  actor text not null,
  done_at bigint not null,
  body text not null,
  primary key (workspace, exception, version)
);

-- Lines of our bank's statements; the same line in two statements is one.
create table payments_bank_lines (
  workspace text not null,
  id text not null,
  digest text not null,
  booked_on text not null,
  amount_minor bigint not null,
  currency text not null,
  reference text not null,
  state text not null,
  created_at bigint not null,
  primary key (workspace, id)
);
create unique index payments_bank_lines_by_digest on payments_bank_lines (workspace, digest);
create index payments_bank_lines_by_state on payments_bank_lines (workspace, state, id);
