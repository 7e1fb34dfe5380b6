//! A mail server that misbehaves where it is told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What it does at a step instead of the right thing.
#[derive(Clone, Debug)]
pub enum Fault {
    Hang,
    Drop,
    Say(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub from: String,
    pub to: String,
    pub data: String,
}

#[derive(Default)]
pub struct State {
    /// By step: greeting, EHLO, AUTH, RSET, MAIL, RCPT, DATA, verdict.
    pub faults: HashMap<&'static str, Fault>,
    pub received: Vec<Received>,
    pub connections: usize,
    pub commands: Vec<String>,
    /// Lines after `250-test` in the answer to EHLO.
    pub abilities: Vec<&'static str>,
    /// Says this right after the answer to STARTTLS, in the same packet.
    pub out_of_turn: Option<&'static str>,
}

#[derive(Clone)]
pub struct SmtpServer {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl SmtpServer {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    pub async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let server = Self { address, state: state.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                state.lock().unwrap().connections += 1;
                let (state, tls) = (state.clone(), tls.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    if talk(&mut stream, &state, true).await == Some(End::StartTls) {
                        let stream = tls.unwrap().accept(stream.into_inner()).await.unwrap();
                        talk(&mut BufReader::new(stream), &state, false).await;
                    }
                });
            }
        });
        server
    }

    pub fn fault(&self, step: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(step, fault);
    }

    pub fn heal(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }
}

#[derive(PartialEq)]
enum End {
    StartTls,
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> Option<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()
}

/// Does the fault of a step; whether the right thing is to be done.
async fn step(stream: &mut (impl AsyncWrite + Unpin), state: &Arc<Mutex<State>>, name: &'static str) -> Option<bool> {
    let fault = state.lock().unwrap().faults.get(name).cloned();
    match fault {
        None => Some(true),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Drop) => None,
        Some(Fault::Say(text)) => say(stream, text).await.map(|()| false),
    }
}

async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + AsyncBufReadExt + Unpin),
    state: &Arc<Mutex<State>>,
    greets: bool,
) -> Option<End> {
    if greets && step(stream, state, "greeting").await? {
        say(stream, "220 test").await?;
    }
    let (mut from, mut to) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        state.lock().unwrap().commands.push(line.clone());
        let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "EHLO" => {
                if step(stream, state, "EHLO").await? {
                    let abilities = state.lock().unwrap().abilities.clone();
                    let mut text = String::from("250-test");
                    for ability in abilities {
                        text.push_str(&format!("\r\n250-{ability}"));
                    }
                    say(stream, &format!("{text}\r\n250 HELP")).await?;
                }
            }
            "STARTTLS" => {
                let extra = state.lock().unwrap().out_of_turn;
                say(stream, &format!("220 go{}", extra.map(|extra| format!("\r\n{extra}")).unwrap_or_default())).await?;
                return extra.is_none().then_some(End::StartTls);
            }
            "AUTH" => {
                if step(stream, state, "AUTH").await? {
                    if line == "AUTH LOGIN" {
                        for _ in 0..2 {
                            say(stream, "334 more").await?;
                            let mut part = String::new();
                            stream.read_line(&mut part).await.ok()?;
                            state.lock().unwrap().commands.push(part.trim_end().to_owned());
                        }
                    }
                    say(stream, "235 welcome").await?;
                }
            }
            "RSET" => {
                if step(stream, state, "RSET").await? {
                    say(stream, "250 ok").await?;
                }
            }
            "MAIL" => {
                if step(stream, state, "MAIL").await? {
                    from = line;
                    say(stream, "250 ok").await?;
                }
            }
            "RCPT" => {
                if step(stream, state, "RCPT").await? {
                    to = line;
                    say(stream, "250 ok").await?;
                }
            }
            "DATA" => {
                if !step(stream, state, "DATA").await? {
                    continue;
                }
                say(stream, "354 go").await?;
                if matches!(state.lock().unwrap().faults.get("body"), Some(Fault::Hang)) {
                    std::future::pending::<()>().await;
                }
                let mut data = Vec::new();
                while data != b".\r\n" && !data.ends_with(b"\r\n.\r\n") {
                    let mut part = [0; 4096];
                    let count = stream.read(&mut part).await.ok()?;
                    if count == 0 {
                        return None;
                    }
                    data.extend_from_slice(&part[..count]);
                }
                if data == b".\r\n" {
                    say(stream, "554 nothing to take").await?;
                    continue;
                }
                let data = String::from_utf8_lossy(&data).into_owned();
                state.lock().unwrap().received.push(Received { from: from.clone(), to: to.clone(), data });
                if step(stream, state, "verdict").await? {
                    say(stream, "250 taken").await?;
                }
            }
            "QUIT" => {
                say(stream, "221 bye").await?;
                return None;
            }
            _ => say(stream, "502 what").await?,
        }
    }
}
