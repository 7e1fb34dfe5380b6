//! Everything configurable, parsed once into types: command line, then environment, then the file `tessera.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use gateway::{AllowedNetworks, Block};
use serde::Deserialize;
use url::Url;

use crate::payments_commands::PaymentsRole;

/// Codes, cards, leads: mint a code, print it, and hear of whoever scans it.
#[derive(Debug, Parser)]
#[command(name = "tessera", version, about, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub role: Option<Role>,
    /// The options that every role shares.
    #[command(flatten)]
    pub options: Options,
}

const AFTER_HELP: &str = "Every option can also be set in the environment (the name in brackets) or in the file tessera.toml of the data \
    folder, as `listen = \"0.0.0.0:8080\"`; the command line wins, then the environment.\n\nThe first start makes the data folder with a \
    demonstration workspace and prints its card's code, a one-time sign-in link and the address of the API page.";

/// What a process does.
#[derive(Debug, Clone, Subcommand)]
pub enum Role {
    /// Serves pages and API, and works off jobs (the default).
    Run,
    /// Serves pages and API only; needs PostgreSQL and a `work` process beside it.
    Serve,
    /// Works off jobs only; needs PostgreSQL.
    Work,
    /// Brings the database up to date and ends.
    Migrate,
    /// Prints a new one-time sign-in link for a person, for whoever was locked out. Beside a running process it needs PostgreSQL.
    Link {
        /// The person's email address.
        email: String,
    },
    /// Makes a workspace with its first owner, and prints the owner's sign-in link. Beside a running process it needs PostgreSQL.
    Workspace {
        /// The workspace's name.
        name: String,
        /// The owner's email address.
        email: String,
        /// The owner's name.
        owner: String,
    },
    /// Copies a SQLite installation, running or not, into one new file.
    Backup {
        /// The file to make.
        file: PathBuf,
    },
    /// Unpacks and verifies a backup into an empty data folder.
    Restore {
        /// The file that `backup` made.
        file: PathBuf,
    },
    /// Checks the configuration and the database, running or not.
    Check,
    /// Looks at the books as a whole, beside a running process or without one.
    Ledger {
        /// What to do with them.
        #[command(subcommand)]
        what: LedgerRole,
    },
    /// Looks at the history of payments as a whole, makes payments anew from it, or takes a settlement report in.
    Payments {
        /// What to do with them.
        #[command(subcommand)]
        what: PaymentsRole,
    },
}

/// What can be done with the books from outside.
#[derive(Debug, Clone, Subcommand)]
pub enum LedgerRole {
    /// Computes everything again from the log and compares: hashes, seals, balances, histories, limits. Prints the trial
    /// balance and what is wrong; the exit code is 0 only where nothing is.
    Verify {
        /// The books of this workspace alone: ws_….
        #[arg(long, value_name = "ID")]
        workspace: Option<kernel::WorkspaceId>,
        /// Seals that were kept elsewhere, one a line, as `ledger seals` prints them [default: ledger.seals in the data folder].
        #[arg(long, value_name = "FILE")]
        seals: Option<PathBuf>,
    },
    /// Prints the newest seal of each workspace, to be kept where nobody who can write to the database can change it.
    Seals,
}

