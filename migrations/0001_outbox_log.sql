-- The log of facts and jobs: appended in the producer's unit, never changed, dropped by age once every cursor has passed.

-- only: sqlite
create table outbox_log (
  seq integer primary key autoincrement,
  xid bigint not null default 0,
  id text not null,
  shard bigint not null,
  kind text not null,
  name text not null,
  lane text not null,
  workspace text not null,
  subject text not null,
  version bigint not null,
  payload text not null,
  due_at bigint,
  created_at bigint not null
);
create index outbox_log_facts on outbox_log (workspace, seq) where kind = 'fact';
create trigger outbox_log_is_never_changed before update on outbox_log begin
  select raise(abort, 'the outbox log is never changed');
end;
create trigger outbox_log_outlives_its_cursor before delete on outbox_log
  when exists (select 1 from outbox_shards s where s.shard = old.shard and s.cursor_seq < old.seq) begin
  select raise(abort, 'this entry of the outbox log is not finished');
end;
-- only: postgres
create table outbox_log (
  seq bigint generated always as identity,
  xid bigint not null default (cast(cast(pg_current_xact_id() as varchar) as bigint)),
  id text not null,
  shard bigint not null,
  kind text not null,
  name text not null,
  lane text not null,
  workspace text not null,
  subject text not null,
  version bigint not null,
  payload text not null,
  due_at bigint,
  created_at bigint not null,
  primary key (xid, seq)
);
create index outbox_log_facts on outbox_log (workspace, xid, seq) where kind = 'fact';
create function outbox_log_is_never_changed() returns trigger language plpgsql as $$
begin
  raise exception 'the outbox log is never changed';
end $$;
create trigger outbox_log_is_never_changed before update on outbox_log for each row execute function outbox_log_is_never_changed();
create trigger outbox_log_is_never_emptied before truncate on outbox_log for each statement execute function outbox_log_is_never_changed();
create function outbox_log_outlives_its_cursor() returns trigger language plpgsql as $$
begin
  if exists (select 1 from outbox_shards s where s.shard = old.shard and (s.cursor_xid, s.cursor_seq) < (old.xid, old.seq)) then
    raise exception 'this entry of the outbox log is not finished';
  end if;
  return old;
end $$;
create trigger outbox_log_outlives_its_cursor before delete on outbox_log for each row execute function outbox_log_outlives_its_cursor();
-- both

-- Who works on which sixteenth of the log, and how far everything before is finished.
create table outbox_shards (
  shard bigint primary key,
  token bigint not null,
  holder text,
  lease_ends_at bigint not null,
  cursor_xid bigint not null,
  cursor_seq bigint not null
);
insert into outbox_shards (shard, token, lease_ends_at, cursor_xid, cursor_seq) values
  (0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (2, 0, 0, 0, 0), (3, 0, 0, 0, 0), (4, 0, 0, 0, 0), (5, 0, 0, 0, 0), (6, 0, 0, 0, 0), (7, 0, 0, 0, 0),
  (8, 0, 0, 0, 0), (9, 0, 0, 0, 0), (10, 0, 0, 0, 0), (11, 0, 0, 0, 0), (12, 0, 0, 0, 0), (13, 0, 0, 0, 0), (14, 0, 0, 0, 0), (15, 0, 0, 0, 0);

-- The processes that are alive.
create table outbox_nodes (
  node text primary key,
  seen_at bigint not null
);

-- Entries ahead of their shard's cursor that are finished; gone when the cursor passes.
create table outbox_done (
  shard bigint not null,
  xid bigint not null,
  seq bigint not null,
  primary key (shard, xid, seq)
);

-- Jobs that are not to run yet: timers, retries, and what found its lane full.
create table outbox_waiting (
  id text primary key,
  shard bigint not null,
  name text not null,
  lane text not null,
  workspace text not null,
  subject text not null,
  payload text not null,
  attempts bigint not null,
  last_error text,
  due_at bigint not null,
  created_at bigint not null
);
create index outbox_waiting_due on outbox_waiting (due_at, id);

-- What was given up, until a person replays or discards it.
create table outbox_dead (
  id text primary key,
  shard bigint not null,
  kind text not null,
  name text not null,
  lane text not null,
  workspace text not null,
  subject text not null,
  version bigint not null,
  payload text not null,
  attempts bigint not null,
  last_error text not null,
  created_at bigint not null,
  died_at bigint not null
);
create index outbox_dead_of_a_workspace on outbox_dead (workspace, id);
