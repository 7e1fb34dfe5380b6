//! Shutting down: one signal that the server, its connections and long streams listen to.

use tokio::sync::watch;

/// Begins the shutdown; dropping it begins it too.
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Tells when the server wants to end. Cheap to clone; streams that would last for ever end when it does.
#[derive(Clone)]
pub struct ShutdownSignal(watch::Receiver<bool>);

/// A trigger and the signal that it sends.
pub fn shutdown() -> (ShutdownTrigger, ShutdownSignal) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), ShutdownSignal(receiver))
}

impl ShutdownTrigger {
    /// Begins the shutdown; every clone of the signal hears it.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl ShutdownSignal {
    /// A signal that never comes, for tests.
    pub fn never() -> Self {
        let (trigger, signal) = shutdown();
        std::mem::forget(trigger);
        signal
    }

    /// Returns when the shutdown begins; at once if it has.
    pub async fn begun(&mut self) {
        // An error means that the trigger is gone, which begins the shutdown too.
        let _ = self.0.wait_for(|begun| *begun).await;
    }

    /// Whether it has begun.
    pub fn is_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