/// The options, as the command line and the environment give them.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The data folder: database, journal of scans, keys, mail.
    #[arg(long, global = true, env = "TESSERA_DATA", value_name = "DIR", default_value = "tessera-data")]
    pub data: PathBuf,
    /// Where to listen [default: 127.0.0.1:8080]; 0.0.0.0:8080 opens it to the local network.
    #[arg(long, global = true, env = "TESSERA_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// The address that people reach it by, which codes and mails carry, such as https://go.example.com.
    #[arg(long, global = true, env = "TESSERA_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// PostgreSQL instead of SQLite: postgres://user:password@host:port/name.
    #[arg(long, global = true, env = "TESSERA_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// A PostgreSQL replica of that database, which answers statements and balances: postgres://user:password@host:port/name.
    #[arg(long, global = true, env = "TESSERA_READ_DATABASE", value_name = "URL", hide_env_values = true)]
    pub read_database: Option<String>,
    /// Certificate authorities (PEM) for PostgreSQL, beside the public ones.
    #[arg(long, global = true, env = "TESSERA_DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,
    /// TLS in the binary: `local` makes a certificate for the local network, `CERT.pem,KEY.pem` names files, reloaded when they change.
    #[arg(long, global = true, env = "TESSERA_TLS", value_name = "HOW")]
    pub tls: Option<String>,
    /// The mail server: smtp://user:password@host:port, or smtps://… [default: mail is kept in the data folder].
    #[arg(long, global = true, env = "TESSERA_SMTP", value_name = "URL", hide_env_values = true)]
    pub smtp: Option<String>,
    /// The sender of mails, such as `Tessera <no-reply@example.com>`.
    #[arg(long, global = true, env = "TESSERA_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// A proxy whose forwarding headers are believed, as an address or a block such as 10.0.0.0/8; may be repeated.
    #[arg(long, global = true, env = "TESSERA_TRUSTED_PROXIES", value_name = "BLOCK", value_delimiter = ',')]
    pub trusted_proxy: Vec<String>,
    /// A private block that webhooks may be sent to, such as 127.0.0.1/32; may be repeated.
    #[arg(long, global = true, env = "TESSERA_WEBHOOK_ALLOW", value_name = "BLOCK", value_delimiter = ',')]
    pub webhook_allow: Vec<String>,
    /// A private address or block that payment providers may be reached at, without encryption too; may be repeated, `none` for
    /// none [default: 127.0.0.1:4100, the simulators of the demonstration].
    #[arg(long, global = true, env = "TESSERA_PROVIDER_ALLOW", value_name = "BLOCK", value_delimiter = ',')]
    pub provider_allow: Vec<String>,
    /// The header in which a trusted proxy names the visitor's country, such as CF-IPCountry.
    #[arg(long, global = true, env = "TESSERA_COUNTRY_HEADER", value_name = "NAME")]
    pub country_header: Option<String>,
    /// The key that stored secrets are sealed with [default: secret.key in the data folder]; the same on every node.
    #[arg(long, global = true, env = "TESSERA_SECRET_KEY", value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// The key that backups are encrypted with; made where it is missing. Keep it apart from the backups.
    #[arg(long, global = true, env = "TESSERA_BACKUP_KEY", value_name = "FILE")]
    pub backup_key: Option<PathBuf>,
    /// Requests a minute that one address may make [default: 1200].
    #[arg(long, global = true, env = "TESSERA_RATE_ADDRESS", value_name = "COUNT")]
    pub rate_address: Option<u32>,
    /// Requests a minute that one API key or person may make [default: 6000].
    #[arg(long, global = true, env = "TESSERA_RATE_CALLER", value_name = "COUNT")]
    pub rate_caller: Option<u32>,
    /// Public forms a minute that one address may send [default: 30].
    #[arg(long, global = true, env = "TESSERA_RATE_FORM", value_name = "COUNT")]
    pub rate_form: Option<u32>,
    /// Prints the greeting as one line of JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Logs as lines of JSON.
    #[arg(long, global = true, env = "TESSERA_LOG_JSON")]
    pub log_json: bool,
}

/// The same options in `tessera.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    public_url: Option<String>,
    database: Option<String>,
    read_database: Option<String>,
    database_ca: Option<PathBuf>,
    tls: Option<String>,
    smtp: Option<String>,
    mail_from: Option<String>,
    #[serde(default)]
    trusted_proxies: Vec<String>,
    #[serde(default)]
    webhook_allow: Vec<String>,
    #[serde(default)]
    provider_allow: Vec<String>,
    country_header: Option<String>,
    secret_key: Option<PathBuf>,
    backup_key: Option<PathBuf>,
    rate_address: Option<u32>,
    rate_caller: Option<u32>,
    rate_form: Option<u32>,
}

