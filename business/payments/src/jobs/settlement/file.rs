//! Taking a report of any size in from a file: read twice, a piece at a time, first to check it and then to keep it.

use std::io::{self, Read};
use std::sync::Arc;

use kernel::{Caller, Timestamp, WorkspaceId};
use sha2::{Digest as _, Sha256};
use store::Store;

use crate::commands::settlement::{self as commands, NewSettlement, PIECE_BYTES};
use crate::error::PaymentError;
use crate::provider::ProviderId;
use crate::settlement::{self, Format, Reader, Settlement};

/// The largest report in a provider's own form: it is read as a whole. Larger ones are converted to the neutral file.
const WHOLE_MAX: usize = 64 << 20;

/// A report in a file.
#[derive(Debug, Clone)]
pub struct ReportFile {
    /// Whose report.
    pub provider: ProviderId,
    /// What the file is called.
    pub name: String,
    /// Everything that happened before is in it, if somebody says so.
    pub covers_until: Option<Timestamp>,
}

fn unreadable(error: &io::Error) -> PaymentError {
    PaymentError::field("file", format!("cannot be read: {error}"))
}

/// Takes a report in whose bytes `open` gives, each time from their beginning, for an operator at the command line; the same
/// bytes again are the same settlement. It is ready to be booked then, and a worker does so.
pub async fn take_file<R: Read>(
    store: &Store,
    caller: &Caller,
    workspace: WorkspaceId,
    file: ReportFile,
    open: impl Fn() -> io::Result<R>,
) -> Result<Settlement, PaymentError> {
    let new = checked(store, workspace, &file, open().map_err(|error| unreadable(&error))?).await?;
    let digest = new.digest.clone();
    let id = store
        .write(caller, (workspace, new), |tx, (workspace, new)| Box::pin(async move { commands::begin(tx, workspace, new).await }))
        .await?;
    let mut bytes = open().map_err(|error| unreadable(&error))?;
    let (mut number, mut again) = (0_i64, Sha256::new());
    while let Some(piece) = piece(&mut bytes)? {
        again.update(&piece);
        let kept = store.write_bulk(caller, (workspace, id, number, Arc::new(piece)), |tx, (workspace, id, number, piece)| {
            Box::pin(async move { commands::keep_piece(tx, workspace, id, number, &piece).await })
        });
        kept.await?;
        number += 1;
    }
    if settlement::hexadecimal(&again.finalize()) != digest {
        return Err(PaymentError::field("file", "was changed while it was read: take it in again when nobody writes to it"));
    }
    store.write(caller, (workspace, id), |tx, (workspace, id)| Box::pin(async move { commands::start(tx, workspace, id).await })).await
}

/// Reads all of it once: what it is, that each line can be read, and its digest.
async fn checked(store: &Store, workspace: WorkspaceId, file: &ReportFile, mut bytes: impl Read) -> Result<NewSettlement, PaymentError> {
    let wrong = |words: String| PaymentError::field("file", words);
    let (mut digest, mut size, mut lines) = (Sha256::new(), 0, 0);
    let (mut reader, mut whole, mut format) = (Reader::default(), Vec::new(), None);
    while let Some(piece) = piece(&mut bytes)? {
        digest.update(&piece);
        size += piece.len();
        match *format.get_or_insert_with(|| Format::of(&piece)) {
            Format::Neutral => lines += reader.take(&piece).map_err(wrong)?.len(),
            Format::Provider if size > WHOLE_MAX => {
                return Err(wrong(format!("is larger than {} MiB: convert it to the columns {}", WHOLE_MAX >> 20, settlement::COLUMNS)));
            }
            Format::Provider => whole.extend_from_slice(&piece),
        }
    }
    let format = format.unwrap_or(Format::Provider);
    let lines = match format {
        Format::Neutral => i64::try_from(lines + reader.end().map_err(wrong)?.len()).unwrap_or(i64::MAX),
        Format::Provider => {
            let provider = crate::queries::provider(&mut store.read(), workspace, file.provider).await?;
            let account = provider.open(store.vault())?;
            settlement::count(format, provider.dialect.provider(), &account, &whole).map_err(wrong)?.lines
        }
    };
    Ok(NewSettlement {
        provider: file.provider,
        digest: settlement::hexadecimal(&digest.finalize()),
        name: file.name.clone(),
        format,
        covers_until: file.covers_until,
        bytes: i64::try_from(size).unwrap_or(i64::MAX),
        lines,
    })
}

/// The next piece; none at the end. It is as long as it can be, so that the same file is cut alike each time.
fn piece(bytes: &mut impl Read) -> Result<Option<Vec<u8>>, PaymentError> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    bytes.take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(|error| unreadable(&error))?;
    Ok((!piece.is_empty()).then_some(piece))
}
