//! Statements of the gateway. Table: `gateway_answers`, the recorded answers.

store::statements! {
    /// Begins a record, taking over an expired one. While another unit holds the same key this waits for its commit on
    /// PostgreSQL; on SQLite units run one after the other anyway. Changes nothing when a record stands.
    BEGIN_ANSWER = "insert into gateway_answers (workspace, route, key, fingerprint, status, body, created_at, expires_at) \
        values ($1, $2, $3, $4, null, null, $5, $6) \
        on conflict (workspace, route, key) do update set fingerprint = excluded.fingerprint, status = null, body = null, \
        created_at = excluded.created_at, expires_at = excluded.expires_at \
        where gateway_answers.expires_at <= excluded.created_at";
    /// Completes a record with the answer.
    FINISH_ANSWER = "update gateway_answers set status = $4, body = $5 where workspace = $1 and route = $2 and key = $3";
    /// Reads a record.
    FIND_ANSWER = "select fingerprint, status, body from gateway_answers where workspace = $1 and route = $2 and key = $3";
    /// Takes the words out of every recorded answer that mentions something; the records stay, so that nothing is done twice.
    ERASE_ANSWERS = "update gateway_answers set body = null where workspace = $1 and body like $2 escape '\\'";
    /// Forgets records whose time is over, a bounded number at once.
    SWEEP_ANSWERS_EVERYWHERE = "delete from gateway_answers where (workspace, route, key) in \
        (select workspace, route, key from gateway_answers where expires_at <= $1 order by expires_at limit $2)";
}
