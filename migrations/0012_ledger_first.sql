-- Ledger: accounts, the log of transfers, and what the keeper makes of it: positions, history, balances, seals.
--
-- Identifiers are the 16 bytes behind their text, because most rows of an installation stand here. A transfer names both
-- its accounts and one amount, so that a lone posting cannot be written. The log is never changed: no update, no delete,
-- no truncate. Totals are decimal text of any length, so that no sum of amounts overflows. SQLite opens a table of its own
-- for each `in` with three or more values in a check, and a statement journal for a trigger before an insert, row by row: hot
-- tables have neither.

create table ledger_accounts (
  workspace bytea not null,
  id bytea not null,
  code text not null,
  name text not null,
  kind text not null check (kind in ('asset', 'liability', 'income', 'expense', 'equity')),
  unit text not null,
  limits text not null check (limits in ('none', 'debits_within_credits', 'credits_within_debits')),
  metadata text,
  created_at bigint not null,
  closed_at bigint,
  primary key (workspace, id)
);
create unique index ledger_accounts_by_code on ledger_accounts (workspace, code);

-- Totals of accounts with a limit, as of the last commit: who posts to one locks its row.
create table ledger_guarded (
  workspace bytea not null,
  account bytea not null,
  debits_posted text not null,
  credits_posted text not null,
  debits_pending text not null,
  credits_pending text not null,
  primary key (workspace, account)
);

create table ledger_transfers (
-- only: sqlite
  seq integer primary key check (seq between 1 and 4611686018427387904),
  xid bigint not null default 0 check (xid = 0),
-- only: postgres
  seq bigint generated always as identity,
  xid bigint not null default (cast(cast(pg_current_xact_id() as varchar) as bigint)),
-- both
  workspace bytea not null,
  id bytea not null check (length(id) = 16),
  kind text not null,
  debit bytea not null,
  credit bytea not null check (credit <> debit),
  unit text not null,
  amount bigint not null check (amount between 0 and 9007199254740991),
  released bigint not null check (released between 0 and 9007199254740991),
  pending bytea,
  expires_at bigint,
  effective_at bigint not null,
  recorded_at bigint not null,
  entry bytea,
  source text,
  memo text,
  metadata text,
  actor text not null,
-- only: postgres
  primary key (xid, seq),
-- both
  check ((kind = 'transfer' or kind = 'pending') and amount > 0 and released = 0 and pending is null
    or kind = 'post' and amount > 0 and amount <= released and pending is not null
    or (kind = 'void' or kind = 'expire') and amount = 0 and released > 0 and pending is not null)
);
-- only: sqlite
create trigger ledger_transfers_are_never_changed before update on ledger_transfers begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
create trigger ledger_transfers_are_never_deleted before delete on ledger_transfers begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
-- only: postgres
create function ledger_is_never_changed() returns trigger language plpgsql as $$
begin
  raise exception 'the ledger is never changed: correct it by a new entry';
end $$;
create function ledger_gives_places() returns trigger language plpgsql as $$
begin
  if new.xid <> cast(cast(pg_current_xact_id() as varchar) as bigint) then
    raise exception 'the ledger gives each transfer its place';
  end if;
  return new;
end $$;
create trigger ledger_transfers_are_never_changed before update or delete on ledger_transfers for each row execute function ledger_is_never_changed();
create trigger ledger_transfers_are_never_emptied before truncate on ledger_transfers for each statement execute function ledger_is_never_changed();
-- both
create unique index ledger_transfers_by_id on ledger_transfers (workspace, id);
create unique index ledger_transfers_resolved on ledger_transfers (workspace, pending) where pending is not null;
create index ledger_transfers_of_entry on ledger_transfers (workspace, entry) where entry is not null;
create index ledger_transfers_of_source on ledger_transfers (workspace, source) where source is not null;

