use std::net::UdpSocket;

use super::*;
use crate::input::{
    InputSpec,
    rtp::{Fec, FecDirection, RtpCounts},
};

const DEADLINE: Duration = Duration::from_secs(10);

/// A group of its own for each test, so that tests run side by side.
fn spec(url: &str) -> DatagramSpec {
    match InputSpec::parse(url, Some("lo")).unwrap() {
        InputSpec::Datagrams(spec) => spec,
        other => panic!("{other:?}"),
    }
}

/// A port that nobody uses at this moment.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A sender on `lo` with the source address `from`.
fn sender(from: &str) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket
}

struct Receiver {
    rx: mpsc::Receiver<InputEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    fn start(sweeper: &Sweeper, spec: DatagramSpec) -> Self {
        let (tx, rx) = mpsc::channel(1000);
        let sweeper = sweeper.clone();
        let task = tokio::spawn(async move { run(&sweeper, &spec, &tx).await });
        Self { rx, task }
    }

    /// The next event but that nothing came.
    async fn next(&mut self) -> InputEvent {
        let event = async {
            loop {
                match self.rx.recv().await.unwrap() {
                    InputEvent::Quiet { .. } => {}
                    event => return event,
                }
            }
        };
        tokio::time::timeout(DEADLINE, event).await.unwrap()
    }

    /// Collects bytes until the last byte is `end`.
    async fn until(&mut self, end: u8) -> (Vec<u8>, Vec<InputEvent>) {
        let (mut bytes, mut others) = (Vec::new(), Vec::new());
        while bytes.last() != Some(&end) {
            match self.next().await {
                InputEvent::Bytes { data, .. } => bytes.extend_from_slice(&data),
                other => others.push(other),
            }
        }
        (bytes, others)
    }
}

