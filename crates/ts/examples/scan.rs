//! Reads a transport stream once, for measuring: `scan FILE` analyses it, `scan FILE read` only reads it.

use std::{fs::File, io::Read as _};

use tallylight_model::MonoTime;
use tallylight_ts::{Analyser, AnalyserConfig, CheckProfile, Event, Payload};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let only_read = arguments.next().is_some();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1316 * 200];
    let config = AnalyserConfig {
        payload: Payload::None,
        profile: CheckProfile::BROADCAST,
        ..AnalyserConfig::default()
    };
    let mut analyser = Analyser::new(config);
    let (mut units, mut others, mut read) = (0_u64, 0_u64, 0);
    loop {
        let length = file.read(&mut buffer)?;
        read += length;
        if length == 0 {
            break;
        }
        if only_read {
            continue;
        }
        analyser.push(MonoTime::ZERO, &buffer[..length]);
        while let Some(event) = analyser.poll() {
            match event {
                Event::Unit(_) => units += 1,
                _ => others += 1,
            }
        }
    }
    analyser.finish();
    println!("{read} bytes, {units} access units, {others} other events");
    for check in analyser.checks() {
        println!("{} {} {:?}", check.indicator, check.tally.count, check.unavailable);
    }
    Ok(())
}
