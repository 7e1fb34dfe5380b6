//! The bank's side of settlement: a form that takes a statement's lines in.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gateway::Problem;
use gateway::page::see_other;
use payments::commands::settlement::take_bank_lines;
use payments::settlement::read_bank_lines;
use payments::{PaymentError, grants};

use super::super::frame::Owner;
use super::super::frame::page_with;
use super::super::upload::{File, Upload};
use super::settlement::{After, compose, handed_in, refused, told_of_file, unreadable};
use crate::installation::Parts;

/// The largest form with a statement in it, in bytes: its lines are kept in one unit.
pub(super) const FORM_BYTES_MAX: usize = 256 << 10;
/// The most lines of one statement.
const LINES_MAX: usize = 2_000;

/// What was sent with the form of a statement: a file, or the text that was pasted instead.
#[derive(Default)]
pub(super) struct StatementForm {
    /// What was pasted.
    pub lines: String,
    file: Option<File>,
}

/// What is wrong with it, beside the file or the text.
#[derive(Default)]
pub(super) struct StatementErrors {
    /// With the file.
    pub file: String,
    /// With the text.
    pub lines: String,
}

fn read(form: &StatementForm) -> Result<Arc<Vec<payments::settlement::BankLine>>, PaymentError> {
    let bytes = handed_in(form.file.as_ref(), &form.lines);
    let lines = read_bank_lines(&bytes).map_err(|words| unreadable(&bytes, words))?;
    if lines.is_empty() || lines.len() > LINES_MAX {
        return Err(unreadable(&bytes, format!("must be a statement of 1 to {LINES_MAX} lines: send it in parts")));
    }
    Ok(Arc::new(lines))
}

/// `POST /payments/settlement/bank-lines`: lines that came before are kept once, and a job matches them with batches of the same name.
pub(super) async fn take(State(parts): State<Parts>, owner: Owner, mut sent: Upload) -> Result<Response, Problem> {
    owner.may(grants::SETTLE)?;
    let form = StatementForm { lines: sent.take("lines"), file: sent.file };
    let taken = match read(&form) {
        Err(error) => Err(error.into()),
        Ok(lines) => {
            let taken = gateway::effect_done(&parts.store, &owner.call, lines, |tx, lines| {
                Box::pin(async move {
                    take_bank_lines(tx, lines).await?;
                    Ok(())
                })
            });
            taken.await
        }
    };
    let (status, alert, refusal) = match taken {
        Ok(_) => return Ok(see_other("/payments/settlement?done=statement")),
        Err(problem) => refused(problem)?,
    };
    let mut page = compose(&parts, &owner, After::default()).await?;
    let message = told_of_file(refusal.map(|refusal| refusal.of("body")).unwrap_or_default());
    page.frame.alert = alert;
    if form.file.is_some() || form.lines.is_empty() {
        page.statement_errors.file = message;
    } else {
        page.statement_errors.lines = message;
    }
    page.statement = form;
    page_with(&page, status)
}
