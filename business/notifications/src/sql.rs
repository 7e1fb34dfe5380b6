//! Every statement of this module. Tables: notifications_messages, _attachments, _mentions, _endpoints, _events, _attempts,
//! _templates.

store::statements! {
    INSERT_MESSAGE = "insert into notifications_messages
        (id, workspace, template, lane, recipient, address, locale, zone, variables, reply_to, dedupe, state, attempts, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'queued', 0, $12) on conflict do nothing";
    MESSAGE_BY_DEDUPE = "select id from notifications_messages where workspace = $1 and dedupe = $2";
    INSERT_ATTACHMENT = "insert into notifications_attachments (message, position, workspace, name, content_type, content) values ($1, $2, $3, $4, $5, $6)";
    MESSAGE_TO_SEND = "select id, template, recipient, address, locale, zone, variables, reply_to, lane, dedupe, attempts, created_at
        from notifications_messages where workspace = $1 and id = $2 and state = 'queued'";
    ATTACHMENTS_OF = "select name, content_type, content from notifications_attachments where workspace = $1 and message = $2 order by position";
    FINISH_MESSAGE = "update notifications_messages set state = $3, reason = $4, variables = '{}', finished_at = $5, attempts = attempts + 1
        where workspace = $1 and id = $2 and state = 'queued'";
    PUT_MESSAGE_OFF = "update notifications_messages set reason = $3, attempts = attempts + 1 where workspace = $1 and id = $2 and state = 'queued'";
    DELETE_ATTACHMENTS = "delete from notifications_attachments where workspace = $1 and message = $2";
    LIST_MESSAGES = "select id, template, recipient, state, reason, created_at, finished_at from notifications_messages
        where workspace = $1 and id < $2 order by id desc limit $3";

    INSERT_MENTION = "insert into notifications_mentions (workspace, address, subject) values ($1, $2, $3) on conflict do nothing";
    MENTIONING = "select subject from notifications_mentions where workspace = $1 and address = $2 order by subject";
    ERASE_MESSAGES = "update notifications_messages set address = '', variables = '{}', reply_to = null, dedupe = null, recipient = '',
        reason = case when state = 'queued' then 'the person was erased' else null end,
        finished_at = case when state = 'queued' then $3 else finished_at end,
        state = case when state = 'queued' then 'failed' else state end
        where workspace = $1 and id in (select subject from notifications_mentions where workspace = $1 and address = $2)";
    ERASE_ATTACHMENTS = "delete from notifications_attachments
        where workspace = $1 and message in (select subject from notifications_mentions where workspace = $1 and address = $2)";
    ERASE_EVENTS = "update notifications_events set body = ''
        where workspace = $1 and id in (select subject from notifications_mentions where workspace = $1 and address = $2)";
    ERASE_ANSWERS = "update notifications_attempts set answer = ''
        where workspace = $1 and event in (select subject from notifications_mentions where workspace = $1 and address = $2)";
    ERASE_MENTIONS = "delete from notifications_mentions
        where workspace = $1 and subject in (select subject from notifications_mentions where workspace = $1 and address = $2)";

    INSERT_ENDPOINT = "insert into notifications_endpoints
        (id, workspace, url, description, event_types, secret, is_enabled, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, true, $7, $7)";
    COUNT_ENDPOINTS = "select count(*) from notifications_endpoints where workspace = $1";
    FIND_ENDPOINT = "select id, url, description, event_types, is_enabled, disabled_reason, failing_since_at, previous_until_at, created_at
        from notifications_endpoints where workspace = $1 and id = $2";
    LIST_ENDPOINTS = "select id, url, description, event_types, is_enabled, disabled_reason, failing_since_at, previous_until_at, created_at
        from notifications_endpoints where workspace = $1 and id > $2 order by id limit $3";
    ENABLED_ENDPOINTS = "select id, event_types from notifications_endpoints where workspace = $1 and is_enabled = true order by id limit 100";
    UPDATE_ENDPOINT = "update notifications_endpoints set url = $3, description = $4, event_types = $5, is_enabled = $6, disabled_reason = $7,
        failing_since_at = case when $6 = true and is_enabled = false then null else failing_since_at end, updated_at = $8
        where workspace = $1 and id = $2";
    DELETE_ENDPOINT = "delete from notifications_endpoints where workspace = $1 and id = $2";
    ROTATE_SECRET = "update notifications_endpoints set previous_secret = secret, previous_until_at = $4, secret = $3, updated_at = $5
        where workspace = $1 and id = $2";
    ENDPOINT_DID_WELL = "update notifications_endpoints set failing_since_at = null where workspace = $1 and id = $2 and failing_since_at is not null";
    ENDPOINT_FAILED = "update notifications_endpoints set failing_since_at = $3 where workspace = $1 and id = $2 and failing_since_at is null";
    DISABLE_ENDPOINT = "update notifications_endpoints set is_enabled = false, disabled_reason = $3, updated_at = $4
        where workspace = $1 and id = $2 and is_enabled = true";

    INSERT_EVENT = "insert into notifications_events (workspace, id, type, body, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing";
    EVENT_EXISTS = "select 1 from notifications_events where workspace = $1 and id = $2 and body <> ''";
    DELIVERY = "select p.url, p.secret, p.previous_secret, p.previous_until_at, p.failing_since_at, e.body
        from notifications_endpoints p, notifications_events e
        where p.workspace = $1 and p.id = $2 and p.is_enabled = true and e.workspace = $1 and e.id = $3 and e.body <> ''";
    COUNT_ATTEMPTS = "select count(*) from notifications_attempts where workspace = $1 and event = $2 and job = $3";
    INSERT_ATTEMPT = "insert into notifications_attempts (id, workspace, endpoint, event, job, outcome, status, took_ms, answer, attempted_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    LIST_ATTEMPTS = "select id, event, outcome, status, took_ms, answer, attempted_at from notifications_attempts
        where workspace = $1 and endpoint = $2 and id < $3 order by id desc limit $4";

    INSERT_TEMPLATE = "insert into notifications_templates (workspace, template, language, version, subject, text_part, html_part, saved_by, saved_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    LATEST_TEMPLATE = "select version, subject, text_part, html_part from notifications_templates
        where workspace = $1 and template = $2 and language = $3 order by version desc limit 1";
    LATEST_TEMPLATES = "select template, language, max(version) as version from notifications_templates where workspace = $1
        group by template, language order by template, language";

    SWEEP_ATTEMPTS_EVERYWHERE = "delete from notifications_attempts where id in
        (select id from notifications_attempts where attempted_at < $1 order by attempted_at limit $2)";
    SWEEP_EVENT_MENTIONS_EVERYWHERE = "delete from notifications_mentions where (workspace, subject) in
        (select workspace, id from notifications_events where created_at < $1 order by created_at limit $2)";
    SWEEP_EVENTS_EVERYWHERE = "delete from notifications_events where (workspace, id) in
        (select workspace, id from notifications_events where created_at < $1 order by created_at limit $2)";
    SWEEP_MESSAGE_MENTIONS_EVERYWHERE = "delete from notifications_mentions where (workspace, subject) in
        (select workspace, id from notifications_messages where finished_at < $1 order by finished_at limit $2)";
    SWEEP_MESSAGES_EVERYWHERE = "delete from notifications_messages where id in
        (select id from notifications_messages where finished_at < $1 order by finished_at limit $2)";
}