/// Where the simulators of the demonstration listen unless they are told otherwise.
const SIMULATORS: &str = "127.0.0.1:4100";

/// How the door is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not here: on loopback, or behind a proxy that does it.
    Off,
    /// With a certificate made on the spot.
    Local,
    /// With files, reloaded when they change.
    Files {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
}

/// A configuration that makes sense.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The public address, if one was named, without a slash at its end.
    pub public_url: Option<String>,
    /// PostgreSQL, if wanted.
    pub database: Option<String>,
    /// A replica of it, for reads.
    pub read_database: Option<String>,
    /// Its certificate authorities.
    pub database_ca: Option<Vec<u8>>,
    /// TLS at our own door.
    pub tls: Tls,
    /// The mail server's URL.
    pub smtp: Option<String>,
    /// The sender of mails.
    pub mail_from: String,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<Block>,
    /// Places inside that webhooks may reach.
    pub webhook_allow: AllowedNetworks,
    /// Places inside that payment providers may be reached at.
    pub provider_allow: AllowedNetworks,
    /// The country's header, in lower case.
    pub country_header: Option<String>,
    /// The vault's key file.
    pub secret_key: Option<PathBuf>,
    /// The key file of backups.
    pub backup_key: Option<PathBuf>,
    /// Requests a minute: an address, a caller, public forms.
    pub rates: Rates,
    /// The greeting as JSON.
    pub json: bool,
}

/// Requests a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one address.
    pub address: u32,
    /// Of one caller.
    pub caller: u32,
    /// Public forms of one address.
    pub form: u32,
}

/// Why a configuration is refused, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

fn refused<T>(option: &str, value: &str, fix: &str) -> Result<T, ConfigError> {
    Err(ConfigError(format!("{option} = {value:?} cannot be used: {fix}")))
}

