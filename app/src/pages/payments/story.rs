//! What happened to a payment, in plain sentences.

use kernel::Money;
use payments::{DisputeState, Event, Intent, ProviderId, Recorded, StepState};

use super::super::frame::{Names, When};
use super::{amount, words};

/// One line of the timeline.
pub(super) struct Line {
    /// What happened.
    pub what: String,
    /// More about it; may be empty.
    pub more: String,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub at: When,
}

/// The lines of a history, the newest first.
pub(super) fn tell(intent: &Intent, history: &[Recorded], names: &Names, provider: impl Fn(ProviderId) -> String) -> Vec<Line> {
    let line = |recorded: &Recorded| {
        let (what, more) = sentence(intent, &recorded.event, &provider);
        Line { what, more, actor: names.actor(&recorded.actor), at: When(recorded.at) }
    };
    history.iter().rev().map(line).collect()
}

fn sentence(intent: &Intent, event: &Event, provider: &impl Fn(ProviderId) -> String) -> (String, String) {
    let told = |minor: i64| amount::told(Money::new(minor, intent.amount.currency));
    let at = |id| intent.attempt(id).map(|attempt| provider(attempt.provider)).unwrap_or_default();
    let plain = |what: &str| (what.to_owned(), String::new());
    match event {
        Event::Created(new) => (format!("{} were asked for", amount::told(new.amount)), String::new()),
        Event::AttemptStarted { provider: id, .. } => (format!("{} was chosen", provider(*id)), String::new()),
        Event::AttemptHeld { reason, .. } => ("Monitoring held it back".to_owned(), reason.clone()),
        Event::AttemptReleased { .. } => plain("It was let go on"),
        Event::AttemptSending { attempt } => (format!("{} was asked for a page", at(*attempt)), String::new()),
        Event::PageOpened { attempt, .. } => (format!("The page of {} is open", at(*attempt)), "The payer goes there and pays.".to_owned()),
        Event::AttemptPending { attempt, .. } => (format!("The payer agreed; {} is not done yet", at(*attempt)), String::new()),
        Event::AttemptUnknown { attempt } => (
            format!("No answer came from {}", at(*attempt)),
            "It may have been paid: the provider is asked until it is known. Nobody else is tried meanwhile.".to_owned(),
        ),
        Event::AttemptDeclined { attempt, class, code } => {
            (format!("Declined at {}: {}", at(*attempt), words::refusal(*class)), format!("The provider's word: {code}"))
        }
        Event::AttemptExpired { attempt } => (format!("The page of {} was closed unpaid", at(*attempt)), String::new()),
        Event::Authorized { attempt, amount_minor, is_surplus, .. } => {
            (format!("{} were set aside at {}", told(*amount_minor), at(*attempt)), surplus(*is_surplus))
        }
        Event::Charged { attempt, amount_minor, is_surplus, crypto_amount, .. } => {
            let crypto =
                crypto_amount.as_ref().map(|exact| format!("{exact} of the crypto currency's smallest unit. ")).unwrap_or_default();
            (format!("{} were paid at {}", told(*amount_minor), at(*attempt)), format!("{crypto}{}", surplus(*is_surplus)))
        }
        Event::Quarantined { attempt, paid, .. } => (
            format!("{} were paid at {}, which is not what was asked for", amount::told(*paid), at(*attempt)),
            "The money is kept apart until somebody decides.".to_owned(),
        ),
        Event::CaptureRequested { amount_minor, is_last, .. } => (
            format!("{} are to be captured", told(*amount_minor)),
            if *is_last { "The rest is released.".to_owned() } else { String::new() },
        ),
        Event::CaptureMoved { to, .. } => moved("The capture", to),
        Event::VoidMoved { to, .. } => moved("The release of what was set aside", to),
        Event::RefundRequested { amount, reason, .. } => {
            (format!("{} are to be given back", amount::told(*amount)), reason.clone().unwrap_or_default())
        }
        Event::RefundMoved { to, .. } => moved("The refund", to),
        Event::PaidMore { attempt, amount, is_surplus, .. } => {
            (format!("{} more were paid at {}", amount::told(*amount), at(*attempt)), surplus(*is_surplus))
        }
        Event::Accepted { amount_minor, is_surplus, .. } => {
            (format!("{} that were kept apart count as paid", told(*amount_minor)), surplus(*is_surplus))
        }
        Event::MoreRefundRequested { amount, reason, .. } => {
            (format!("{} that came too much are to be given back", amount::told(*amount)), reason.clone().unwrap_or_default())
        }
        Event::CaptureDiffers { said, .. } => (
            format!("The provider says that the capture took {}", amount::told(*said)),
            "That is not what was asked for: somebody has to say whether it is so.".to_owned(),
        ),
        Event::CaptureTook { took, .. } => (format!("The capture took {}", amount::told(*took)), String::new()),
        Event::RefundDiffers { said, .. } => (
            format!("The provider says that the refund gave {} back", amount::told(*said)),
            "That is not what was asked for: somebody has to say whether it is so.".to_owned(),
        ),
        Event::RefundTook { took, .. } => (format!("The refund gave {} back", amount::told(*took)), String::new()),
        Event::DoneProposed { .. } => ("One person says that it was done".to_owned(), "A second one has to say the same.".to_owned()),
        Event::DisputeMoved { attempt, case, amount, to } => {
            let what = match to {
                DisputeState::Open => "are disputed by the payer",
                DisputeState::Withdrawn => "were charged back",
                DisputeState::Returned => "came back: the dispute was won",
                DisputeState::Closed => "are not disputed any more",
            };
            (format!("{} {what}", amount::told(*amount)), format!("{}'s name for the dispute: {case}", at(*attempt)))
        }
        Event::Canceled => plain("It was called off"),
        Event::Expired => plain("Its time was over"),
    }
}

fn surplus(is_surplus: bool) -> String {
    if is_surplus { "It was paid already: this money is given back.".to_owned() } else { String::new() }
}

fn moved(what: &str, to: &StepState) -> (String, String) {
    let did = match to {
        StepState::Requested => "was asked for",
        StepState::Sending => "is being sent",
        StepState::Pending => "was taken on by the provider",
        StepState::Unknown => "got no answer: the provider is asked until it is known",
        StepState::Succeeded => "is done",
        StepState::Failed { .. } => "failed",
    };
    let more = match to {
        StepState::Failed { code } => format!("The provider's word: {code}"),
        _ => String::new(),
    };
    (format!("{what} {did}"), more)
}
