//! Targets that are what a network delivers.

use std::time::Duration;

use tallylight_agent::input::{
    arrival::ArrivalMeter,
    playlist,
    rtp::{Fec, MAX_WAIT, Reorder, RtpCounts, RtpPacket},
};
use tallylight_model::MonoTime;

use crate::input::Input;

/// Datagrams with the time between them: whole ones of any content, or payload behind a right header.
pub(crate) fn rtp(data: &[u8]) {
    let mut input = Input::new(data);
    let mut reorder = Reorder::default();
    let mut meter = ArrivalMeter::default();
    let mut now = MonoTime::ZERO;
    let (mut counts, mut handed) = (RtpCounts::default(), 0);
    let mut next = 0_u16;
    while !input.is_empty() {
        let choice = input.byte();
        now = now + Duration::from_millis(u64::from(choice >> 4));
        let datagram = if choice & 1 == 0 {
            input.piece().to_vec()
        } else {
            next = next.wrapping_add(u16::from(input.byte())).wrapping_sub(4);
            let [high, low] = next.to_be_bytes();
            let header = [0x80, 33, high, low, 0, 0, 0, 0, 0, 0, 0, choice >> 3 & 1];
            [&header, input.piece()].concat()
        };
        if choice & 6 == 6 {
            reorder.forgive(now, u64::from(choice >> 4));
        }
        let _ = Fec::parse(&datagram);
        if let Ok(packet) = RtpPacket::parse(&datagram) {
            assert!(packet.payload.len() + 12 <= datagram.len(), "more payload than bytes");
            meter.handle(now, packet.payload);
            reorder.handle(now, packet);
        }
        reorder.handle_deadline(now);
        counts.add(reorder.take_counts());
        handed += std::iter::from_fn(|| reorder.poll()).count() as u64;
        assert!(handed + counts.duplicates + counts.late <= counts.packets, "{handed}, {counts:?}");
    }
    reorder.handle_deadline(now + MAX_WAIT);
    assert_eq!(reorder.deadline(), None, "something waits for ever");
}

/// A playlist of any content.
pub(crate) fn playlist(data: &[u8]) {
    let reading = playlist::read(data);
    assert!(reading.findings.len() <= playlist::MAX_FINDINGS);
    if let Some(playlist::Playlist::Media(media)) = reading.playlist {
        assert!(media.segments.len() <= playlist::MAX_SEGMENTS);
    }
}
