//! Every fact and the jobs that follow from it. Pure: a table that a product owner can read.

use codes::scan::Scanned;
use leads::events::{LeadCaptured, LeadChanged};
use outbox::{Entry, Fact, NewJob};
use payments::events::{PaymentCaptured, PaymentDisputed, PaymentPaidMore, PaymentQuarantined, PaymentRefundReturned, PaymentRefunded};
use payments::jobs::settlement::CheckPostings;
use people::events::MemberRemoved;

use crate::worker::{MailCardBack, MemberLeft, TellOfScan};

/// What follows from one committed fact.
pub fn reactions(fact: &Entry) -> Vec<NewJob> {
    let workspace = fact.workspace;
    match fact.name.as_str() {
        // Somebody left their details: the owner and the webhooks hear of it, and the visitor gets the card by mail.
        LeadCaptured::NAME => {
            let Some(captured) = fact.decode::<LeadCaptured>() else { return Vec::new() };
            let tell = leads::TellOwner::after(&captured).map(|job| NewJob::of(workspace, &job));
            let mail = MailCardBack::after(&captured).map(|job| NewJob::of(workspace, &job));
            tell.into_iter().chain(mail).collect()
        }
        // A lead moved on: the webhooks hear of it.
        LeadChanged::NAME => {
            let Some(changed) = fact.decode::<LeadChanged>() else { return Vec::new() };
            vec![NewJob::of(workspace, &leads::TellChanged::after(&changed))]
        }
        // A code was scanned by a person: whoever asked to be told of it is.
        Scanned::NAME => {
            let Some(scanned) = fact.decode::<Scanned>() else { return Vec::new() };
            TellOfScan::after(&scanned).map(|job| NewJob::of(workspace, &job)).into_iter().collect()
        }
        // Money came in: whoever paid gets a receipt, if they left an address.
        PaymentCaptured::NAME => {
            let Some(captured) = fact.decode::<PaymentCaptured>() else { return Vec::new() };
            let check = CheckPostings { intent: captured.intent };
            vec![NewJob::of(workspace, &payments::SendReceipt::after(&captured)), NewJob::of(workspace, &check)]
        }
        // Money went back, or came as nobody had asked: whether the books hold it is looked at at once, as for what came in.
        PaymentRefunded::NAME => {
            let Some(refunded) = fact.decode::<PaymentRefunded>() else { return Vec::new() };
            vec![NewJob::of(workspace, &CheckPostings { intent: refunded.intent })]
        }
        PaymentPaidMore::NAME => {
            let Some(more) = fact.decode::<PaymentPaidMore>() else { return Vec::new() };
            vec![NewJob::of(workspace, &CheckPostings { intent: more.intent })]
        }
        PaymentDisputed::NAME => {
            let Some(disputed) = fact.decode::<PaymentDisputed>() else { return Vec::new() };
            vec![NewJob::of(workspace, &CheckPostings { intent: disputed.intent })]
        }
        PaymentRefundReturned::NAME => {
            let Some(returned) = fact.decode::<PaymentRefundReturned>() else { return Vec::new() };
            vec![NewJob::of(workspace, &CheckPostings { intent: returned.intent })]
        }
        PaymentQuarantined::NAME => {
            let Some(kept) = fact.decode::<PaymentQuarantined>() else { return Vec::new() };
            vec![NewJob::of(workspace, &CheckPostings { intent: kept.intent })]
        }
        // Somebody left the workspace: nobody is told of scans in their name any more.
        MemberRemoved::NAME => {
            let Some(removed) = fact.decode::<MemberRemoved>() else { return Vec::new() };
            vec![NewJob::of(workspace, &MemberLeft { member: removed.member })]
        }
        _ => Vec::new(),
    }
}
