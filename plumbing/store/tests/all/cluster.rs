//! A PostgreSQL server of a test's own, which it may kill.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server and its folder; gone when it is dropped.
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
}

/// The newest installed PostgreSQL, or none; where the tools are required, none is a failure.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists() && programs.join("postgres").exists())
        .collect();
    found.sort();
    let is_required = std::env::var("TESSERA_TEST_TOOLS").is_ok_and(|wanted| wanted == "required");
    assert!(!is_required || !found.is_empty(), "PostgreSQL's programs are required in /usr/lib/postgresql/*/bin");
    found.pop()
}

/// PostgreSQL refuses to run as root: then it runs as the user that its package made.
fn user() -> Option<(u32, u32)> {
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").ok()?);
    if own != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the users are listed");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the package made a user");
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().expect("it is a number"));
    Some((numbers.next().expect("a user"), numbers.next().expect("a group")))
}

fn as_user(command: &mut Command) -> &mut Command {
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/")
}

impl Cluster {
    /// A new server that answers, or none (said in one line) where its programs are missing.
    pub fn start(name: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: no PostgreSQL in /usr/lib/postgresql");
            return None;
        };
        let folder = std::env::temp_dir().join(format!("tessera_test_cluster_{}_{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        if let Some((user, group)) = user() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let made = as_user(Command::new(programs.join("initdb")).arg("-D").arg(folder.join("data")))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut cluster = Self { programs, folder, port, server: None };
        cluster.run();
        Some(cluster)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A new server that follows this one and answers reads.
    pub fn replica(&self, name: &str) -> Self {
        let folder = self.folder.with_extension(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        if let Some((user, group)) = user() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let made = as_user(Command::new(self.programs.join("pg_basebackup")).arg("-D").arg(folder.join("data")))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync"])
            .status()
            .unwrap();
        assert!(made.success(), "pg_basebackup");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut replica = Self { programs: self.programs.clone(), folder, port, server: None };
        replica.run();
        replica
    }

    /// Starts it, again after a kill, and waits until it answers.
    pub fn run(&mut self) {
        let (port, started) = (self.port, Instant::now());
        loop {
            let server = as_user(Command::new(self.programs.join("postgres")).arg("-D").arg(self.folder.join("data")))
                .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
                .args(["-c", "shared_buffers=16MB", "-c", "max_wal_size=64MB", "-c", "max_connections=60"])
                .spawn()
                .unwrap();
            let server = self.server.insert(server);
            while server.try_wait().unwrap().is_none() {
                if is_ready(&self.programs, port) {
                    return;
                }
                assert!(started.elapsed() < Duration::from_secs(60), "the server does not answer");
                std::thread::sleep(Duration::from_millis(20));
            }
            // After a kill it refuses to start until the last of the old processes is gone.
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not start");
        }
    }

    /// Kills the server and every process of its own at once: nobody writes anything more.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let children = children_of(server.id());
        let _ = server.kill();
        for child in children {
            // They are the server's own, and it is not there any more to start others under their numbers.
            let _ = Command::new("kill").args(["-9", &child.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = server.wait();
    }
}

fn is_ready(programs: &Path, port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
        && as_user(&mut Command::new(programs.join("pg_isready")))
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name in parentheses: the state, then the parent.
            let of: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            (of == parent).then_some(number)
        })
        .collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
