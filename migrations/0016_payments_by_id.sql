-- Payments: a payer comes back from a provider's page with the payment's identifier and nothing else.

create unique index payments_intents_by_id on payments_intents (id);
