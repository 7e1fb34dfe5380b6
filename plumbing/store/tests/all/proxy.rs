//! A wire between the store and PostgreSQL that a test cuts at a chosen word.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Where a commit is to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// On its way to the server.
    Request = 1,
    /// Its answer, on the way back.
    Answer = 2,
}

/// The proxy. It forwards as long as the process lives.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// The cut that the next commit is to suffer, or 0.
    cut: Arc<AtomicU8>,
    commits: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the server at `server` (`host:port`).
    pub fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, commits) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen_cut, seen_commits) = (cut.clone(), commits.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let is_lost = Arc::new(AtomicU8::new(0));
                let (cut, commits, lost) = (seen_cut.clone(), seen_commits.clone(), is_lost.clone());
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    forward(from, to, |bytes| {
                        let is_commit = bytes.windows(6).any(|word| word.eq_ignore_ascii_case(b"commit"));
                        if is_commit {
                            commits.fetch_add(1, Ordering::SeqCst);
                            lost.store(cut.swap(0, Ordering::SeqCst), Ordering::SeqCst);
                        }
                        lost.load(Ordering::SeqCst) != Cut::Request as u8
                    })
                });
                std::thread::spawn(move || forward(server, client, |_| is_lost.load(Ordering::SeqCst) != Cut::Answer as u8));
            }
        });
        Self { address, cut, commits }
    }

    /// Loses the next commit, once.
    pub fn cut_next(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    /// How many commits were sent through it.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

/// Copies until either end closes or `passes` says no; then nothing passes any more in either direction.
fn forward(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match from.read(&mut bytes) {
            Ok(length) if length > 0 && passes(&bytes[..length]) && to.write_all(&bytes[..length]).is_ok() => {}
            _ => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
