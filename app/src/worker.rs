//! Every job and what it needs; and the jobs that join two neighbours, which neither of them can know.

use std::sync::Arc;

use cards::CardId;
use codes::PublicCode;
use codes::jobs::FillBatch;
use codes::scan::Scanned;
use kernel::{Caller, Fault, Id, MemberId};
use leads::events::LeadCaptured;
use leads::{LeadId, SubmissionId, TellChanged, TellDeps, TellOwner};
use ledger::ExpirePending;
use notifications::{Attachment, Channels, DeliverWebhook, ForgetKeptMails, Message, Recipient, SendEmail, SendUrgentEmail, TemplateKey};
use outbox::{Builder, Job, JobContext, JobError, Outbox};
use payments::jobs::settlement::{self as settlement, BookSettlement, CheckPostings, MatchBankLines, SettleDaily};
use payments::{CompareFloat, Conduct, ConductPayout, ConfirmPayout, Engine, ExpireIntent, SendReceipt, WorkWebhook};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Store, StoreError};

use crate::reactions::reactions;

/// Mails the card back to whoever left their details on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MailCardBack {
    lead: LeadId,
    submission: SubmissionId,
    card: CardId,
    code: Option<String>,
}

impl Job for MailCardBack {
    const NAME: &'static str = "cards.mail_back";
    const LANE: &'static str = "leads";
    fn key(&self) -> String {
        self.lead.to_string()
    }
}

impl MailCardBack {
    /// What follows a captured lead that came from a card; nothing where it looks like the work of a program.
    pub fn after(fact: &LeadCaptured) -> Option<Self> {
        let card = (fact.source.kind == "card" && !fact.suspected_spam).then(|| CardId::parse(&fact.source.id).ok()).flatten()?;
        Some(Self { lead: fact.lead, submission: fact.submission, card, code: fact.source.code.clone() })
    }
}

/// Tells those who asked for it that a code was scanned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TellOfScan {
    code: PublicCode,
    scans: i64,
    device: Option<String>,
    place: Option<String>,
    at: kernel::Timestamp,
}

impl Job for TellOfScan {
    const NAME: &'static str = "codes.tell_of_scan";
    const LANE: &'static str = "leads";
    fn key(&self) -> String {
        self.code.to_string()
    }
}

impl TellOfScan {
    /// What follows scans by people; bots are not told of.
    pub fn after(fact: &Scanned) -> Option<Self> {
        let code = fact.code.filter(|_| fact.scans > 0)?;
        Some(Self { code, scans: fact.scans, device: fact.device.clone(), place: fact.place.clone(), at: fact.at })
    }
}

/// Takes a member who left out of what is sent in their name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberLeft {
    /// Who left.
    pub member: MemberId,
}

impl Job for MemberLeft {
    const NAME: &'static str = "people.member_left";
    const LANE: &'static str = "upkeep";
    fn key(&self) -> String {
        self.member.to_string()
    }
}

/// What the jobs need.
#[derive(Clone)]
pub struct Needs {
    /// Ways out for mail and webhooks.
    pub channels: Channels,
    /// Conversations with payment providers.
    pub payments: payments::Client,
    /// How those do.
    pub payments_health: payments::Health,
    /// Where this installation is reached, without a slash at the end.
    pub public_url: Arc<str>,
}

/// What settles with providers: reports are booked one after the other.
fn settling(builder: Builder, engine: Engine) -> Builder {
    let daily = engine.clone();
    builder
        .lane(BookSettlement::LANE, 1)
        .lane(CheckPostings::LANE, 4)
        .job::<BookSettlement, _>(move |job, context| Box::pin(settlement::book_settlement(engine.clone(), job, context)))
        .job::<SettleDaily, _>(move |job, context| Box::pin(settlement::settle_daily(daily.clone(), job, context)))
        .job::<MatchBankLines, _>(|job, context| Box::pin(settlement::match_bank_lines(job, context)))
        .job::<CheckPostings, _>(|job, context| Box::pin(settlement::check_postings(job, context)))
}