impl Config {
    /// Puts the options and the file together and checks each value.
    pub fn load(options: Options) -> Result<Self, ConfigError> {
        let file = read_file(&options.data.join("tessera.toml"))?;
        let listen = options.listen.or(file.listen).unwrap_or_else(|| "127.0.0.1:8080".into());
        let Ok(listen) = SocketAddr::from_str(&listen) else {
            return refused("listen", &listen, "write an address and a port, such as 127.0.0.1:8080 or [::1]:8080");
        };
        let public_url = options.public_url.or(file.public_url).map(|url| parse_public_url(&url)).transpose()?;
        let database = options.database.or(file.database).filter(|url| !url.is_empty());
        if let Some(url) = &database
            && !(url.starts_with("postgres://") || url.starts_with("postgresql://"))
        {
            return refused("database", &hide(url), "write postgres://user:password@host:port/name, or leave it out for SQLite");
        }
        let read_database = options.read_database.or(file.read_database).filter(|url| !url.is_empty());
        if let Some(url) = &read_database {
            if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
                return refused("read_database", &hide(url), "write postgres://user:password@host:port/name, or leave it out");
            }
            if database.is_none() {
                return refused("read_database", &hide(url), "name the PostgreSQL database that it is a replica of with --database");
            }
        }
        let tls = match options.tls.or(file.tls).as_deref() {
            None | Some("" | "off") => Tls::Off,
            Some("local") => Tls::Local,
            Some(files) => match files.split_once(',') {
                Some((certificate, key)) => Tls::Files { certificate: certificate.into(), key: key.into() },
                None => return refused("tls", files, "write off, local, or the two files CERTIFICATE.pem,KEY.pem"),
            },
        };
        let smtp = options.smtp.or(file.smtp).filter(|url| !url.is_empty());
        if let Some(url) = &smtp
            && !(url.starts_with("smtp://") || url.starts_with("smtps://"))
        {
            return refused("smtp", &hide(url), "write smtp://user:password@host:587 or smtps://user:password@host:465");
        }
        let proxies = if options.trusted_proxy.is_empty() { file.trusted_proxies } else { options.trusted_proxy };
        let trusted_proxies = proxies
            .iter()
            .map(|block| block.parse().or_else(|_| refused("trusted_proxies", block, "write an address or a block such as 10.0.0.0/8")))
            .collect::<Result<_, _>>()?;
        let webhook_allow = parse_places("webhook_allow", options.webhook_allow, file.webhook_allow, &[])?;
        let provider_allow = parse_places("provider_allow", options.provider_allow, file.provider_allow, &[SIMULATORS])?;
        let database_ca = match options.database_ca.or(file.database_ca) {
            None => None,
            Some(path) => match std::fs::read(&path) {
                Ok(pem) => Some(pem),
                Err(error) => return refused("database_ca", &path.display().to_string(), &format!("the file cannot be read ({error})")),
            },
        };
        let rates = Rates {
            address: options.rate_address.or(file.rate_address).unwrap_or(1_200).max(1),
            caller: options.rate_caller.or(file.rate_caller).unwrap_or(6_000).max(1),
            form: options.rate_form.or(file.rate_form).unwrap_or(30).max(1),
        };
        Ok(Self {
            data: options.data,
            listen,
            public_url,
            database,
            read_database,
            database_ca,
            tls,
            smtp,
            mail_from: options.mail_from.or(file.mail_from).unwrap_or_else(|| "Tessera <no-reply@localhost>".into()),
            trusted_proxies,
            webhook_allow,
            provider_allow,
            country_header: options.country_header.or(file.country_header).map(|name| name.to_ascii_lowercase()),
            secret_key: options.secret_key.or(file.secret_key),
            backup_key: options.backup_key.or(file.backup_key),
            rates,
            json: options.json,
        })
    }

    /// How the store is opened.
    pub fn store(&self) -> store::Config {
        store::Config {
            replica_url: self.read_database.clone(),
            authorities_pem: self.database_ca.clone(),
            key_file: self.secret_key.clone(),
            ..store::Config::new(&self.data, self.database.clone())
        }
    }
}

