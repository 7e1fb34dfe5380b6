//! The verbs that a door faces: each asks for the right first.

use kernel::WorkspaceId;
use store::Tx;

use super::Edit;
use crate::batch::{Minted, NewCode, SCAN_LIMIT_MAX};
use crate::code::{Code, Recording};
use crate::destination::{Destination, TargetUrl};
use crate::error::CodeError;
use crate::grants;
use crate::parameters::Parameters;
use crate::public_code::PublicCode;

/// Where somebody at the door may lead a code: things of other modules are bound by those modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// An address on the web.
    Url(TargetUrl),
    /// A page and what it asks for after the scan.
    Page(TargetUrl, Parameters),
}

fn may(tx: &Tx) -> Result<WorkspaceId, CodeError> {
    Ok(tx.caller().may(grants::WRITE)?)
}

fn check_limit(limit: Option<i64>) -> Result<(), CodeError> {
    match limit {
        Some(limit) if !(1..=SCAN_LIMIT_MAX).contains(&limit) => Err(CodeError::field("scan_limit", "must be from 1 to 1,000,000,000")),
        _ => Ok(()),
    }
}

fn check_new(tx: &Tx, new: &NewCode) -> Result<(), CodeError> {
    check_limit(new.scan_limit)?;
    if new.expires_at.is_some_and(|at| at <= tx.now()) { Err(CodeError::field("expires_at", "must be in the future")) } else { Ok(()) }
}

/// Mints one code and leads it to `wanted`, if anywhere.
pub async fn mint(tx: &mut Tx, new: NewCode, wanted: Option<Wanted>) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    check_new(tx, &new)?;
    match wanted {
        None => super::mint(tx, workspace, new).await,
        Some(Wanted::Url(url)) => super::mint(tx, workspace, NewCode { destination: Some(Destination::Url(url)), ..new }).await,
        Some(Wanted::Page(page, parameters)) => {
            let code = super::mint(tx, workspace, new).await?;
            super::bind_page(tx, workspace, code.code, page, &parameters).await
        }
    }
}

/// Mints 1 to 10,000 codes.
pub async fn mint_many(tx: &mut Tx, count: u32, new: NewCode) -> Result<Minted, CodeError> {
    let workspace = may(tx)?;
    check_new(tx, &new)?;
    super::mint_many(tx, workspace, count, new).await
}

/// Leads a code somewhere.
pub async fn bind(tx: &mut Tx, code: PublicCode, wanted: Wanted) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    match wanted {
        Wanted::Url(url) => super::bind(tx, workspace, code, Destination::Url(url)).await,
        Wanted::Page(page, parameters) => super::bind_page(tx, workspace, code, page, &parameters).await,
    }
}

/// Takes a code off its destination.
pub async fn release(tx: &mut Tx, code: PublicCode) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    super::release(tx, workspace, code).await
}

/// Stops a code for a while.
pub async fn pause(tx: &mut Tx, code: PublicCode) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    super::pause(tx, workspace, code).await
}

/// Opens a paused code again.
pub async fn resume(tx: &mut Tx, code: PublicCode) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    super::resume(tx, workspace, code).await
}

/// Ends a code for good.
pub async fn retire(tx: &mut Tx, code: PublicCode) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    super::retire(tx, workspace, code).await
}

/// Changes what is not a matter of state.
pub async fn edit(tx: &mut Tx, code: PublicCode, edit: Edit) -> Result<Code, CodeError> {
    let workspace = may(tx)?;
    check_limit(edit.scan_limit.flatten())?;
    super::edit(tx, workspace, code, edit).await
}

/// Sets what may be recorded of the workspace's scans.
pub async fn set_recording(tx: &mut Tx, recording: Recording) -> Result<(), CodeError> {
    let workspace = may(tx)?;
    super::set_recording(tx, workspace, recording).await
}
