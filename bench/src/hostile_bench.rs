//! Hostile requests and what each was answered: nothing is 5xx, and what was there before is there afterwards.

mod after;
mod bodies;
mod protocol;
mod scene;
mod strangers;
mod wire;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Options;
use scene::Scene;
use wire::{Got, Try};

/// One line of the table.
pub(crate) struct Row {
    name: String,
    status: Option<u16>,
    code: String,
    /// What should not have been, in words.
    wrong: Option<String>,
}

impl Row {
    fn of(hostile: &Try, got: &Got) -> Self {
        Self { name: hostile.name.clone(), status: got.status, code: got.code.clone(), wrong: hostile.verdict(got) }
    }

    /// Something that was looked at afterwards.
    fn looked(name: impl Into<String>, wrong: Option<String>) -> Self {
        Self { name: name.into(), status: None, code: "looked at afterwards".into(), wrong }
    }

    fn is_5xx(&self) -> bool {
        self.status.is_some_and(|status| status >= 500)
    }

    fn print(&self) {
        let name: String = self.name.chars().map(|c| if c.is_control() { '.' } else { c }).take(70).collect();
        let status = self.status.map_or_else(|| "closed".to_owned(), |status| status.to_string());
        let status = if self.code == "looked at afterwards" { String::new() } else { status };
        let wrong = self.wrong.as_ref().map(|words| format!("  << {words}")).unwrap_or_default();
        println!("{name:<70} {status:>6}  {}{wrong}", self.code);
    }
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let scene = Scene::set(options).await?;
    let before = scene.everything().await?;
    let (host, ours) = (scene.host().to_owned(), &scene.ours);

    let slow: Vec<_> = protocol::slow_tries(&ours.key)
        .into_iter()
        .map(|hostile| {
            let host = host.clone();
            tokio::spawn(async move {
                let begun = Instant::now();
                let got = hostile.send(&host).await;
                let mut row = Row::of(&hostile, &got);
                row.name = format!("{} ({} s)", row.name, begun.elapsed().as_secs());
                row
            })
        })
        .collect();
    let mut tries = protocol::tries(&ours.key);
    tries.extend(bodies::tries(&ours.key, &scene.other_card, &ours.code));
    tries.extend(strangers::across(ours, &scene.theirs));
    tries.extend(strangers::visitors(ours, &scene.other_action));
    tries.extend(strangers::callers(ours));
    tries.extend(strangers::inside(ours, scene.port_inside()));
    tries.extend(bodies::kept(&ours.key, &scene.other_card, 1));
    let mut rows = Vec::new();
    for hostile in &tries {
        let got = hostile.send(&host).await;
        rows.push(Row::of(hostile, &got));
    }
    rows.extend(after::replays(&scene).await?);
    for row in slow {
        rows.push(row.await.map_err(|e| e.to_string())?);
    }
    let tried = rows.len();
    rows.extend(after::inside(&scene).await?);
    // Mails are written by jobs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    rows.extend(after::shown(&scene).await?);

    let after = scene.everything().await?;
    let lost: Vec<&String> = before.iter().filter(|(name, value)| after.get(*name) != Some(*value)).map(|(name, _)| name).collect();
    let counted_5xx = scene.answered_5xx().await?;
    let answered_5xx = rows.iter().filter(|row| row.is_5xx()).count().max(counted_5xx);
    for row in &rows {
        row.print();
    }
    for name in &lost {
        println!("lost or changed: {name}");
    }
    let wrong = rows.iter().filter(|row| row.wrong.is_some()).count();
    println!(
        "{tried} tried, {wrong} not as wanted; {} things that were there before, {} of them lost or changed; the server counted {counted_5xx} of 5xx",
        before.len(),
        lost.len()
    );
    let lost = lost.len();
    scene.end().await?;
    Ok(
        json!({ "tried": tried, "answered_5xx": answered_5xx, "lost": lost, "not_as_wanted": wrong, "sound": answered_5xx + lost + wrong == 0 }),
    )
}
