-- Codes: what is printed, where it leads, and what may be recorded of its scans.

-- Of the installation, not of a workspace: the counter that codes are made from, and the key of the permutation that makes
-- them. The key never changes, or new codes would meet printed ones.
create table codes_counters (
    name text primary key,
    next_number bigint not null,
    permutation_key bytea not null
);

-- One row a code. `code` is the number behind the printed letters, unique over all workspaces. A switch that is null follows
-- the workspace's. `scans_left` is written by whoever counts scans, without raising `version`.
create table codes (
    code bigint primary key,
    workspace text not null,
    batch text,
    state text not null,
    destination_kind text,
    destination_id text,
    destination_url text,
    name text not null,
    name_search text not null,
    tags text not null,
    expires_at bigint,
    fallback_url text,
    scan_limit bigint,
    scans_left bigint,
    record_address boolean,
    record_place boolean,
    record_device boolean,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    check (state in ('minted', 'live', 'paused', 'retired')),
    check ((state in ('live', 'paused')) = (destination_kind is not null)),
    check ((scan_limit is null) = (scans_left is null))
);
create index codes_listed on codes (workspace, created_at, code);
create index codes_by_batch on codes (workspace, batch, created_at, code) where batch is not null;
create index codes_by_destination on codes (workspace, destination_kind, destination_id, code) where destination_id is not null;

-- The tags of a code once more, for lists by tag.
create table codes_tags (
    workspace text not null,
    tag text not null,
    created_at bigint not null,
    code bigint not null references codes (code),
    primary key (workspace, tag, created_at, code)
);

-- Codes that were minted by one call: the range is taken with this row, the codes are written in steps.
create table codes_batches (
    id text primary key,
    workspace text not null,
    first_number bigint not null,
    asked bigint not null,
    made bigint not null,
    template text not null,
    created_at bigint not null
);

-- Parameters of any size that a page asks for after the scan.
create table codes_parameters (
    request text primary key,
    workspace text not null,
    code bigint not null references codes (code),
    parameters text not null,
    created_at bigint not null
);
create index codes_parameters_by_code on codes_parameters (workspace, code, request);

-- A workspace's switches, which its codes follow where they have none of their own.
create table codes_workspaces (
    workspace text primary key,
    record_address boolean not null,
    record_place boolean not null,
    record_device boolean not null,
    version bigint not null,
    updated_at bigint not null
);
