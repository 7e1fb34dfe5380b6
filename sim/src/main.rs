//! Starts the simulators.

fn main() {
    println!("{}", sim::Dialect::ALL.map(sim::Dialect::word).join(" "));
}
