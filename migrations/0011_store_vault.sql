-- A text that was sealed with the installation's key: a start with another key is refused instead of making secrets unreadable.
create table store_vault (
    id text primary key,
    sealed bytea not null
);