/// The outbox with every lane, job and reaction, not yet started.
pub fn outbox(store: Store, needs: &Needs) -> Builder {
    let (email, urgent, webhook) = (needs.channels.clone(), needs.channels.clone(), needs.channels.clone());
    let kept = needs.channels.clone();
    let tell = TellDeps { lead_page_url: format!("{}/leads/", needs.public_url).into() };
    let (back, scans) = (needs.public_url.clone(), needs.public_url.clone());
    let receipts = needs.public_url.clone();
    let engine = Engine { client: needs.payments.clone(), health: needs.payments_health.clone(), public_url: needs.public_url.clone() };
    let (conducting, working) = (engine.clone(), engine.clone());
    let (paying, confirming, comparing) = (engine.clone(), engine.clone(), engine);
    settling(
        Outbox::builder(store),
        Engine { client: needs.payments.clone(), health: needs.payments_health.clone(), public_url: needs.public_url.clone() },
    )
    .lane(SendUrgentEmail::LANE, 4)
    .lane(SendEmail::LANE, 32)
    .lane(DeliverWebhook::LANE, 64)
    .lane(TellOwner::LANE, 16)
    .lane(MemberLeft::LANE, 2)
    .lane(ExpirePending::LANE, 4)
    .lane(Conduct::LANE, 256)
    .lane(WorkWebhook::LANE, 32)
    .lane(ExpireIntent::LANE, 4)
    .lane(ConductPayout::LANE, 64)
    .job::<SendEmail, _>(move |job, context| Box::pin(notifications::send_email(email.clone(), job, context)))
    .job::<SendUrgentEmail, _>(move |job, context| Box::pin(notifications::send_urgent_email(urgent.clone(), job, context)))
    .job::<ForgetKeptMails, _>(move |job, _| Box::pin(notifications::forget_kept_mails(kept.clone(), job)))
    .job::<DeliverWebhook, _>(move |job, context| Box::pin(notifications::deliver_webhook(webhook.clone(), job, context)))
    .job::<TellOwner, _>(move |job, context| Box::pin(leads::tell_owner(tell.clone(), job, context)))
    .job::<TellChanged, _>(|job, context| Box::pin(leads::tell_changed(job, context)))
    .job::<MailCardBack, _>(move |job, context| Box::pin(mail_card_back(job, context, back.clone())))
    .job::<TellOfScan, _>(move |job, context| Box::pin(tell_of_scan(job, context, scans.clone())))
    .job::<MemberLeft, _>(|job, context| Box::pin(member_left(job, context)))
    .job::<FillBatch, _>(|job, context| Box::pin(async move { job.run(&context).await }))
    .job::<ExpirePending, _>(|job, context| Box::pin(async move { job.run(&context).await }))
    .job::<Conduct, _>(move |job, context| Box::pin(payments::jobs::conduct(conducting.clone(), job, context)))
    .job::<WorkWebhook, _>(move |job, context| Box::pin(payments::jobs::work_webhook(working.clone(), job, context)))
    .job::<ConductPayout, _>(move |job, context| Box::pin(payments::jobs::conduct_payout(paying.clone(), job, context)))
    .job::<ConfirmPayout, _>(move |job, context| Box::pin(payments::jobs::confirm_payout(confirming.clone(), job, context)))
    .job::<CompareFloat, _>(move |job, context| Box::pin(payments::jobs::compare_float(comparing.clone(), job, context)))
    .job::<ExpireIntent, _>(|job, context| Box::pin(payments::jobs::expire_intent(job, context)))
    .job::<SendReceipt, _>(move |job, context| Box::pin(payments::send_receipt(receipts.clone(), job, context)))
    .reactions(reactions)
}

