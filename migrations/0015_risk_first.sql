-- Risk: rules of each workspace, what was decided by them, and what counts for limits over time.

create table risk_rules (
  workspace text not null,
  id text not null,
  version bigint not null,
  name text not null,
  applies_to text not null check (applies_to in ('payment_attempt', 'payout', 'any')),
  condition text not null,
  outcome text not null check (outcome in ('hold', 'block')),
  priority bigint not null,
  is_enabled boolean not null,
  created_at bigint not null,
  updated_at bigint not null,
  primary key (workspace, id)
);

-- Kept for ever: a subject is decided once, however often and however late it is asked for again.
create table risk_decisions (
  workspace text not null,
  id text not null,
  kind text not null check (kind in ('payment_attempt', 'payout')),
  activity text not null,
  currency text not null,
  amount_minor bigint not null,
  party text,
  country text,
  method text,
  provider text,
  verdict text not null check (verdict in ('allow', 'hold', 'block')),
  rule text,
  reason text,
  decided_at bigint not null,
  primary key (workspace, id)
);
create unique index risk_decisions_by_activity on risk_decisions (workspace, activity, kind);
create index risk_decisions_by_verdict on risk_decisions (workspace, verdict, id);

-- What was let through or held within the longest window. What one party did is counted here row by row.
create table risk_activities (
  workspace text not null,
  decision text not null,
  kind text not null,
  party text,
  currency text not null,
  amount_minor bigint not null check (amount_minor between 0 and 9007199254740991),
  occurred_at bigint not null,
  primary key (workspace, decision)
);
create index risk_activities_of_party on risk_activities (workspace, party, kind, occurred_at, currency, amount_minor)
  where party is not null;
create index risk_activities_of_workspace on risk_activities (workspace, kind, occurred_at, currency, amount_minor);
create index risk_activities_by_age on risk_activities (occurred_at);

-- The same by minute, hour and day for a workspace as a whole. Several lanes, so that two at once seldom meet in a row; an
-- amount is amount_high times 2^32 and amount_low, so that no sum overflows.
create table risk_counters (
  workspace text not null,
  kind text not null,
  grain_s bigint not null,
  starts_at bigint not null,
  currency text not null,
  lane bigint not null,
  activities bigint not null,
  amount_high bigint not null,
  amount_low bigint not null,
  primary key (workspace, kind, grain_s, starts_at, currency, lane)
);
create index risk_counters_by_age on risk_counters (starts_at);