/// Sends `[0]` until the receiver has it, since it joins at a moment of its own.
async fn wait_joined(receiver: &mut Receiver, sender: &Socket, to: SocketAddr) {
    loop {
        sender.send_to(&[0], &to.into()).unwrap();
        let event = tokio::time::timeout(Duration::from_millis(20), receiver.rx.recv()).await;
        match event {
            Ok(Some(InputEvent::Bytes { .. })) => return,
            Ok(None) => panic!("the input ended"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_any_source_group_on_lo_is_received_and_other_groups_stay_out() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let port = free_port();
    let wanted = spec(&format!("udp://239.255.71.1:{port}"));
    let to = wanted.address;
    let other = spec(&format!("udp://239.255.71.2:{port}"));
    let other_to = other.address;
    let mut receiver = Receiver::start(&sweeper, wanted.clone());
    let mut twin = Receiver::start(&sweeper, wanted);
    let mut other = Receiver::start(&sweeper, other);
    let sender = sender("127.0.0.1");
    wait_joined(&mut receiver, &sender, to).await;
    wait_joined(&mut twin, &sender, to).await;
    wait_joined(&mut other, &sender, other_to).await;
    sender.send_to(&[7; 1316], &other_to.into()).unwrap();
    sender.send_to(&[8; 1316], &to.into()).unwrap();
    sender.send_to(&[9], &to.into()).unwrap();
    for receiver in [&mut receiver, &mut twin] {
        let (mut bytes, _) = receiver.until(9).await;
        bytes.retain(|&byte| byte != 0);
        assert_eq!(bytes.len(), 1317, "two agents on one host both get it, and only it");
        assert!(!bytes.contains(&7));
    }
}

#[tokio::test]
async fn a_source_specific_group_lets_one_sender_in() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://127.0.0.2@232.255.71.3:{}", free_port()));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let (right, wrong) = (sender("127.0.0.2"), sender("127.0.0.3"));
    wait_joined(&mut receiver, &right, to).await;
    wrong.send_to(&[7], &to.into()).unwrap();
    right.send_to(&[9], &to.into()).unwrap();
    let (bytes, _) = receiver.until(9).await;
    assert!(!bytes.contains(&7));
}

#[tokio::test]
async fn a_unicast_stream_says_how_long_the_first_byte_took_and_when_bytes_came() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://127.0.0.1:{}", free_port()));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let sender = sender("127.0.0.1");
    let begun = clock::now();
    sender.send_to(&[1], &to.into()).unwrap();
    let opened = loop {
        // A datagram to a port that is not yet open is lost.
        match tokio::time::timeout(Duration::from_millis(20), receiver.next()).await {
            Ok(event) => break event,
            Err(_) => _ = sender.send_to(&[1], &to.into()).unwrap(),
        }
    };
    let InputEvent::Opened { phases, at } = opened else { panic!("{opened:?}") };
    assert!(phases.first_byte.is_some());
    assert!(at >= begun && at <= clock::now());
    let before = clock::now();
    sender.send_to(&[9], &to.into()).unwrap();
    let sent = clock::now();
    let at = loop {
        match receiver.next().await {
            InputEvent::Bytes { at, data } if data.last() == Some(&9) => break at,
            _ => {}
        }
    };
    // The kernel stamps on arrival, which on loopback is within the call that sends.
    let slack = Duration::from_millis(2);
    assert!(at + slack >= before && at <= sent + slack, "{:?}", at.since(before));
}

/// STYLE demands it: reused headers would lose the counter exactly here.
#[test]
fn an_overflowed_socket_says_how_many_datagrams_it_dropped() {
    let spec = spec(&format!("udp://127.0.0.1:{}", free_port()));
    let socket = open(&spec, RECEIVE_BUFFER).unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let sender = sender("127.0.0.1");
    const SENT: u64 = 500;
    for _ in 0..SENT {
        sender.send_to(&[0x47; 1316], &spec.address.into()).unwrap();
    }
    let (tx, mut rx) = mpsc::channel(100);
    let mut slot = Slot::new(socket.into(), Arc::default(), Content::Ts, Outbox::new(tx));
    let mut clock = StampClock::default();
    let mut buffer = vec![0; BATCH * DATAGRAM];
    slot.receive(&mut buffer, &mut clock);
    // The counter comes with the first datagram queued after the overflow.
    sender.send_to(&[9; 1316], &spec.address.into()).unwrap();
    slot.receive(&mut buffer, &mut clock);
    slot.flush(clock::now());
    let (mut bytes, mut dropped) = (0, 0);
    while let Ok(event) = rx.try_recv() {
        match event {
            InputEvent::Bytes { data, .. } => bytes += data.len() as u64,
            InputEvent::Dropped { datagrams, .. } => dropped += datagrams,
            _ => {}
        }
    }
    assert!(dropped > 0);
    assert_eq!(bytes / 1316 + dropped, SENT + 1);
}

#[tokio::test]
async fn a_silent_socket_is_said_to_be_silent_up_to_its_last_sweep() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://239.255.71.7:{}", free_port()));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let sender = sender("127.0.0.1");
    wait_joined(&mut receiver, &sender, to).await;
    while receiver.rx.try_recv().is_ok() {}
    let begun = clock::now();
    let mut looks = Vec::new();
    while looks.len() < 4 {
        let event = tokio::time::timeout(DEADLINE, receiver.rx.recv()).await.unwrap().unwrap();
        match event {
            InputEvent::Quiet { at } => looks.push(at),
            // What was still on its way.
            InputEvent::Bytes { .. } => looks.clear(),
            event => panic!("{event:?}"),
        }
        assert!(looks.iter().all(|at| *at <= clock::now()));
    }
    assert!(looks.windows(2).all(|pair| pair[1].since(pair[0]) >= QUIET_EVERY), "{looks:?}");
    assert!(looks.last().unwrap() > &begun);
}

