//! The statements of settlement, and how their rows are read.
//!
//! Tables: `payments_expected`, `payments_settlements`, `payments_settlement_pieces`, `payments_settlement_lines`,
//! `payments_batches`, `payments_exceptions`, `payments_exception_actions`, `payments_bank_lines`.

use kernel::{Currency, Money};
use store::{Row, StoreError};

use crate::provider::{LineKind, ReportLine};
use crate::settlement::{Ageing, BankLineId, Batch, Done, Exception, Expected, Line, Settlement, UnknownWord, parse_kind};

store::statements! {
    INSERT_EXPECTED = sqlite "insert into payments_expected (workspace, subject, attempt, owner, provider, kind, currency, amount_minor,
        expected_at, is_missing) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, false) on conflict (workspace, subject) do nothing"
      postgres "insert into payments_expected (workspace, subject, attempt, owner, provider, kind, currency, amount_minor, expected_at, is_missing)
        select v.*, false from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
          $9::bigint[]) as v on conflict (workspace, subject) do nothing";
    FIND_EXPECTED = "select subject, attempt, owner, kind, currency, amount_minor, is_missing, settlement is not null as is_matched
        from payments_expected where workspace = $1 and provider = $2 and subject = $3";
    // SQLite goes through the list and looks each one up; `in (select …)` would sort the list into a table of its own first.
    KNOW_EXPECTED = sqlite "select e.subject, e.attempt, e.owner, e.kind, e.currency, e.amount_minor, e.is_missing,
        e.settlement is not null as is_matched from rarray($3) k
        cross join payments_expected e on e.workspace = $1 and e.subject = k.value where e.provider = $2"
      postgres "select subject, attempt, owner, kind, currency, amount_minor, is_missing, settlement is not null as is_matched
        from payments_expected where workspace = $1 and provider = $2 and subject = any($3)";
    KNOW_PARTS = sqlite "select e.subject, e.attempt, e.owner, e.kind, e.currency, e.amount_minor, e.is_missing,
        e.settlement is not null as is_matched from rarray($3) k
        cross join payments_expected e on e.workspace = $1 and e.attempt is not null and e.attempt = k.value where e.provider = $2"
      postgres "select subject, attempt, owner, kind, currency, amount_minor, is_missing, settlement is not null as is_matched
        from payments_expected where workspace = $1 and provider = $2 and attempt is not null and attempt = any($3)";
    KNOW_NAMES = sqlite "select r.reference, r.subject from rarray($3) k
        cross join payments_references r on r.workspace = $1 and r.provider = $2 and r.reference = k.value"
      postgres "select reference, subject from payments_references where workspace = $1 and provider = $2 and reference = any($3)";
    MATCH_EXPECTED = sqlite "update payments_expected set settlement = $3, line = $4
        where workspace = $1 and subject = $2 and settlement is null"
      postgres "update payments_expected e set settlement = v.settlement, line = v.line
        from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as v(workspace, subject, settlement, line)
        where e.workspace = v.workspace and e.subject = v.subject and e.settlement is null";
    DUE_EXPECTED = "select subject, attempt, owner, kind, currency, amount_minor, is_missing, false as is_matched from payments_expected
        where workspace = $1 and provider = $2 and settlement is null and is_missing = false and expected_at < $3
        order by expected_at limit $4";
    MARK_MISSING = "update payments_expected set is_missing = true where workspace = $1 and subject = $2 and is_missing = false";

    INSERT_SETTLEMENT = "insert into payments_settlements (workspace, id, provider, digest, name, format, state, covers_until, bytes, lines,
        booked, matched, exceptions, actor, created_at) values ($1, $2, $3, $4, $5, $6, 'receiving', $7, $8, $9, 0, 0, 0, $10, $11)
        on conflict (workspace, provider, digest) do nothing";
    FIND_SETTLEMENT = "select id, provider, digest, name, format, state, note, covers_until, bytes, lines, booked, matched, exceptions, actor,
        created_at, finished_at from payments_settlements where workspace = $1 and id = $2";
    FIND_BY_DIGEST = "select id, provider, digest, name, format, state, note, covers_until, bytes, lines, booked, matched, exceptions, actor,
        created_at, finished_at from payments_settlements where workspace = $1 and provider = $2 and digest = $3";
    LIST_SETTLEMENTS = "select id, provider, digest, name, format, state, note, covers_until, bytes, lines, booked, matched, exceptions, actor,
        created_at, finished_at from payments_settlements where workspace = $1 and id < $2 order by id desc limit $3";
    RUNNING_SETTLEMENT = "select id from payments_settlements where workspace = $1 and provider = $2 and state = 'booking' and id <> $3 limit 1";
    START_SETTLEMENT = "update payments_settlements set state = 'booking', note = null where workspace = $1 and id = $2 and state = 'receiving'";
    ADVANCE_SETTLEMENT = "update payments_settlements set booked = booked + $4, matched = matched + $5, exceptions = exceptions + $6
        where workspace = $1 and id = $2 and state = 'booking' and booked = $3";
    COUNT_MISSING = "update payments_settlements set exceptions = exceptions + $3 where workspace = $1 and id = $2";
    FINISH_SETTLEMENT = "update payments_settlements set state = $3, note = $4, finished_at = $5
        where workspace = $1 and id = $2 and state = 'booking'";
    INSERT_PIECE = "insert into payments_settlement_pieces (workspace, settlement, piece, body) values ($1, $2, $3, $4)
        on conflict (workspace, settlement, piece) do nothing";
    FIND_PIECE = "select body from payments_settlement_pieces where workspace = $1 and settlement = $2 and piece = $3";
    INSERT_LINE = sqlite "insert into payments_settlement_lines (workspace, settlement, line, kind, reference, provider_ref, batch, currency,
        gross_minor, fee_minor, net_minor, happened_at, outcome, subject) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
      postgres "insert into payments_settlement_lines (workspace, settlement, line, kind, reference, provider_ref, batch, currency,
        gross_minor, fee_minor, net_minor, happened_at, outcome, subject)
        select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
          $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[])";
    LIST_LINES = "select line, kind, reference, provider_ref, batch, currency, gross_minor, fee_minor, net_minor, happened_at, outcome, subject
        from payments_settlement_lines where workspace = $1 and settlement = $2 and line > $3 order by line limit $4";
    LIST_UNMATCHED = "select line, kind, reference, provider_ref, batch, currency, gross_minor, fee_minor, net_minor, happened_at, outcome, subject
        from payments_settlement_lines where workspace = $1 and settlement = $2 and line > $3 and outcome <> 'matched' order by line limit $4";
    FIND_LINE = "select line, kind, reference, provider_ref, batch, currency, gross_minor, fee_minor, net_minor, happened_at, outcome, subject
        from payments_settlement_lines where workspace = $1 and settlement = $2 and line = $3";
    SETTLE_LINE = "update payments_settlement_lines set outcome = $4, subject = coalesce($5, subject), gross_minor = $6, fee_minor = $7,
        net_minor = $8 where workspace = $1 and settlement = $2 and line = $3";
    ADD_BATCH = "insert into payments_batches (workspace, settlement, batch, currency, provider, gross_minor, fee_minor, net_minor)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (workspace, settlement, batch, currency) do update set
          gross_minor = payments_batches.gross_minor + excluded.gross_minor, fee_minor = payments_batches.fee_minor + excluded.fee_minor,
          net_minor = payments_batches.net_minor + excluded.net_minor";
    LIST_BATCHES = "select batch, currency, gross_minor, fee_minor, net_minor, bank_line from payments_batches
        where workspace = $1 and settlement = $2 order by currency, batch limit 1000";
    TOTALS = "select '' as batch, currency, cast(sum(gross_minor) as bigint) as gross_minor, cast(sum(fee_minor) as bigint) as fee_minor,
        cast(sum(net_minor) as bigint) as net_minor, cast(null as text) as bank_line from payments_batches
        where workspace = $1 and settlement = $2 group by currency order by currency limit 200";
    // A batch counts once nothing of its provider is being booked.
    KNOW_BATCH = "select b.batch as batch, b.provider as provider, b.currency as currency, cast(sum(b.net_minor) as bigint) as net_minor
        from payments_batches b join payments_settlements s on s.workspace = b.workspace and s.id = b.settlement
        where b.workspace = $1 and b.batch = $2 and b.bank_line is null and s.state = 'done' group by b.batch, b.provider, b.currency limit 20";
    MATCH_BATCH = "update payments_batches set bank_line = $5 where workspace = $1 and batch = $2 and provider = $3 and currency = $4
        and bank_line is null";

    INSERT_EXCEPTION = "insert into payments_exceptions (workspace, id, provider, kind, state, settlement, line, subject, owner, reference,
        provider_ref, batch, currency, expected_minor, got_minor, note, version, created_at, changed_at)
        values ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $16)";
    FIND_EXCEPTION = "select id, provider, kind, state, settlement, line, subject, owner, reference, provider_ref, batch, currency,
        expected_minor, got_minor, note, proposed, proposed_by, resolution, version, created_at, resolved_at
        from payments_exceptions where workspace = $1 and id = $2";
    LIST_EXCEPTIONS = "select id, provider, kind, state, settlement, line, subject, owner, reference, provider_ref, batch, currency,
        expected_minor, got_minor, note, proposed, proposed_by, resolution, version, created_at, resolved_at
        from payments_exceptions where workspace = $1 and ($2 = '' or state = $2) and ($3 = '' or provider = $3) and ($4 = '' or kind = $4)
          and ($5 = '' or settlement = $5) and id < $6 order by id desc limit $7";
    OPEN_OF_SUBJECT = "select id from payments_exceptions where workspace = $1 and subject = $2 and kind = $3 and state = 'open' limit 1";
    FOUND_AFTER_ALL = "update payments_exceptions set state = 'resolved', resolution = $3, version = version + 1, changed_at = $4, resolved_at = $4
        where workspace = $1 and subject = $2 and kind = 'missing' and state = 'open'";
    CHANGE_EXCEPTION = "update payments_exceptions set kind = $4, state = $5, subject = $6, owner = $7, expected_minor = $8, got_minor = $9,
        proposed = $10, proposed_by = $11, resolution = $12, resolved_at = $13, changed_at = $14, version = version + 1
        where workspace = $1 and id = $2 and version = $3 and state = 'open'";
    INSERT_ACTION = "insert into payments_exception_actions (workspace, exception, version, action, reason, actor, done_at, body)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST_ACTIONS = "select version, action, reason, actor, done_at, body from payments_exception_actions
        where workspace = $1 and exception = $2 order by version limit 200";
    AGEING = "select provider, cast(sum(case when created_at > $2 then 1 else 0 end) as bigint) as to_1_day,
          cast(sum(case when created_at <= $2 and created_at > $3 then 1 else 0 end) as bigint) as to_7_days,
          cast(sum(case when created_at <= $3 and created_at > $4 then 1 else 0 end) as bigint) as to_30_days,
          cast(sum(case when created_at <= $4 then 1 else 0 end) as bigint) as older
        from payments_exceptions where workspace = $1 and state = 'open' group by provider order by provider limit 200";

    INSERT_BANK_LINE = "insert into payments_bank_lines (workspace, id, digest, booked_on, amount_minor, currency, reference, state, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, 'open', $8) on conflict (workspace, digest) do nothing";
    OPEN_BANK_LINES = "select id, amount_minor, currency, reference from payments_bank_lines where workspace = $1 and state = 'open' and id > $2
        order by id limit $3";
    MOVE_BANK_LINE = "update payments_bank_lines set state = $3 where workspace = $1 and id = $2 and state = 'open'";

    CHANGED_INTENTS = "select id from payments_intents where workspace = $1 and changed_at >= $2 and changed_at < $3 and id > $4 order by id limit $5";
    PROVIDERS_EVERYWHERE = "select workspace, id from payments_providers where id > $1 order by id limit $2";
}

