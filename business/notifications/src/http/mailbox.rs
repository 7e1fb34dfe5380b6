//! The pages of the development mailbox. `app` mounts them only where there is no mail server.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use gateway::page::Page;
use gateway::{Call, Path, Problem};
use http::{HeaderValue, header};
use kernel::Id as _;

use crate::dev_mailbox;
use crate::message::MessageId;

/// Where the pages stand.
const AT: &str = "/dev/mailbox";

/// `/dev/mailbox`, `/dev/mailbox/{id}` and `/dev/mailbox/{id}.eml` over the folder of kept mails.
pub fn mailbox_routes(folder: PathBuf) -> Router {
    Router::new().route(AT, get(list)).route("/dev/mailbox/{id}", get(mail)).with_state(Arc::new(folder))
}

/// The mails hold sign-in links: they are shown on this machine and its local network, and are not there for anybody else.
fn is_near(call: &Call) -> Result<(), Problem> {
    let is_near = gateway::private_blocks().iter().any(|block| block.holds(call.visitor_address()));
    if is_near { Ok(()) } else { Err(Problem::not_found()) }
}

async fn list(State(folder): State<Arc<PathBuf>>, call: Call) -> Result<Page, Problem> {
    is_near(&call)?;
    let mails = dev_mailbox::list(&folder).await.map_err(Problem::internal)?;
    Ok(Page::new(dev_mailbox::list_page(AT, &mails)).with_policy(dev_mailbox::POLICY))
}

async fn mail(State(folder): State<Arc<PathBuf>>, call: Call, Path(name): Path<String>) -> Result<Response, Problem> {
    is_near(&call)?;
    let parse = |id: &str| MessageId::parse(id).map_err(|_| Problem::not_found());
    if let Some(id) = name.strip_suffix(".eml") {
        let raw = dev_mailbox::raw(&folder, parse(id)?).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
        return Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("message/rfc822"))], raw).into_response());
    }
    let mail = dev_mailbox::read(&folder, parse(&name)?).await.map_err(Problem::internal)?.ok_or_else(Problem::not_found)?;
    Ok(Page::new(dev_mailbox::mail_page(AT, &mail)).with_policy(dev_mailbox::POLICY).into_response())
}
