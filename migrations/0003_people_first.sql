-- People: workspaces, persons, members, sessions, sign-in links, invitations, API keys.

create table people_workspaces (
  workspace text not null primary key,
  name text not null,
  locale text not null,
  zone text not null,
  created_at bigint not null
);

-- A person may be in several workspaces; the column says where they were first entered.
create table people_persons (
  id text not null primary key,
  workspace text not null,
  email text not null unique,
  name text not null,
  locale text not null,
  zone text not null,
  password_hash text,
  version bigint not null,
  created_at bigint not null,
  erased_at bigint
);

-- Who leaves keeps the row, so that what they did still has somebody's number on it.
create table people_members (
  id text not null primary key,
  workspace text not null references people_workspaces (workspace),
  person text not null references people_persons (id),
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  joined_at bigint not null,
  left_at bigint
);
create unique index people_members_once on people_members (workspace, person) where left_at is null;
create index people_members_listed on people_members (workspace, id) where left_at is null;
create index people_members_of_person on people_members (person) where left_at is null;

create table people_sessions (
  id text not null primary key,
  workspace text not null,
  person text not null references people_persons (id),
  member text not null,
  token_hash bytea not null unique,
  agent text not null,
  via text not null,
  created_at bigint not null,
  seen_at bigint not null,
  expires_at bigint not null
);
create index people_sessions_of_person on people_sessions (person, seen_at);
create index people_sessions_of_member on people_sessions (workspace, member);
create index people_sessions_by_end on people_sessions (expires_at);

-- Sign-in links. One without a person was asked for by an unknown address: it opens nothing, and is written so that the
-- answer takes as long as for a known one.
create table people_links (
  id text not null primary key,
  workspace text not null,
  person text,
  token_hash bytea not null unique,
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint
);
create index people_links_of_person on people_links (person, created_at);
create index people_links_by_start on people_links (created_at);

create table people_invitations (
  id text not null primary key,
  workspace text not null references people_workspaces (workspace),
  email text not null,
  role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
  token_hash bytea not null unique,
  invited_by text,
  created_at bigint not null,
  expires_at bigint not null,
  accepted_at bigint
);
create unique index people_invitations_open on people_invitations (workspace, email) where accepted_at is null;
create index people_invitations_of_email on people_invitations (email);
create index people_invitations_by_end on people_invitations (expires_at);

create table people_keys (
  id text not null primary key,
  workspace text not null references people_workspaces (workspace),
  name text not null,
  secret_hash bytea not null,
  scopes text not null,
  created_by text,
  created_at bigint not null,
  expires_at bigint,
  used_at bigint
);
create index people_keys_of_workspace on people_keys (workspace, id);