fn currency(row: &Row<'_>) -> Result<Currency, StoreError> {
    Currency::parse(&row.get::<String>("currency")?).map_err(StoreError::decode)
}

fn kind(row: &Row<'_>) -> Result<LineKind, StoreError> {
    parse_kind(&row.get::<String>("kind")?).ok_or_else(|| StoreError::decode(UnknownWord))
}

pub(crate) fn expected(row: &Row<'_>) -> Result<Expected, StoreError> {
    Ok(Expected {
        subject: row.get("subject")?,
        attempt: row.get("attempt")?,
        owner: row.get("owner")?,
        kind: kind(row)?,
        amount: Money::new(row.get("amount_minor")?, currency(row)?),
        is_missing: row.get("is_missing")?,
        is_matched: row.get("is_matched")?,
    })
}

pub(crate) fn settlement(row: &Row<'_>) -> Result<Settlement, StoreError> {
    Ok(Settlement {
        id: row.id("id")?,
        provider: row.id("provider")?,
        digest: row.get("digest")?,
        name: row.get("name")?,
        format: row.get("format")?,
        state: row.get("state")?,
        note: row.get("note")?,
        covers_until: row.opt_time("covers_until")?,
        bytes: row.get("bytes")?,
        lines: row.get("lines")?,
        booked: row.get("booked")?,
        matched: row.get("matched")?,
        exceptions: row.get("exceptions")?,
        actor: row.get("actor")?,
        created_at: row.time("created_at")?,
        finished_at: row.opt_time("finished_at")?,
    })
}

