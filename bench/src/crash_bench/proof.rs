//! What is there afterwards, against what the clients remember.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::{Config, Reads, Store, StoreError};

use super::load::{Book, held};
use crate::client::Client;
use crate::paced;
use crate::process::Server;
use crate::receivers::{Endpoint, Mail};

store::statements! {
    /// Entries of the log that no cursor has passed and nobody has finished.
    OPEN = "select cast(count(*) as bigint) from outbox_log l, outbox_shards s where s.shard = l.shard \
        and (l.xid, l.seq) > (s.cursor_xid, s.cursor_seq) \
        and not exists (select 1 from outbox_done d where d.shard = l.shard and d.xid = l.xid and d.seq = l.seq)";
    WAITING = "select cast(count(*) as bigint) from outbox_waiting";
    DEAD = "select cast(count(*) as bigint) from outbox_dead";
    UNFINISHED_ANSWERS = "select cast(count(*) as bigint) from gateway_answers where status is null";
}

/// What was found.
#[derive(Default)]
pub(super) struct Proof {
    leads_answered: u64,
    leads_stored: u64,
    leads_lost: u64,
    leads_doubled: u64,
    codes_answered: u64,
    codes_lost: u64,
    codes_doubled: u64,
    scans_sent: u64,
    scans_answered: u64,
    scans_recorded: u64,
    told: u64,
    /// Leads of which the endpoint or the owner never heard, or whose telling was not recorded.
    told_lost: u64,
    /// Leads of which somebody heard more than once: allowed after a crash, counted all the same.
    told_again: u64,
    /// Tellings that were recorded more than once.
    recorded_twice: u64,
    open: u64,
    waiting: u64,
    dead: u64,
    /// What else should not have been.
    pub(super) odd: Vec<String>,
}

/// Waits until nothing is left to do.
pub(super) async fn settle(server: &Server) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(120);
    let mut calm = 0;
    while Instant::now() < until {
        let (_, text) = paced::get(&server.url, "/metrics").await?;
        let sum = |name: &str| -> f64 {
            let lines = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let left = [
            "outbox_lane_waiting",
            "outbox_lane_queued",
            "outbox_lane_running",
            "outbox_timers",
            "outbox_oldest_open_seconds",
            "scans_waiting",
        ];
        let is_calm = sum("outbox_shards_held") == 16.0 && left.iter().all(|name| sum(name) == 0.0);
        calm = if is_calm { calm + 1 } else { 0 };
        if calm == 12 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err("it did not come to rest within two minutes".into())
}

fn counted(items: impl Iterator<Item = String>) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// What the product itself says, through its API, and what those heard who were told.
pub(super) async fn through_the_door(client: &Client, book: &Book, endpoint: &Endpoint, mails: &[Mail]) -> Result<Proof, String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut proof = Proof { odd: held(&book.odd).clone(), ..Proof::default() };

    let stored = client.all("/v1/leads").await?;
    let by_email = counted(stored.iter().map(|lead| text(lead, "email")));
    let sent = held(&book.leads).clone();
    proof.leads_stored = stored.len() as u64;
    proof.leads_answered = sent.iter().filter(|lead| lead.answered).count() as u64;
    proof.leads_lost = sent.iter().filter(|lead| lead.answered && !by_email.contains_key(&lead.email)).count() as u64;
    // One token or one idempotency key each: a repetition that was taken for a new one shows as a second submission.
    proof.leads_doubled = by_email.values().filter(|count| **count > 1).count() as u64
        + stored.iter().filter(|lead| lead["submissions"].as_i64() != Some(1)).count() as u64;

    let codes = client.all("/v1/codes?search=minted").await?;
    let (by_name, by_code) = (counted(codes.iter().map(|code| text(code, "name"))), counted(codes.iter().map(|code| text(code, "code"))));
    let minted = held(&book.codes).clone();
    let answered: Vec<_> = minted.iter().filter_map(|minted| Some((&minted.name, minted.code.as_ref()?))).collect();
    proof.codes_answered = answered.len() as u64;
    proof.codes_lost = answered.iter().filter(|(_, code)| !by_code.contains_key(*code)).count() as u64;
    proof.codes_doubled = by_name.values().filter(|count| **count > 1).count() as u64;

    let webhooks = client.all("/v1/webhooks").await?;
    let attempts = client.all(&format!("/v1/webhooks/{}/attempts", text(&webhooks[0], "id"))).await?;
    let recorded = counted(attempts.iter().filter(|attempt| text(attempt, "outcome") == "delivered").map(|attempt| text(attempt, "event")));
    let heard = endpoint.heard();
    let events: HashMap<String, String> = heard.iter().map(|(_, (event, body))| (text(&body["data"], "id"), event.clone())).collect();
    let delivered = counted(heard.iter().map(|(_, (event, _))| event.clone()));
    let mailed = counted(mails.iter().filter(|mail| mail.to == "ada@example.com").map(|mail| mail.reply_to.clone()));
    let by_form: HashMap<&str, bool> = sent.iter().map(|lead| (lead.email.as_str(), lead.by_form)).collect();
    let mut to_owner = 0;
    for lead in &stored {
        let email = text(lead, "email");
        let event = events.get(&text(lead, "id"));
        let is_by_form = by_form.get(email.as_str()).copied().unwrap_or(true);
        let mails = mailed.get(&email).copied().unwrap_or(0);
        let times = event.and_then(|event| recorded.get(event)).copied().unwrap_or(0);
        to_owner += u64::from(is_by_form);
        let is_lost = times == 0 || (is_by_form && mails == 0);
        proof.told_lost += u64::from(is_lost);
        proof.told += u64::from(!is_lost);
        proof.told_again += u64::from(mails > 1 || event.is_some_and(|event| delivered[event] > 1));
        proof.recorded_twice += u64::from(times > 1);
    }
    let messages = client.all("/v1/messages").await?;
    let states =
        counted(messages.iter().filter(|message| text(message, "template") == "lead_captured").map(|message| text(message, "state")));
    if states.get("sent").copied().unwrap_or(0) != to_owner || states.len() > 1 {
        proof.odd.push(format!("{to_owner} owners were to be told by mail, and the messages are {states:?}"));
    }
    Ok(proof)
}