async fn mail_card_back(job: MailCardBack, context: JobContext, public_url: Arc<str>) -> Result<(), JobError> {
    let workspace = context.workspace();
    let mut reads = context.store().read();
    let card = cards::queries::find(&mut reads, workspace, job.card).await?.filter(cards::Card::is_live);
    let submission = leads::queries::submission(&mut reads, workspace, job.submission).await?;
    let (Some(card), Some(submission)) = (card, submission) else { return Ok(()) };
    let Some(address) = submission.email.clone().filter(|email| email.is_ascii()) else { return Ok(()) };
    let photo = cards::queries::vcard_photo(&mut reads, &card).await?;
    let page = match &job.code {
        Some(code) => format!("{public_url}/{code}"),
        None => format!("{public_url}/c/{}/page", card.id),
    };
    let vcard = cards::vcard::write(&card, cards::vcard::Version::V3, photo.as_deref(), Some(&page));
    let profile = &card.profile;
    let variables = json!({
        "link": page,
        "card_name": profile.name.display,
        "card_title": profile.job_title,
        "card_company": profile.organisation,
        "visitor_name": submission.name,
    });
    let recipient = Recipient { id: job.lead.to_string(), address, locale: profile.language.as_str().to_owned(), zone: "UTC".to_owned() };
    let mut message = Message::email(TemplateKey::CardForYou, recipient, variables).once(format!("card:{}", job.submission));
    message.reply_to = profile.emails.first().map(|email| email.value.as_str().to_owned()).filter(|email| email.is_ascii());
    message.attachments.push(Attachment {
        name: cards::vcard::file_name(profile),
        content_type: cards::vcard::MEDIA_TYPE.to_owned(),
        bytes: vcard.into_bytes(),
    });
    context
        .write((workspace, message), |tx, (workspace, message)| {
            Box::pin(async move { notifications::send(tx, workspace, message).await.map(|_| ()) })
        })
        .await
}

async fn tell_of_scan(job: TellOfScan, context: JobContext, public_url: Arc<str>) -> Result<(), JobError> {
    let workspace = context.workspace();
    let job_id = context.job_id();
    context
        .write((workspace, job, public_url, job_id), |tx, (workspace, job, public_url, job_id)| {
            Box::pin(async move {
                let due = codes::scan::due_alerts(tx, workspace, job.code).await?;
                let code = codes::queries::find(tx, workspace, job.code).await?;
                let name =
                    code.map(|code| code.name.as_str().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| job.code.to_string());
                for member in due {
                    let Some(recipient) = people::recipient(tx, workspace, member).await.map_err(AppJobError::from)? else { continue };
                    let variables = json!({
                        "link": format!("{public_url}/codes/{}", job.code),
                        "code_name": name,
                        "scans": job.scans.to_string(),
                        "place": job.place,
                        "device": job.device,
                        "at": job.at.to_string(),
                    });
                    let message = Message::email(TemplateKey::ScanAlert, recipient, variables).once(format!("scan:{job_id}:{member}"));
                    notifications::send(tx, workspace, message).await.map_err(AppJobError::from)?;
                }
                Ok::<_, AppJobError>(())
            })
        })
        .await
}

async fn member_left(job: MemberLeft, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    context
        .write((workspace, job), |tx, (workspace, job)| {
            Box::pin(async move { codes::scan::forget_member(tx, workspace, job.member).await })
        })
        .await
}

/// What a job's unit may meet in several modules.
#[derive(Debug)]
struct AppJobError(JobError);

impl<E: Fault> From<E> for AppJobError {
    fn from(fault: E) -> Self {
        Self(fault.into())
    }
}

impl From<AppJobError> for JobError {
    fn from(error: AppJobError) -> Self {
        error.0
    }
}

/// Deletes what has had its time, in small units: recorded answers, sessions, links, invitations, messages, what limits counted.
pub async fn sweep(store: &Store) -> Result<(), StoreError> {
    static CALLER: Caller = Caller::system("sweep");
    loop {
        let swept = store.write_bulk(&CALLER, (), |tx, ()| Box::pin(async move { gateway::sweep_expired(tx).await })).await?;
        if swept < gateway::SWEEP_MAX.cast_unsigned() {
            break;
        }
    }
    loop {
        let people = store.write_bulk(&CALLER, (), |tx, ()| Box::pin(async move { people::commands::sweep_everywhere(tx).await }));
        match people.await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "expired sessions and links were not swept");
                break;
            }
        }
    }
    loop {
        let told = store.write_bulk(&CALLER, (), |tx, ()| Box::pin(async move { notifications::sweep(tx).await }));
        match told.await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "old messages and attempts were not swept");
                break;
            }
        }
    }
    loop {
        match store.write_bulk(&CALLER, (), |tx, ()| Box::pin(async move { risk::sweep_everywhere(tx).await })).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "activities that no limit counts any more were not swept");
                break;
            }
        }
    }
    loop {
        match store.write_bulk(&CALLER, (), |tx, ()| Box::pin(async move { payments::commands::sweep_everywhere(tx).await })).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "old webhooks of providers were not swept");
                break;
            }
        }
    }
    Ok(())
}
