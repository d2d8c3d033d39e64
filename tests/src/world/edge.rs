//! Follows with the next change.

/// Arguments of the subcommand.
#[derive(clap::Args)]
pub struct Arguments {}

/// Runs the subcommand.
///
/// # Errors
/// It is not there.
pub fn run(_: Arguments) -> anyhow::Result<()> {
    anyhow::bail!("not there in this build")
}
