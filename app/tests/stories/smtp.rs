//! The owner's mail goes to a mail server that nobody here wrote: postfix's smtp-sink.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::client::PHONE;
use crate::parties::has_tool;
use crate::world::{World, leave_details};

const SINK: &str = "/usr/sbin/smtp-sink";

struct Sink {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Sink {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("tessera_story_sink_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(SINK);
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        command.arg("-d").arg(folder.join("mail.")).arg(format!("127.0.0.1:{port}")).arg("100").stderr(Stdio::inherit());
        let sink = Self { child: command.spawn().unwrap(), folder, port };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return sink;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("smtp-sink does not listen");
    }

    fn mails(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.folder).unwrap();
        files.map(|entry| String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()).unwrap()).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_told_over_a_real_mail_server() {
    if !has_tool(SINK, "postfix") {
        return;
    }
    let sink = Sink::start().await;
    let url = format!("smtp://127.0.0.1:{}?tls=none", sink.port);
    let world = World::with(|options| options.smtp = Some(url)).await;
    world.found("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let mut ada = world.stranger();
    ada.post("/v1/session/link", json!({ "email": "ada@engines.example" })).await.expect(202);
    world.drain().await;
    let mails = sink.mails();
    let mail = mails.first().expect("the link was mailed").replace("=\r\n", "").replace("=\n", "");
    let token: String =
        mail.split("/sign-in/").nth(1).unwrap().chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    ada.post("/v1/session/link/redeem", json!({ "token": token })).await.expect(201);

    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let mut visitor = world.stranger().with_agent(PHONE);
    let fields = [("name", "Charles Babbage"), ("email", "charles@difference.example"), ("message", "Shall we meet?")];
    leave_details(&world, &mut visitor, &made.code, &fields).await.expect(303);
    world.drain().await;
    let mails = sink.mails();
    let to = |address: &str| mails.iter().filter(|mail| mail.contains(&format!("\nTo: {address}"))).collect::<Vec<_>>();
    let told = to("ada@engines.example");
    assert_eq!((mails.len(), told.len()), (3, 2), "the link, the owner, the visitor");
    assert!(told.iter().any(|mail| mail.contains("Charles Babbage") && mail.contains("Shall we meet?")), "{told:?}");
    assert!(to("charles@difference.example")[0].contains("text/vcard"));
    assert!(world.mails().is_empty(), "nothing is kept in the folder");
    assert_eq!(world.stranger().page("/dev/mailbox").await.status, 404, "where mail goes out there is no mailbox page");
}
