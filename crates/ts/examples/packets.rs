//! Reads a transport stream once with the crate mpeg2ts-reader, for comparison: `packets FILE` looks at each packet's PID,
//! continuity counter, transport error indicator and PCR, and at nothing else.

use std::{fs::File, io::Read as _};

use mpeg2ts_reader::packet::{ContinuityCounter, Packet, Pid};

fn main() -> std::io::Result<()> {
    let mut file = File::open(std::env::args().nth(1).unwrap_or_default())?;
    let mut buffer = vec![0; Packet::SIZE * 1400];
    let mut last: Vec<Option<ContinuityCounter>> = vec![None; Pid::PID_COUNT];
    let (mut packets, mut jumps, mut damaged, mut clocks) = (0_u64, 0_u64, 0_u64, 0_u64);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        for packet in buffer[..length].chunks_exact(Packet::SIZE).filter_map(Packet::try_new) {
            packets += 1;
            damaged += u64::from(packet.transport_error_indicator());
            let counter = packet.continuity_counter();
            let slot = &mut last[usize::from(packet.pid())];
            let before = slot.replace(counter);
            if packet.adaptation_control().has_payload() && packet.pid() != Pid::STUFFING {
                jumps += u64::from(before.is_some_and(|before| !counter.follows(before)));
            }
            clocks += u64::from(packet.adaptation_field().is_some_and(|field| field.pcr().is_ok()));
        }
    }
    println!("{packets} packets, {jumps} jumps, {damaged} damaged, {clocks} clocks");
    Ok(())
}
