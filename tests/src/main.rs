//! `tallylight-world`: every process of the synthetic world, one subcommand each.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tallylight_tests::{
    bench, corpus, demo,
    panel::{self, forward},
    sim::command as sim,
    world::{access, clip, edge, headend, link, viewers},
};

/// The synthetic platform that Tallylight is tested on: real streams over loopback, with faults on demand.
///
/// A process prints one line `ready {json}` with its addresses once it serves. It ends on SIGTERM, SIGINT, or when its
/// standard input closes, so nothing outlives the program that started it.
#[derive(Parser)]
#[command(name = "tallylight-world", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Encode the clips of the head-end once, into a cache folder.
    Clips(clip::Arguments),
    /// Play every channel's primary and backup source over UDP multicast, with faults on demand.
    Headend(headend::Arguments),
    /// Relay one region's feeds to its delivery servers, with loss and delay on demand.
    Link(link::Arguments),
    /// Serve channels to viewers: HTTP-TS, HLS or UDP multicast.
    Edge(edge::Arguments),
    /// Stand in front of delivery servers and break single clients' paths on demand.
    Access(access::Arguments),
    /// Watch channels as viewers do, where the panel sends them.
    Viewers(viewers::Arguments),
    /// Rule over the platform as the panel contract says: the reference panel.
    Panel(panel::Arguments),
    /// Forward one channel's chosen source to the regions. The panel starts it.
    #[command(hide = true)]
    Forward(forward::Arguments),
    /// Run the main job on live streams: break things in turn and check what becomes of it.
    Demo(demo::Arguments),
    /// Run the judgement in many simulated worlds, or tell the story of one.
    Sim(sim::Arguments),
    /// Make clips whose faults are known exactly, and hold the agent's probe to them.
    Corpus(corpus::Arguments),
    /// Measure decisions, healing and the agent's cost on live processes.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Clips(arguments) => clip::run(&arguments),
        Command::Headend(arguments) => headend::run(arguments),
        Command::Link(arguments) => link::run(arguments),
        Command::Edge(arguments) => edge::run(arguments),
        Command::Access(arguments) => access::run(arguments),
        Command::Viewers(arguments) => viewers::run(arguments),
        Command::Panel(arguments) => panel::run(arguments),
        Command::Forward(arguments) => forward::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Corpus(arguments) => corpus::run(&arguments),
        Command::Bench(arguments) => bench::run(arguments),
    }
}
