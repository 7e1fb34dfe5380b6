//! The same conversation with a mail server that nobody here wrote: postfix's smtp-sink.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use notifications::{Envelope, SmtpConfig, SmtpPool};

const SINK: &str = "/usr/sbin/smtp-sink";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_receives_what_we_send() {
    if !std::path::Path::new(SINK).exists() {
        println!("skipped: {SINK} is not installed (Debian: postfix)");
        return;
    }
    let folder = std::env::temp_dir().join(format!("tessera_sink_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(SINK);
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.args(["-u", "nobody"]);
    }
    let template = folder.join("mail.");
    command.arg("-d").arg(&template).arg(format!("127.0.0.1:{port}")).arg("100").stderr(Stdio::inherit());
    let _sink = Ended(command.spawn().unwrap());
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pool = SmtpPool::new(SmtpConfig::parse(&format!("smtp://127.0.0.1:{port}?tls=none")).unwrap());
    let envelope = Envelope { from: "hello@tessera.example".into(), to: "ada@example.org".into() };
    for number in 0..20 {
        let message = format!("Subject: Number {number}\r\n\r\n.\r\n..\r\nline\r\n.end\r\n");
        pool.send(&envelope, message.as_bytes()).await.unwrap();
    }
    let mut mails: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        mails.push(String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()).unwrap().replace("\r\n", "\n"));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(mails.len(), 20);
    for number in 0..20 {
        let whole = format!("Subject: Number {number}\n\n.\n..\nline\n.end\n");
        assert_eq!(mails.iter().filter(|mail| mail.contains(&whole)).count(), 1, "{number} in {}", mails[0]);
    }
}
