-- The answers that were given under an Idempotency-Key, each written in the unit of work of its effect. A row without a
-- status is one whose effect is still running: nobody but its own unit ever sees it.
create table gateway_answers (
    workspace text not null,
    route text not null,
    key text not null,
    fingerprint bytea not null,
    status bigint,
    body text,
    created_at bigint not null,
    expires_at bigint not null,
    primary key (workspace, route, key)
);

create index gateway_answers_expires on gateway_answers (expires_at);