#[tokio::test]
async fn rtp_is_unpacked_in_order_and_its_losses_are_told() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("rtp://239.255.71.4:{}", free_port()));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let sender = sender("127.0.0.1");
    let packet =
        |sequence: u8, payload: u8| [0x80, 33, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 1, payload];
    let mut joined = false;
    while !joined {
        sender.send_to(&packet(1, 0), &to.into()).unwrap();
        let event = tokio::time::timeout(Duration::from_millis(20), receiver.rx.recv()).await;
        joined = matches!(event, Ok(Some(InputEvent::Bytes { .. })));
    }
    // A sender's report on the same port.
    sender.send_to(&[[0x80, 200, 0, 6].as_slice(), &[7; 24]].concat(), &to.into()).unwrap();
    for (sequence, payload) in [(3, 3), (2, 2), (6, 6), (6, 6), (7, 9)] {
        sender.send_to(&packet(sequence, payload), &to.into()).unwrap();
    }
    let (bytes, others) = receiver.until(9).await;
    assert_eq!(bytes, [2, 3, 6, 9]);
    let mut counts = RtpCounts::default();
    for event in others {
        let InputEvent::Rtp { counts: more, .. } = event else { panic!("{event:?}") };
        counts.add(more);
    }
    assert_eq!((counts.lost, counts.reordered), (2, 1));
    // The sixth, and what was sent until the group was joined.
    assert!(counts.duplicates >= 1, "{counts:?}");
}

#[tokio::test]
async fn datagrams_that_are_framed_in_the_other_way_are_said_to_be_so_once() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let bare = [&[0x47; 188][..], &[9; 188]].concat();
    let rtp = [&[0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1][..], &bare].concat();
    let cases = [("udp", Framing::Ts), ("rtp", Framing::Rtp)];
    for ((scheme, framing), sent) in
        cases.into_iter().flat_map(|it| [&bare, &rtp].map(|sent| (it, sent)))
    {
        let spec = spec(&format!("{scheme}://127.0.0.1:{}", free_port()));
        let to = spec.address;
        let mut receiver = Receiver::start(&sweeper, spec);
        let sender = sender("127.0.0.1");
        let (mut told, mut came) = (Vec::new(), 0);
        let begun = clock::now();
        while came < 5 {
            assert!(clock::now().since(begun) < DEADLINE);
            sender.send_to(sent, &to.into()).unwrap();
            let next = tokio::time::timeout(Duration::from_millis(20), receiver.rx.recv());
            match next.await.map(Option::unwrap) {
                Ok(InputEvent::Framing { found }) => told.push(found),
                // What was received before is a packet by RTP.
                Ok(InputEvent::Bytes { .. } | InputEvent::Rtp { .. }) => came += 1,
                _ => {}
            }
        }
        let found = if sent[0] == 0x47 { Framing::Ts } else { Framing::Rtp };
        let expected: Vec<_> = (found != framing).then_some(found).into_iter().collect();
        assert_eq!(told, expected, "{scheme}");
        receiver.task.abort();
    }
}

#[tokio::test]
async fn error_correction_beside_a_stream_is_seen_and_is_no_part_of_it() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("rtp://239.255.71.9:{}", free_port()));
    let beside = |step| SocketAddr::new(spec.address.ip(), spec.address.port() + step);
    let (columns, rows) = (beside(2), beside(4));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let sender = sender("127.0.0.1");
    let packet = [0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7];
    let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = [0, 9, 5, 36, 0x80 | 33, 0, 0, 0, 1, 2, 3, 4, 0, 5, 20, 0];
    let begun = clock::now();
    let mut seen = None;
    while seen.is_none() {
        assert!(clock::now().since(begun) < DEADLINE);
        sender.send_to(&packet, &to.into()).unwrap();
        sender.send_to(&[&rtp, &header[..], &[9; 1316]].concat(), &columns.into()).unwrap();
        sender.send_to(&packet, &rows.into()).unwrap();
        let event = tokio::time::timeout(Duration::from_millis(20), receiver.rx.recv()).await;
        match event {
            Ok(Some(InputEvent::Fec { fec, packets })) => seen = Some((fec, packets)),
            Ok(Some(InputEvent::Bytes { data, .. })) => assert!(data.iter().all(|it| *it == 7)),
            Ok(None) => panic!("the input ended"),
            _ => {}
        }
    }
    let (fec, packets) = seen.unwrap();
    assert_eq!(fec, Fec { direction: FecDirection::Column, offset: 5, packets: 20 });
    assert!(packets >= 1);
}