pub(crate) fn line(row: &Row<'_>) -> Result<Line, StoreError> {
    let batch: String = row.get("batch")?;
    Ok(Line {
        number: row.get("line")?,
        line: ReportLine {
            kind: kind(row)?,
            reference: row.get("reference")?,
            provider_ref: row.get("provider_ref")?,
            batch: Some(batch).filter(|batch| !batch.is_empty()),
            gross: Money::new(row.get("gross_minor")?, currency(row)?),
            fee_minor: row.get("fee_minor")?,
            net_minor: row.get("net_minor")?,
            at: row.opt_time("happened_at")?,
        },
        outcome: row.get("outcome")?,
        subject: row.get("subject")?,
    })
}

pub(crate) fn batch(row: &Row<'_>) -> Result<Batch, StoreError> {
    Ok(Batch {
        batch: row.get("batch")?,
        currency: currency(row)?,
        gross_minor: row.get("gross_minor")?,
        fee_minor: row.get("fee_minor")?,
        net_minor: row.get("net_minor")?,
        bank_line: row.opt_id("bank_line")?,
    })
}

pub(crate) fn exception(row: &Row<'_>) -> Result<Exception, StoreError> {
    Ok(Exception {
        id: row.id("id")?,
        provider: row.id("provider")?,
        kind: row.parsed("kind")?,
        is_open: row.get::<String>("state")? == "open",
        settlement: row.opt_id("settlement")?,
        line: row.get("line")?,
        subject: row.get("subject")?,
        owner: row.get("owner")?,
        reference: row.get("reference")?,
        provider_ref: row.get("provider_ref")?,
        batch: row.get("batch")?,
        currency: currency(row)?,
        expected_minor: row.get("expected_minor")?,
        got_minor: row.get("got_minor")?,
        note: row.get("note")?,
        proposed: row.get("proposed")?,
        proposed_by: row.get("proposed_by")?,
        resolution: row.get("resolution")?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
        resolved_at: row.opt_time("resolved_at")?,
    })
}

pub(crate) fn action(row: &Row<'_>) -> Result<Done, StoreError> {
    Ok(Done {
        version: row.get("version")?,
        action: row.get("action")?,
        reason: row.get("reason")?,
        actor: row.get("actor")?,
        at: row.time("done_at")?,
        body: row.get("body")?,
    })
}

pub(crate) fn ageing(row: &Row<'_>) -> Result<Ageing, StoreError> {
    Ok(Ageing {
        provider: row.id("provider")?,
        to_1_day: row.get("to_1_day")?,
        to_7_days: row.get("to_7_days")?,
        to_30_days: row.get("to_30_days")?,
        older: row.get("older")?,
    })
}

/// A bank line that is not matched yet: its identifier, amount and reference.
pub(crate) fn bank_line(row: &Row<'_>) -> Result<(BankLineId, Money, String), StoreError> {
    Ok((row.id("id")?, Money::new(row.get("amount_minor")?, currency(row)?), row.get("reference")?))
}
