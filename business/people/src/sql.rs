//! Every statement of people, and how its rows are read.
//!
//! Tables: `people_workspaces`, `people_persons`, `people_members`, `people_sessions`, `people_links`, `people_invitations`,
//! `people_keys`.

use kernel::{Id as _, MemberId};
use store::{Row, StoreError};

use crate::key::Key;
use crate::{Email, Invitation, Locale, Member, Membership, Person, Session, Workspace, Zone};

store::statements! {
    INSERT_WORKSPACE = "insert into people_workspaces (workspace, name, locale, zone, created_at) values ($1, $2, $3, $4, $5)";
    FIND_WORKSPACE = "select workspace, name, locale, zone, created_at from people_workspaces where workspace = $1";
    UPDATE_WORKSPACE = "update people_workspaces set name = $2, locale = $3, zone = $4 where workspace = $1";
    ANY_WORKSPACE_EVERYWHERE = "select workspace, name, locale, zone, created_at from people_workspaces order by workspace limit 1";

    INSERT_PERSON_EVERYWHERE = "insert into people_persons (id, workspace, email, name, locale, zone, password_hash, version, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, 1, $8) on conflict (email) do nothing";
    FIND_PERSON_EVERYWHERE = "select id, email, name, locale, zone, password_hash, version, created_at
        from people_persons where id = $1 and erased_at is null";
    FIND_PERSON_BY_EMAIL_EVERYWHERE = "select id, email, name, locale, zone, password_hash, version, created_at
        from people_persons where email = $1 and erased_at is null";
    UPDATE_PROFILE_EVERYWHERE = "update people_persons set name = $2, locale = $3, zone = $4 where id = $1 and erased_at is null";
    UPDATE_PASSWORD_EVERYWHERE = "update people_persons set password_hash = $3, version = version + 1
        where id = $1 and version = $2 and erased_at is null";
    ERASE_PERSON_EVERYWHERE = "update people_persons set email = $2, name = '', locale = 'en', zone = 'UTC', password_hash = null,
        version = version + 1, erased_at = $3 where id = $1 and erased_at is null";

    INSERT_MEMBER = "insert into people_members (id, workspace, person, role, joined_at) values ($1, $2, $3, $4, $5)
        on conflict (workspace, person) where left_at is null do nothing";
    FIND_MEMBER = "select m.id, m.workspace, m.person, m.role, m.joined_at, p.email, p.name, p.locale, p.zone
        from people_members m join people_persons p on p.id = m.person
        where m.workspace = $1 and m.id = $2 and m.left_at is null";
    FIND_MEMBER_OF_PERSON = "select m.id, m.workspace, m.person, m.role, m.joined_at, p.email, p.name, p.locale, p.zone
        from people_members m join people_persons p on p.id = m.person
        where m.workspace = $1 and m.person = $2 and m.left_at is null";
    FIND_MEMBER_BY_EMAIL = "select m.id, m.workspace, m.person, m.role, m.joined_at, p.email, p.name, p.locale, p.zone
        from people_members m join people_persons p on p.id = m.person
        where m.workspace = $1 and p.email = $2 and m.left_at is null";
    LIST_MEMBERS = "select m.id, m.workspace, m.person, m.role, m.joined_at, p.email, p.name, p.locale, p.zone
        from people_members m join people_persons p on p.id = m.person
        where m.workspace = $1 and m.id > $2 and m.left_at is null order by m.id limit $3";
    LIST_OWNERS = "select m.id, m.workspace, m.person, m.role, m.joined_at, p.email, p.name, p.locale, p.zone
        from people_members m join people_persons p on p.id = m.person
        where m.workspace = $1 and m.role = 'owner' and m.left_at is null order by m.id limit 50";
    LIST_MEMBERSHIPS_EVERYWHERE = "select m.id, m.workspace, m.role, w.name from people_members m
        join people_workspaces w on w.workspace = m.workspace
        where m.person = $1 and m.left_at is null order by m.joined_at, m.id limit 200";
    COUNT_OWNERS = "select count(*) from people_members where workspace = $1 and role = 'owner' and left_at is null";
    UPDATE_ROLE = "update people_members set role = $3 where workspace = $1 and id = $2 and left_at is null";
    END_MEMBER = "update people_members set left_at = $3 where workspace = $1 and id = $2 and left_at is null";

    INSERT_SESSION = "insert into people_sessions (id, workspace, person, member, token_hash, agent, via, created_at, seen_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)";
    FIND_SESSION_BY_TOKEN_EVERYWHERE = "select s.id, s.person, s.workspace, s.member, m.role, s.agent, s.via, s.created_at, s.seen_at, s.expires_at
        from people_sessions s join people_members m on m.workspace = s.workspace and m.id = s.member and m.left_at is null
        where s.token_hash = $1 and s.expires_at > $2";
    FIND_SESSION_EVERYWHERE = "select s.id, s.person, s.workspace, s.member, m.role, s.agent, s.via, s.created_at, s.seen_at, s.expires_at
        from people_sessions s join people_members m on m.workspace = s.workspace and m.id = s.member and m.left_at is null
        where s.person = $1 and s.id = $2 and s.expires_at > $3";
    LIST_SESSIONS_EVERYWHERE = "select s.id, s.person, s.workspace, s.member, m.role, s.agent, s.via, s.created_at, s.seen_at, s.expires_at
        from people_sessions s join people_members m on m.workspace = s.workspace and m.id = s.member and m.left_at is null
        where s.person = $1 and s.expires_at > $2 order by s.seen_at desc, s.id desc limit 100";
    TOUCH_SESSION_EVERYWHERE = "update people_sessions set seen_at = $2, expires_at = $3 where id = $1 and seen_at < $2 and expires_at > $2";
    SWITCH_SESSION_EVERYWHERE = "update people_sessions set workspace = $3, member = $4 where person = $1 and id = $2";
    DELETE_SESSION_EVERYWHERE = "delete from people_sessions where person = $1 and id = $2";
    DELETE_OTHER_SESSIONS_EVERYWHERE = "delete from people_sessions where person = $1 and id <> $2";
    DELETE_SESSIONS_EVERYWHERE = "delete from people_sessions where person = $1";
    DELETE_SESSIONS_OF_MEMBER = "delete from people_sessions where workspace = $1 and member = $2";
    TRIM_SESSIONS_EVERYWHERE = "delete from people_sessions where id in
        (select id from people_sessions where person = $1 order by seen_at desc, id desc limit 1000 offset $2)";
    SWEEP_SESSIONS_EVERYWHERE = "delete from people_sessions where id in
        (select id from people_sessions where expires_at <= $1 order by expires_at limit 500)";

    INSERT_LINK = "insert into people_links (id, workspace, person, token_hash, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)";
    FIND_LINK_EVERYWHERE = "select id, workspace, person from people_links
        where token_hash = $1 and used_at is null and expires_at > $2 and person is not null";
    USE_LINK_EVERYWHERE = "update people_links set used_at = $2 where id = $1 and used_at is null and expires_at > $2";
    COUNT_LINKS_EVERYWHERE = "select count(*) from people_links where person = $1 and created_at > $2";
    SPEND_LINKS_EVERYWHERE = "update people_links set used_at = $2 where person = $1 and used_at is null";
    DELETE_LINKS_EVERYWHERE = "delete from people_links where person = $1";
    SWEEP_LINKS_EVERYWHERE = "delete from people_links where id in
        (select id from people_links where created_at < $1 order by created_at limit 500)";

    INSERT_INVITATION = "insert into people_invitations (id, workspace, email, role, token_hash, invited_by, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    FIND_INVITATION = "select id, workspace, email, role, invited_by, created_at, expires_at from people_invitations
        where workspace = $1 and id = $2 and accepted_at is null and expires_at > $3";
    FIND_INVITATION_EVERYWHERE = "select id, workspace, email, role, invited_by, created_at, expires_at from people_invitations
        where token_hash = $1 and accepted_at is null and expires_at > $2";
    LIST_INVITATIONS = "select id, workspace, email, role, invited_by, created_at, expires_at from people_invitations
        where workspace = $1 and id > $2 and accepted_at is null and expires_at > $3 order by id limit $4";
    COUNT_INVITATIONS = "select count(*) from people_invitations where workspace = $1 and accepted_at is null and expires_at > $2";
    ACCEPT_INVITATION = "update people_invitations set accepted_at = $3
        where workspace = $1 and id = $2 and accepted_at is null and expires_at > $3";
    DELETE_INVITATION = "delete from people_invitations where workspace = $1 and id = $2 and accepted_at is null";
    DELETE_INVITATION_TO = "delete from people_invitations where workspace = $1 and email = $2 and accepted_at is null";
    LIST_TRACES_EVERYWHERE = "select workspace, id from people_members where person = $1
        union all select workspace, id from people_invitations where email = $2
        order by workspace, id limit 1000";
    DELETE_INVITATIONS_TO_EVERYWHERE = "delete from people_invitations where email = $1";
    SWEEP_INVITATIONS_EVERYWHERE = "delete from people_invitations where id in
        (select id from people_invitations where expires_at <= $1 order by expires_at limit 500)";

    INSERT_KEY = "insert into people_keys (id, workspace, name, secret_hash, scopes, created_by, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    FIND_KEY = "select id, workspace, name, scopes, created_by, created_at, expires_at, used_at from people_keys where workspace = $1 and id = $2";
    FIND_KEY_EVERYWHERE = "select id, workspace, name, scopes, created_by, created_at, expires_at, used_at, secret_hash
        from people_keys where id = $1";
    LIST_KEYS = "select id, workspace, name, scopes, created_by, created_at, expires_at, used_at from people_keys
        where workspace = $1 and id > $2 order by id limit $3";
    COUNT_KEYS = "select count(*) from people_keys where workspace = $1";
    TOUCH_KEY = "update people_keys set used_at = $3 where workspace = $1 and id = $2 and (used_at is null or used_at < $3)";
    DELETE_KEY = "delete from people_keys where workspace = $1 and id = $2";
}

