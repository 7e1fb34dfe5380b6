//! Every address and the module that answers it.

use std::sync::Arc;

use axum::Router;
use gateway::{Door, ShutdownSignal};
use metrics_exporter_prometheus::PrometheusHandle;
use notifications::LiveFact;
use outbox::Fact;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::installation::{Parts, Work, readiness};
use crate::pages;

/// What the document of the API says about itself.
#[derive(OpenApi)]
#[openapi(info(
    title = "Tessera",
    description = "Codes that open cards and pages, the leads that follow, the messages that tell of them, and the books. \
        Send an API key as `Authorization: Bearer tsk_…`. A POST may carry an `Idempotency-Key`; refusals are problems by RFC 9457."
))]
struct Document;

/// The facts that the live stream shows, each with the right that it takes.
pub fn live_facts() -> Vec<LiveFact> {
    vec![
        LiveFact { name: leads::events::LeadCaptured::NAME, grant: leads::grants::READ },
        LiveFact { name: leads::events::LeadChanged::NAME, grant: leads::grants::READ },
        LiveFact { name: leads::events::LeadErased::NAME, grant: leads::grants::READ },
        LiveFact { name: payments::events::PaymentChanged::NAME, grant: payments::grants::READ },
        LiveFact { name: payments::events::PayoutChanged::NAME, grant: payments::grants::READ },
        LiveFact { name: codes::scan::Scanned::NAME, grant: codes::grants::READ },
        LiveFact { name: codes::events::CodeChanged::NAME, grant: codes::grants::READ },
        LiveFact { name: cards::events::CardChanged::NAME, grant: cards::grants::READ },
    ]
}

/// The modules' routes with their document.
pub fn api(parts: &Parts) -> OpenApiRouter {
    let store = &parts.store;
    let people =
        people::Deps { store: store.clone(), roles: parts.roles.clone(), passwords: parts.passwords.clone(), links: parts.links.clone() };
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(people::routes(people))
        .merge(codes::routes(codes::Deps { store: store.clone(), public_url: parts.public_url.clone() }))
        .merge(codes::scan::routes(codes::scan::Deps { store: store.clone() }))
        .merge(cards::routes(cards::Deps::new(store.clone(), &parts.public_url)))
        .merge(crate::dead_jobs::routes(store.clone()))
        .merge(pages::paper_routes(store.clone()))
        .merge(leads::routes(leads::Deps { store: store.clone() }))
        .merge(ledger::routes(ledger::Deps { store: store.clone() }))
        .merge(risk::routes(risk::Deps { store: store.clone() }))
        .merge(payments::routes(payments::Deps {
            store: store.clone(),
            public_url: parts.public_url.clone(),
            health: parts.payments_health.clone(),
            allowed: parts.payments_allowed.clone(),
        }))
        .merge(notifications::routes(notifications::Deps {
            store: store.clone(),
            allowed: parts.allowed.clone(),
            live: parts.live.clone(),
        }))
}

/// Everything behind the fast door.
pub fn router(parts: &Parts, door: &Door, work: Work, metrics: Option<PrometheusHandle>, shutdown: ShutdownSignal) -> Router {
    let (store, scanner) = (parts.store.clone(), parts.scanner.clone());
    let ops = gateway::ops_routes(gateway::Ops {
        ready: Arc::new(move || Box::pin(readiness(store.clone(), scanner.clone()))),
        metrics: Arc::new(move || metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()),
        metrics_for: gateway::private_blocks(),
        shutdown,
    });
    if work == Work::JobsOnly {
        return ops;
    }
    let (api, document) = api(parts).split_for_parts();
    let mut app = api.merge(gateway::openapi::openapi_routes(gateway::openapi::complete(document))).merge(pages::routes(parts.clone()));
    if let Some(folder) = &parts.mail_folder {
        app = app.merge(notifications::mailbox_routes(folder.clone()));
    }
    door.around(app).merge(ops)
}
