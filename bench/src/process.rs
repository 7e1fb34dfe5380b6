//! Processes under load: started on loopback, measured by what the kernel charges them, ended by their ids.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command as AsyncCommand};

/// A server that this run has started.
pub(crate) struct Server {
    child: Child,
    /// Where it answers.
    pub(crate) url: String,
    /// What it printed at its start, for tessera.
    pub(crate) greeting: Value,
}

impl Server {
    /// The product itself on a free port of loopback, with its greeting read.
    pub(crate) async fn tessera(data: &Path, options: &[&str]) -> Result<Self, String> {
        Self::tessera_at("127.0.0.1:0", data, options).await
    }

    /// The product at an address, with its greeting read.
    pub(crate) async fn tessera_at(listen: &str, data: &Path, options: &[&str]) -> Result<Self, String> {
        let mut server = Self::spawn(listen, data, options)?;
        let stdout = server.child.stdout.take().ok_or("tessera has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line =
            tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.map_err(|_| "tessera did not greet within a minute")?;
        let line = line.map_err(|e| e.to_string())?.ok_or("tessera ended before it greeted")?;
        server.greeting = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
        server.url = format!("http://{}", server.greeting["listen"].as_str().unwrap_or_default());
        Ok(server)
    }

    /// The product, starting: its greeting is not waited for.
    pub(crate) fn spawn(listen: &str, data: &Path, options: &[&str]) -> Result<Self, String> {
        Self::spawn_with(listen, data, options, &[])
    }

    /// The same with variables of its environment.
    pub(crate) fn spawn_with(listen: &str, data: &Path, options: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let child = AsyncCommand::new(binary()?)
            // The simulators of the benchmarks listen on ports of their own.
            .env("TESSERA_PROVIDER_ALLOW", "127.0.0.1")
            .envs(environment.iter().copied())
            .args(["--listen", listen, "--json", "--data"])
            .arg(data)
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("tessera does not start: {e}"))?;
        Ok(Self { child, url: format!("http://{listen}"), greeting: Value::Null })
    }

    /// This program itself in another role that prints `host:port` when it listens.
    pub(crate) async fn myself(role: &str) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = AsyncCommand::new(this).arg(role).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|e| e.to_string())?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let line = BufReader::new(stdout).lines().next_line().await.map_err(|e| e.to_string())?.ok_or("it ended before it listened")?;
        Ok(Self { child, url: format!("http://{line}"), greeting: Value::Null })
    }

    /// nginx that answers everything with 302.
    pub(crate) async fn nginx(work: &Path) -> Result<Self, String> {
        let port = free_port()?;
        let config = format!(
            "daemon off; master_process on; worker_processes 2; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 302 https://example.com/landing?campaign=autumn; }} }} }}\n",
            work.display()
        );
        let path = work.join("nginx.conf");
        std::fs::write(&path, config).map_err(|e| e.to_string())?;
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = AsyncCommand::new(program)
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(work)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("nginx does not start: {e}"))?;
        let server = Self { child, url: format!("http://127.0.0.1:{port}"), greeting: Value::Null };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("nginx does not listen".into())
    }

    /// Its process and its children's.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Some(pid) = self.child.id() else { return Vec::new() };
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
    }

    /// Ends it as a service manager would, and waits.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        if let Some(pid) = self.child.id() {
            signal(pid, libc::SIGTERM);
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        ended.map_err(|_| "a server did not end within a minute".to_owned())?.map(|_| ()).map_err(|e| e.to_string())
    }

    /// Whether it aborts by itself in that time.
    pub(crate) async fn aborts_within(&mut self, time: Duration) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = tokio::time::timeout(time, self.child.wait()).await;
        ended.is_ok_and(|status| status.is_ok_and(|status| status.signal() == Some(libc::SIGABRT)))
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) {
        if let Some(pid) = self.child.id() {
            signal(pid, libc::SIGKILL);
        }
        let _ = self.child.wait().await;
    }

    /// One number of its `/metrics`; 0 while it is not there.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64, String> {
        let (_, text) = crate::paced::get(&self.url, "/metrics").await?;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        Ok(line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0))
    }

    /// A word of its greeting.
    pub(crate) fn told(&self, name: &str) -> Result<String, String> {
        self.greeting[name].as_str().map(str::to_owned).ok_or_else(|| format!("the greeting has no {name}"))
    }
}

#[expect(unsafe_code, reason = "a signal to a process that this run has started, by its id")]
fn signal(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: kill has no memory effects.
        unsafe { libc::kill(pid, signal) };
    }
}

pub(crate) fn binary() -> Result<std::path::PathBuf, String> {
    let beside = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("tessera");
    let named = std::env::var_os("TESSERA_BIN").map(std::path::PathBuf::from);
    named.or(beside.exists().then_some(beside)).ok_or_else(|| "build the binary first: cargo build --release -p tessera".into())
}

pub(crate) fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|e| e.to_string())
}

/// User and system seconds that the kernel has charged these processes.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks: u64 = pids
        .iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok())
        .filter_map(|stat| {
            let fields: Vec<u64> =
                stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
            Some(fields.iter().sum::<u64>())
        })
        .sum();
    ticks as f64 / 100.0
}

/// A line of `/proc/PID/status` in megabytes, summed.
fn status_mb(pids: &[u32], name: &str) -> u64 {
    let kilobytes: u64 = pids
        .iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .filter_map(|status| status.lines().find(|line| line.starts_with(name))?.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    kilobytes / 1024
}

/// The most memory that these processes have had.
pub(crate) fn peak_rss_mb(pids: &[u32]) -> u64 {
    status_mb(pids, "VmHWM:")
}

/// The memory that these processes have now.
pub(crate) fn rss_mb(pids: &[u32]) -> u64 {
    status_mb(pids, "VmRSS:")
}

/// What wrk counted.
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) rate: f64,
}

/// Runs wrk with two threads.
pub(crate) fn wrk(url: &str, script: &Path, seconds: u64, connections: u32) -> Result<Counted, String> {
    let output = Command::new("wrk")
        .args(["-t2", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"])
        .arg(script)
        .arg(url)
        .output()
        .map_err(|e| format!("wrk does not run: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str, at: usize| line.split_whitespace().nth(at).and_then(|word| word.parse::<f64>().ok());
    let requests = text.lines().find(|line| line.contains("requests in")).and_then(|line| number(line, 0));
    let rate = text.lines().find(|line| line.starts_with("Requests/sec:")).and_then(|line| number(line, 1));
    if let Some(errors) = text.lines().find(|line| line.contains("Non-2xx or 3xx") || line.contains("Socket errors")) {
        return Err(format!("wrk at {url}: {}", errors.trim()));
    }
    match (requests, rate) {
        (Some(requests), Some(rate)) => Ok(Counted { requests: requests as u64, rate }),
        _ => Err(format!("wrk said nothing: {text} {}", String::from_utf8_lossy(&output.stderr))),
    }
}
