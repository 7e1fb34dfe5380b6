-- Cards: digital business cards and their photos.

-- What stands on a card is one JSON text: it is always read and written whole. An erased person's card stays, retired and empty,
-- so that its printed codes find a notice and not another card.
create table cards (
    workspace text not null,
    id text not null,
    owner text,
    profile text not null,
    search_text text not null,
    photo text,
    retired_at bigint,
    version bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (id)
);
create index cards_of_workspace on cards (workspace, id);
create index cards_of_owner on cards (workspace, owner, id);
create index cards_of_photo on cards (workspace, photo);

-- A photo is kept under the hash of its content; cards of one workspace may share it.
create table cards_photos (
    workspace text not null,
    hash text not null,
    page bytea not null,
    vcard bytea not null,
    created_at bigint not null,
    primary key (workspace, hash)
);
create index cards_photos_by_hash on cards_photos (hash);