/// What only the database says, once the process has ended.
pub(super) async fn in_the_database(proof: &mut Proof, data: &Path, database: Option<String>, book: &Book) -> Result<(), String> {
    let store = Store::open(Config::new(data, database)).await.map_err(|e| e.to_string())?;
    let mut reads = store.read();
    let mut count =
        async |sql| -> Result<u64, StoreError> { Ok(reads.row(sql, &[], |row| row.get::<i64>(0)).await?.unwrap_or(0).unsigned_abs()) };
    let counts = async {
        proof.open = count(&OPEN).await?;
        proof.waiting = count(&WAITING).await?;
        proof.dead = count(&DEAD).await?;
        let unfinished = count(&UNFINISHED_ANSWERS).await?;
        if unfinished > 0 {
            proof.odd.push(format!("{unfinished} recorded answers are not finished"));
        }
        Ok::<_, StoreError>(())
    };
    counts.await.map_err(|e| e.to_string())?;
    let recorded = codes::scan::recorded_everywhere(&mut store.read()).await.map_err(|e| e.to_string())?;
    store.close().await;
    proof.scans_sent = book.scans_sent.load(Ordering::Relaxed);
    proof.scans_answered = book.scans_answered.load(Ordering::Relaxed);
    proof.scans_recorded = recorded.unsigned_abs();
    if proof.scans_recorded > proof.scans_sent {
        proof.odd.push(format!("{} scans were sent and {} counted", proof.scans_sent, proof.scans_recorded));
    }
    Ok(())
}

impl Proof {
    fn scans_lost(&self) -> u64 {
        self.scans_answered.saturating_sub(self.scans_recorded)
    }

    pub(super) fn is_sound(&self) -> bool {
        let lost = self.leads_lost + self.leads_doubled + self.codes_lost + self.codes_doubled + self.scans_lost() + self.told_lost;
        lost + self.recorded_twice + self.open + self.waiting + self.dead == 0
            && self.odd.is_empty()
            && self.leads_answered > 0
            && self.scans_answered > 0
    }

    pub(super) fn print(&self) {
        let line = |what: &str, answered: u64, there: u64, lost: u64, doubled: String| {
            println!("  {what:<26} {answered:>9} answered {there:>9} there {lost:>6} lost {doubled:>6}");
        };
        line("leads", self.leads_answered, self.leads_stored, self.leads_lost, format!("{} doubled", self.leads_doubled));
        line(
            "codes",
            self.codes_answered,
            self.codes_answered - self.codes_lost,
            self.codes_lost,
            format!("{} doubled", self.codes_doubled),
        );
        line("scans", self.scans_answered, self.scans_recorded, self.scans_lost(), format!("{} sent", self.scans_sent));
        let doubled = format!("{} recorded twice, {} heard again", self.recorded_twice, self.told_again);
        line("leads told of", self.leads_stored, self.told, self.told_lost, doubled);
        println!("  books of the outbox        {:>9} open {:>9} waiting {:>6} dead", self.open, self.waiting, self.dead);
        for words in self.odd.iter().take(10) {
            println!("  odd: {words}");
        }
    }

    pub(super) fn figures(&self, kills: u64, slowest_start_ms: f64) -> Value {
        json!({
            "kills": kills,
            "leads_answered": self.leads_answered,
            "leads_lost": self.leads_lost,
            "leads_doubled": self.leads_doubled,
            "codes_answered": self.codes_answered,
            "codes_lost": self.codes_lost,
            "codes_doubled": self.codes_doubled,
            "scans_answered": self.scans_answered,
            "scans_recorded": self.scans_recorded,
            "scans_lost": self.scans_lost(),
            "told": self.told,
            "told_lost": self.told_lost,
            "recorded_twice": self.recorded_twice,
            "outbox_open": self.open + self.waiting + self.dead,
            "odd": self.odd.len(),
            "slowest_start_ms": slowest_start_ms.round(),
        })
    }
}
