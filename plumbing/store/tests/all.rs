//! What a `Tx` promises, sentence by sentence, on both engines, and the hazards behind each rule.

#[path = "all/backups.rs"]
mod backups;
#[path = "all/promises.rs"]
mod promises;
