-- A table without a business: the store's own tests and the health check write here, and nothing else does.
create table store_probe (
    id text primary key,
    number bigint not null,
    flag boolean not null default false,
    body bytea
);
