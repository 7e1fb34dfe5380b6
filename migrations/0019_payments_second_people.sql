-- Payments: the secrets that a provider had before they changed, for webhooks that are under way, and who is behind the account
-- of a beneficiary.

alter table payments_providers add column former_sealed bytea;
alter table payments_providers add column former_until bigint;
alter table payments_beneficiaries add column changed_by text;