fn read_file(path: &Path) -> Result<File, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            ConfigError(format!("{}, line {line}: {}. See `tessera --help` for the options", path.display(), error.message()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(ConfigError(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// Reads the places inside that something may reach: as the options say, else the file, else `usual`; `none` for none.
fn parse_places(name: &str, options: Vec<String>, file: Vec<String>, usual: &[&str]) -> Result<AllowedNetworks, ConfigError> {
    let written = if options.is_empty() { file } else { options };
    let places: Vec<&str> = written.iter().map(String::as_str).collect();
    let places = match places[..] {
        [] => usual,
        ["none"] => &[],
        ref places => places,
    };
    AllowedNetworks::parse(places.iter().copied())
        .or_else(|error| refused(name, &error.0, "write an address or a block, such as 127.0.0.1, 127.0.0.1:4100 or 10.0.0.0/8, or none"))
}

fn parse_public_url(text: &str) -> Result<String, ConfigError> {
    let fix = "write a scheme and a host, such as https://go.example.com, without path, query or password";
    let Ok(url) = Url::parse(text) else { return refused("public_url", text, fix) };
    let is_plain =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain {
        return refused("public_url", text, fix);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A URL without its password, for messages.
fn hide(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            let _ = parsed.set_password(None);
            parsed.to_string()
        }
        Err(_) => "…".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(change: impl FnOnce(&mut Options)) -> Result<Config, ConfigError> {
        let mut options = Options { data: std::env::temp_dir().join("tessera-no-such-folder"), ..Options::default() };
        change(&mut options);
        Config::load(options)
    }

    #[test]
    fn the_defaults_listen_on_loopback_and_need_no_service() {
        let config = load(|_| {}).unwrap();
        assert!(config.listen.ip().is_loopback() && config.database.is_none() && config.smtp.is_none() && config.tls == Tls::Off);
    }

    #[test]
    fn a_replica_for_reads_goes_with_its_primary() {
        let replica = |o: &mut Options| o.read_database = Some("postgres://u:hidden@replica/d".into());
        let words = load(replica).unwrap_err().to_string();
        assert!(words.starts_with("read_database") && words.contains("--database") && !words.contains("hidden"), "{words}");
        let both = load(|o| {
            replica(o);
            o.database = Some("postgres://u@primary/d".into());
        });
        assert_eq!(both.unwrap().store().replica_url.as_deref(), Some("postgres://u:hidden@replica/d"));
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_with_its_fix_and_without_its_password() {
        type Change = fn(&mut Options);
        let cases: [(Change, &str); 8] = [
            (|o| o.listen = Some("8080".into()), "listen"),
            (|o| o.public_url = Some("https://go.example.com/x".into()), "public_url"),
            (|o| o.public_url = Some("ftp://go.example.com".into()), "public_url"),
            (|o| o.database = Some("mysql://u:hidden@h/d".into()), "database"),
            (|o| o.read_database = Some("mysql://u:hidden@h/d".into()), "read_database"),
            (|o| o.tls = Some("cert.pem".into()), "tls"),
            (|o| o.smtp = Some("http://u:hidden@h".into()), "smtp"),
            (|o| o.trusted_proxy = vec!["10.0.0.0/99".into()], "trusted_proxies"),
        ];
        for (change, name) in cases {
            let words = load(change).unwrap_err().to_string();
            assert!(words.starts_with(name) && words.contains("write") && !words.contains("hidden"), "{words}");
        }
    }

    #[test]
    fn payment_providers_are_reached_outside_and_at_the_simulators_unless_something_else_is_said() {
        let reaches = |config: &Config, address: &str| config.provider_allow.permits(address.parse().unwrap());
        let usual = load(|_| {}).unwrap();
        assert!(reaches(&usual, "127.0.0.1:4100") && reaches(&usual, "1.1.1.1:443"));
        assert!(!reaches(&usual, "127.0.0.1:4101") && !reaches(&usual, "10.0.0.1:4100"));
        assert!(!usual.webhook_allow.permits("127.0.0.1:4100".parse().unwrap()), "webhooks have no simulator");
        let other = load(|o| o.provider_allow = vec!["10.0.0.0/8".into()]).unwrap();
        assert!(reaches(&other, "10.0.0.1:1") && !reaches(&other, "127.0.0.1:4100"), "what is said takes the usual one's place");
        let none = load(|o| o.provider_allow = vec!["none".into()]).unwrap();
        assert!(!reaches(&none, "127.0.0.1:4100"));
        for name in ["webhook_allow", "provider_allow"] {
            let words =
                load(|o| *(if name == "webhook_allow" { &mut o.webhook_allow } else { &mut o.provider_allow }) = vec!["lan".into()]);
            let words = words.unwrap_err().to_string();
            assert!(words.starts_with(name) && words.contains("\"lan\"") && words.contains("write"), "{words}");
        }
    }

    #[test]
    fn a_wrong_line_of_the_file_is_named() {
        let folder = std::env::temp_dir().join(format!("tessera-config-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tessera.toml"), "listen = \"127.0.0.1:1\"\nlisen = \"x\"\n").unwrap();
        let words = load(|o| o.data = folder.clone()).unwrap_err().to_string();
        assert!(words.contains("line 2") && words.contains("lisen"), "{words}");
        std::fs::write(folder.join("tessera.toml"), "listen = \"127.0.0.1:1\"\n").unwrap();
        assert_eq!(load(|o| o.data = folder.clone()).unwrap().listen.port(), 1);
        assert_eq!(load(|o| (o.data, o.listen) = (folder.clone(), Some("127.0.0.1:2".into()))).unwrap().listen.port(), 2);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