pub(crate) fn workspace(row: &Row<'_>) -> Result<Workspace, StoreError> {
    Ok(Workspace {
        id: row.id("workspace")?,
        name: row.get("name")?,
        locale: Locale::stored(row.get("locale")?),
        zone: Zone::stored(row.get("zone")?),
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn person(row: &Row<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.id("id")?,
        email: Email::stored(row.get("email")?),
        name: row.get("name")?,
        locale: Locale::stored(row.get("locale")?),
        zone: Zone::stored(row.get("zone")?),
        password_hash: row.get("password_hash")?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn member(row: &Row<'_>) -> Result<Member, StoreError> {
    Ok(Member {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        person: row.id("person")?,
        role: row.parsed("role")?,
        email: Email::stored(row.get("email")?),
        name: row.get("name")?,
        locale: Locale::stored(row.get("locale")?),
        zone: Zone::stored(row.get("zone")?),
        joined_at: row.time("joined_at")?,
    })
}

pub(crate) fn membership(row: &Row<'_>) -> Result<Membership, StoreError> {
    Ok(Membership { workspace: row.id("workspace")?, workspace_name: row.get("name")?, member: row.id("id")?, role: row.parsed("role")? })
}

pub(crate) fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.id("id")?,
        person: row.id("person")?,
        workspace: row.id("workspace")?,
        member: row.id("member")?,
        role: row.parsed("role")?,
        agent: row.get("agent")?,
        via: row.parsed("via")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub(crate) fn invitation(row: &Row<'_>) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        email: Email::stored(row.get("email")?),
        role: row.parsed("role")?,
        invited_by: row.opt_id("invited_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub(crate) fn key(row: &Row<'_>) -> Result<Key, StoreError> {
    Ok(Key {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        name: row.get("name")?,
        scopes: row.json("scopes")?,
        maker: row.get::<Option<String>>("created_by")?.and_then(|id| MemberId::parse(&id).ok()),
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
        used_at: row.opt_time("used_at")?,
    })
}

/// A key and the hash of its secret.
pub(crate) fn key_and_hash(row: &Row<'_>) -> Result<(Key, Vec<u8>), StoreError> {
    Ok((key(row)?, row.get("secret_hash")?))
}

/// A sign-in link that works, and whose it is.
pub(crate) struct Link {
    pub(crate) id: crate::session::LinkId,
    pub(crate) workspace: kernel::WorkspaceId,
    pub(crate) person: crate::PersonId,
}

pub(crate) fn link(row: &Row<'_>) -> Result<Link, StoreError> {
    Ok(Link { id: row.id("id")?, workspace: row.id("workspace")?, person: row.id("person")? })
}

/// A workspace and the text of an id in it.
pub(crate) fn trace(row: &Row<'_>) -> Result<(kernel::WorkspaceId, String), StoreError> {
    Ok((row.id("workspace")?, row.get("id")?))
}

pub(crate) fn count(row: &Row<'_>) -> Result<i64, StoreError> {
    row.get(0)
}
