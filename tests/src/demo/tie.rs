//! Runs another program in this process, tied to whoever started it: the kernel kills it when its starter ends, however
//! that ends. Programs that do not watch their standard input would otherwise outlive a demo that was killed.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::Context as _;
use nix::sys::{prctl, signal::Signal};

/// Runs a program that ends when its starter does.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the program; returns only if it cannot.
///
/// # Errors
/// Fails where the program cannot be run.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (program, rest) = arguments.command.split_first().context("no program is named")?;
    // Kept across exec for programs that do not gain privileges (PR_SET_PDEATHSIG, prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot tie to the starter")?;
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