#[tokio::test]
async fn how_datagrams_arrive_is_told_by_the_kernels_stamps() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://239.255.71.8:{}", free_port()));
    let to = spec.address;
    let mut receiver = Receiver::start(&sweeper, spec);
    let sender = sender("127.0.0.1");
    wait_joined(&mut receiver, &sender, to).await;
    let mut sent = 0;
    let begun = clock::now();
    let arrival = loop {
        sender.send_to(&[0x47; 188], &to.into()).unwrap();
        sent += 1;
        let event = tokio::time::timeout(Duration::from_millis(3), receiver.rx.recv()).await;
        if let Ok(Some(InputEvent::Arrival { arrival, .. })) = event {
            break arrival;
        }
        assert!(clock::now().since(begun) < DEADLINE);
    };
    let gaps = arrival.gaps;
    assert!((1..=sent).contains(&gaps.count()), "{gaps:?} of {sent}");
    // By when the sockets were swept there would be none of 1 to 5 ms: nothing, or 10 ms.
    assert!(gaps.counts[2] > 0, "{gaps:?}");
    let took = clock::now().since(begun);
    // Of the second the gap at its end is missing, however long this machine makes that.
    assert!(!gaps.sum.is_zero() && gaps.sum <= took + DEADLINE, "{gaps:?}");
    assert_eq!((arrival.delay_factor, arrival.rtp_jitter), (None, None));
}

#[tokio::test]
async fn a_silent_socket_is_opened_anew_and_receives_again() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://239.255.71.6:{}", free_port()));
    let to = spec.address;
    let (tx, mut rx) = mpsc::channel(1000);
    let task = tokio::spawn(async move {
        receive(&sweeper, &spec, &tx, Duration::from_millis(50)).await;
    });
    let sender = sender("127.0.0.1");
    // Each socket says once that it is open, so a second time is a second socket.
    let mut opened = 0;
    let begun = clock::now();
    while opened < 2 {
        assert!(clock::now().since(begun) < DEADLINE);
        sender.send_to(&[1], &to.into()).unwrap();
        // Longer than the socket may be silent, shorter than never.
        let pause = Duration::from_millis(120);
        tokio::time::sleep(pause).await;
        while let Ok(event) = rx.try_recv() {
            opened += usize::from(matches!(event, InputEvent::Opened { .. }));
        }
    }
    task.abort();
}

#[tokio::test]
async fn a_silent_unicast_socket_stays_open() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let spec = spec(&format!("udp://127.0.0.1:{}", free_port()));
    let (tx, mut rx) = mpsc::channel(1000);
    let receiving = receive(&sweeper, &spec, &tx, Duration::from_millis(20));
    let _ = tokio::time::timeout(Duration::from_millis(200), receiving).await;
    while let Ok(event) = rx.try_recv() {
        assert!(matches!(event, InputEvent::Quiet { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn a_missing_interface_is_said_and_the_input_stops_when_told() {
    let sweeper = Sweeper::start(RECEIVE_BUFFER).unwrap();
    let mut spec = spec("udp://239.255.71.5:5000");
    spec.interface = Some("nosuch0".to_owned());
    let mut receiver = Receiver::start(&sweeper, spec);
    let event = receiver.next().await;
    let InputEvent::Condition { kind: FaultKind::Unreachable, holds: true, evidence, .. } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!(evidence, "no interface \"nosuch0\"");
    receiver.task.abort();
    assert!(receiver.task.await.unwrap_err().is_cancelled());
}