-- How far the keeper has come. Where the database moved to another server, whose transactions count anew, an era begins:
-- what came before stands below its first place.
create table ledger_keeper (
  id bigint not null primary key check (id = 1),
  era bigint not null,
  first_seq bigint not null,
  xid bigint not null,
  seq bigint not null
);
insert into ledger_keeper (id, era, first_seq, xid, seq) values (1, 0, 0, 0, 0);

-- Seals: each block covers what one workspace posted between two steps of the keeper. Leaves are 32 bytes a transfer.
create table ledger_blocks (
  workspace bytea not null,
  number bigint not null,
  first_position bigint not null,
  last_position bigint not null,
  era bigint not null,
  first_xid bigint not null,
  first_seq bigint not null,
  last_xid bigint not null,
  last_seq bigint not null,
  booked_at bigint not null,
  leaves bytea not null,
  hash bytea not null,
  primary key (workspace, number)
);
create index ledger_blocks_by_time on ledger_blocks (workspace, booked_at, number);

-- Each account's side of each transfer with its totals after it. An epoch is a run of 4,096 positions: rows are added
-- close together, however many accounts there are.
create table ledger_history (
  workspace bytea not null,
  epoch bigint not null,
  account bytea not null,
  position bigint not null,
  previous bigint not null,
  transfer bytea not null,
  side text not null,
  booked_at bigint not null,
  debits_posted text not null,
  credits_posted text not null,
  debits_pending text not null,
  credits_pending text not null,
  primary key (workspace, epoch, account, position)
-- only: sqlite
) without rowid;
-- only: postgres
);
-- only: sqlite
create trigger ledger_history_is_never_changed before update on ledger_history begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
create trigger ledger_history_is_never_deleted before delete on ledger_history begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
create trigger ledger_blocks_are_never_changed before update on ledger_blocks begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
create trigger ledger_blocks_are_never_deleted before delete on ledger_blocks begin
  select raise(abort, 'the ledger is never changed: correct it by a new entry');
end;
create trigger ledger_accounts_keep_their_nature before update of workspace, id, code, kind, unit, limits, created_at on ledger_accounts begin
  select raise(abort, 'what kind of account it is never changes: open another one');
end;
create trigger ledger_accounts_stay before delete on ledger_accounts begin
  select raise(abort, 'an account is closed and never deleted');
end;
-- only: postgres
create trigger ledger_history_is_never_changed before update or delete on ledger_history for each row execute function ledger_is_never_changed();
create trigger ledger_history_is_never_emptied before truncate on ledger_history for each statement execute function ledger_is_never_changed();
create trigger ledger_blocks_are_never_changed before update or delete on ledger_blocks for each row execute function ledger_is_never_changed();
create trigger ledger_blocks_are_never_emptied before truncate on ledger_blocks for each statement execute function ledger_is_never_changed();
create trigger ledger_transfers_come_last before insert on ledger_transfers for each row execute function ledger_gives_places();
create function ledger_accounts_keep_their_nature() returns trigger language plpgsql as $$
begin
  raise exception 'what kind of account it is never changes, and an account is closed and never deleted';
end $$;
create trigger ledger_accounts_keep_their_nature before update of workspace, id, code, kind, unit, limits, created_at on ledger_accounts
  for each row execute function ledger_accounts_keep_their_nature();
create trigger ledger_accounts_stay before delete on ledger_accounts for each row execute function ledger_accounts_keep_their_nature();
create trigger ledger_accounts_are_never_emptied before truncate on ledger_accounts for each statement execute function ledger_accounts_keep_their_nature();
-- both

-- Totals of every account as far as the keeper has come.
create table ledger_balances (
  workspace bytea not null,
  account bytea not null,
  position bigint not null,
  booked_at bigint not null,
  debits_posted text not null,
  credits_posted text not null,
  debits_pending text not null,
  credits_pending text not null,
  primary key (workspace, account)
);

-- The few transfers that count from another day than the one they were recorded on, by account.
create table ledger_dated (
  workspace bytea not null,
  account bytea not null,
  position bigint not null,
  effective_at bigint not null,
  booked_at bigint not null,
  debit bigint not null,
  credit bigint not null,
  primary key (workspace, account, position)
);
