//! Starts the simulators and says where to look.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Simulators of payment providers, for development and tests: they speak the real wire formats and fail on demand.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4100")]
    listen: SocketAddr,
    /// Where webhooks go: to {tessera}/v1/payments/webhooks/demo-{dialect}; empty for nowhere.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    tessera: String,
    /// A folder that keeps what was charged over a restart; without it all is in memory.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The address that browsers use, if another one.
    #[arg(long)]
    public_url: Option<String>,
    /// Decides which calls a fault with a rate hits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The providers' waits between attempts of a webhook are divided by this.
    #[arg(long, default_value_t = 100)]
    retry_shrink: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = sim::Options {
        listen: arguments.listen,
        tessera: Some(arguments.tessera.clone()),
        folder: arguments.data.clone(),
        public_url: arguments.public_url,
        seed: arguments.seed,
        retry_shrink: arguments.retry_shrink,
        ..sim::Options::default()
    };
    let simulator = match sim::start(options).await {
        Ok(simulator) => simulator,
        Err(error) => {
            eprintln!("sim: cannot start on {}: {error}", arguments.listen);
            return ExitCode::FAILURE;
        }
    };
    println!("The simulators of payment providers listen. Open {} to see payments and set faults.", simulator.url());
    for dialect in sim::Dialect::ALL {
        println!("  {:<13} {}", dialect.word(), simulator.at(dialect));
    }
    match arguments.tessera.as_str() {
        "" => println!("Webhooks go nowhere until they are told where."),
        tessera => println!("Webhooks go to {tessera}/v1/payments/webhooks/demo-…"),
    }
    match &arguments.data {
        Some(folder) => println!("What was charged is kept in {}.", folder.display()),
        None => println!("All is in memory; --data FOLDER keeps it."),
    }
    if !arguments.listen.ip().is_loopback() {
        println!("Others on the network can reach it: it has no passwords, and is for tests only.");
    }
    let _ = tokio::signal::ctrl_c().await;
    simulator.stop().await;
    ExitCode::SUCCESS
}
