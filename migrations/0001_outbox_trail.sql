-- The audit trail: who did what to which thing, without personal data, for ever.
create table audit_log (
  id text primary key,
  workspace text not null,
  happened_at bigint not null,
  actor text not null,
  action text not null,
  subject text not null,
  details text not null
);
create index audit_log_of_a_workspace on audit_log (workspace, id);
create index audit_log_of_a_subject on audit_log (workspace, subject, id);

-- only: sqlite
create trigger audit_log_is_never_changed before update on audit_log begin
  select raise(abort, 'the audit trail is never changed');
end;
create trigger audit_log_is_never_shortened before delete on audit_log begin
  select raise(abort, 'the audit trail is never shortened');
end;
-- An `insert or replace` would pass by the trigger on delete.
create trigger audit_log_is_never_replaced before insert on audit_log
  when exists (select 1 from audit_log a where a.id = new.id) begin
  select raise(abort, 'the audit trail is never changed');
end;
-- only: postgres
create function audit_log_is_never_changed() returns trigger language plpgsql as $$
begin
  raise exception 'the audit trail is never changed';
end $$;
create trigger audit_log_is_never_changed before update or delete on audit_log for each row execute function audit_log_is_never_changed();
create trigger audit_log_is_never_emptied before truncate on audit_log for each statement execute function audit_log_is_never_changed();
