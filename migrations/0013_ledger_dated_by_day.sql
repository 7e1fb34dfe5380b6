-- Ledger: an account by the day that its transfers count from, the newest first, without reading what counts from other days.

create index ledger_dated_by_day on ledger_dated (workspace, account, effective_at, position);
