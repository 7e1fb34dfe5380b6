//! What a running job is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::{Caller, WorkspaceId};
use store::{Store, StoreError, Tx, Unit};

use crate::JobError;
use crate::engine::{Mark, Ready, Refused, Source};

/// What a running job may use. Clones are the same attempt.
#[derive(Clone)]
pub struct JobContext {
    store: Store,
    holder: Arc<str>,
    ready: Arc<Ready>,
    name: &'static str,
    wrote: Arc<AtomicBool>,
}

/// Why a job's unit kept nothing.
enum WriteError<E> {
    Refused(Refused),
    Job(E),
}

impl<E> From<StoreError> for WriteError<E> {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refused::Store(error))
    }
}

impl JobContext {
    pub(crate) fn new(store: Store, holder: Arc<str>, ready: Arc<Ready>, name: &'static str) -> Self {
        Self { store, holder, ready, name, wrote: Arc::new(AtomicBool::new(false)) }
    }

    /// The store, for reading before the work.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The workspace that the job was enqueued for.
    pub fn workspace(&self) -> WorkspaceId {
        self.ready.workspace
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        u32::try_from(self.ready.attempts + 1).unwrap_or(u32::MAX)
    }

    /// The job's id, the same over all its attempts and replays: what a receiver may recognise repetitions by.
    pub fn job_id(&self) -> String {
        self.ready.id.to_string()
    }

    /// Who writes on behalf of this job.
    pub fn caller(&self) -> Caller {
        Caller::system(self.name)
    }

    pub(crate) fn has_written(&self) -> bool {
        self.wrote.load(Ordering::SeqCst)
    }

    /// Runs a unit of work that also marks the job finished, in the same commit, so that its effect happens exactly once; it
    /// keeps nothing if this process has lost its lease on the job or the job is finished already. Call it at most once, as
    /// the last thing the job does, and hand its error on with `?`.
    pub async fn write<I, T, E, F>(&self, input: I, unit: F) -> Result<T, JobError>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + Sync + 'static,
        I: Clone + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Into<JobError> + Send + 'static,
    {
        // Held until the outcome is known: meanwhile nobody moves the entry from the log to the waiting ones.
        let mut source = self.ready.source.lock().await;
        let mark = Mark::of(&self.ready, *source, &self.holder);
        let unit = Arc::new(unit);
        let caller = self.caller();
        let done = self.store.write(&caller, (mark, input), move |tx, (mark, input): (Mark, I)| {
            let unit = Arc::clone(&unit);
            Box::pin(async move {
                mark.take(tx).await.map_err(WriteError::Refused)?;
                unit(tx, input).await.map_err(WriteError::Job)
            })
        });
        match done.await {
            Ok(value) => {
                *source = Source::Finished;
                self.wrote.store(true, Ordering::SeqCst);
                Ok(value)
            }
            Err(WriteError::Job(error)) => Err(error.into()),
            Err(WriteError::Refused(Refused::Store(error))) => Err(error.into()),
            Err(WriteError::Refused(Refused::LeaseLost(_) | Refused::Finished)) => Err(JobError::dropped()),
        }
    }
}
