-- What is counted of scans. Each node writes rows of its own only, so that no two writers ever meet; readers add them up.

-- How far each node has counted its journal: everything before the position is in the tables below. While a window of the
-- journal is being counted in several units, `upto` is its end and the codes up to `done_code` are counted already.
create table codes_journals (
  node bigint primary key,
  segment bigint not null,
  slot bigint not null,
  upto_segment bigint,
  upto_slot bigint,
  done_code bigint not null
);

-- The salts that devices are hashed with, one a day (days since 1970), gone after two days.
create table codes_salts (
  day bigint primary key,
  salt bytea not null
);

-- only: sqlite
create table codes_days (
  code bigint not null,
  day bigint not null,
  node bigint not null,
  workspace text not null,
  total bigint not null,
  bots bigint not null,
  doubles bigint not null,
  visitors bigint not null,
  minutes bytea not null,
  sketch bytea not null,
  breakdown text not null,
  primary key (code, day, node)
) without rowid;
create table codes_totals (
  code bigint not null,
  node bigint not null,
  workspace text not null,
  total bigint not null,
  bots bigint not null,
  doubles bigint not null,
  last_at bigint not null,
  primary key (code, node)
) without rowid;
-- only: postgres
create table codes_days (
  code bigint not null,
  day bigint not null,
  node bigint not null,
  workspace text not null,
  total bigint not null,
  bots bigint not null,
  doubles bigint not null,
  visitors bigint not null,
  minutes bytea not null,
  sketch bytea not null,
  breakdown text not null,
  primary key (code, day, node)
) with (fillfactor = 70);
create table codes_totals (
  code bigint not null,
  node bigint not null,
  workspace text not null,
  total bigint not null,
  bots bigint not null,
  doubles bigint not null,
  last_at bigint not null,
  primary key (code, node)
) with (fillfactor = 70);
-- both

-- Who asked to be told of the scans of a code, at most once in so many seconds.
create table codes_alerts (
  workspace text not null,
  code bigint not null,
  member text not null,
  interval_seconds bigint not null,
  last_told_at bigint,
  created_at bigint not null,
  primary key (workspace, code, member)
);
