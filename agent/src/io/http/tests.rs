use super::*;
use crate::io::testing::{Server, Step, impatient, ok, reply};

const LIMIT: usize = 1 << 20;

async fn fetch(server: &Server, path: &str) -> Result<Bytes, FetchError> {
    let mut client = Client::new(impatient());
    let answer = client.get(&server.url(path), None).await?;
    answer.collect(None, LIMIT, Duration::from_secs(2)).await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain).unwrap();
    packed.finish().unwrap()
}

fn script(path: &str) -> Vec<Step> {
    let send = |text: &str| Step::Send(text.as_bytes().to_vec());
    match path {
        "/ok" => ok("media"),
        "/relative/start" => reply("302 Found", "Location: ../ok\r\n", ""),
        "/absolute" => reply("307 Temporary Redirect", "Location: /relative/start\r\n", "moved"),
        "/loop" => reply("302 Found", "Location: /loop\r\n", ""),
        "/nowhere" => reply("301 Moved Permanently", "", ""),
        "/file" => reply("302 Found", "Location: file:///etc/passwd\r\n", ""),
        "/404" => reply("404 Not Found", "", "gone"),
        "/503" => reply("503 Service Unavailable", "", ""),
        "/304" => reply("304 Not Modified", "", ""),
        "/html" => reply("200 OK", "Content-Type: Text/HTML; charset=x\r\n", "<html>"),
        "/hang" => vec![Step::Hang],
        "/early" => vec![Step::Close],
        "/not-http" => vec![send("SSH-2.0-OpenSSH\r\n\r\n"), Step::Close],
        "/truncated" => {
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nmedia"), Step::Close]
        }
        "/half-chunk" => {
            vec![
                send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nmedia"),
                Step::Close,
            ]
        }
        "/gzip" => reply("200 OK", "Content-Encoding: gzip\r\n", gzip(b"media")),
        "/gzip-bomb" => reply("200 OK", "Content-Encoding: gzip\r\n", gzip(&[0; LIMIT + 1])),
        "/gzip-broken" => reply("200 OK", "Content-Encoding: gzip\r\n", "media"),
        "/brotli" => reply("200 OK", "Content-Encoding: br\r\n", "media"),
        "/chunked" => vec![send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nmed\r\n2\r\nia\r\n0\r\n\r\n",
        )],
        "/until-close" => vec![send("HTTP/1.1 200 OK\r\n\r\nmedia"), Step::Close],
        "/stalls" => vec![send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nmedia"), Step::Hang],
        "/drips" => vec![
            send("HTTP/1.1 200 OK\r\n\r\n"),
            Step::Repeat(b"x".to_vec(), Duration::from_millis(50)),
        ],
        "/announced" => {
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), Step::Hang]
        }
        "/endless" => {
            vec![send("HTTP/1.1 200 OK\r\n\r\n"), Step::Repeat(vec![0; 65_536], Duration::ZERO)]
        }
        _ => reply("400 Bad Request", "", ""),
    }
}

#[tokio::test]
async fn every_way_to_fail_has_its_own_words_and_names_no_address() {
    let server = Server::start(|seen, _| script(&seen.path)).await;
    let short = Duration::from_millis(500);
    let media = Ok(Bytes::from("media"));
    let cases = [
        ("/ok", media.clone()),
        ("/relative/start", media.clone()),
        ("/absolute", media.clone()),
        ("/chunked", media.clone()),
        ("/gzip", media.clone()),
        ("/until-close", media),
        ("/gzip-bomb", Err(FetchError::TooLarge(1))),
        ("/gzip-broken", Err(FetchError::Coding)),
        ("/brotli", Err(FetchError::Coding)),
        ("/loop", Err(FetchError::Redirects(5))),
        ("/nowhere", Err(FetchError::BadRedirect(301))),
        ("/file", Err(FetchError::BadRedirect(302))),
        ("/404", Err(FetchError::Status(404))),
        ("/503", Err(FetchError::Status(503))),
        ("/304", Err(FetchError::Status(304))),
        ("/html", Err(FetchError::Html)),
        ("/hang", Err(FetchError::HeaderTimeout(short))),
        ("/early", Err(FetchError::ClosedEarly)),
        ("/not-http", Err(FetchError::NotHttp)),
        ("/truncated", Err(FetchError::Truncated)),
        ("/half-chunk", Err(FetchError::Truncated)),
        ("/stalls", Err(FetchError::BodyTimeout(short))),
        ("/drips", Err(FetchError::TooSlow(Duration::from_secs(2)))),
        ("/announced", Err(FetchError::TooLarge(1))),
        ("/endless", Err(FetchError::TooLarge(1))),
    ];
    for (path, expected) in cases {
        let got = fetch(&server, path).await;
        if let Err(failure) = &got {
            assert!(!failure.to_string().contains("127.0.0.1"), "{failure}");
        }
        assert_eq!(got, expected, "{path}");
    }
}

#[tokio::test]
async fn nobody_there_is_refused_and_a_name_that_is_none_does_not_resolve() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, expected) in [
        (format!("http://127.0.0.1:{port}/"), FetchError::Refused),
        ("http://name.invalid/".to_owned(), FetchError::Resolve),
    ] {
        let url = StreamUrl::new(Url::parse(&url).unwrap()).unwrap();
        let got = Client::new(impatient()).get(&url, None).await.map(|_| ());
        assert_eq!(got, Err(expected));
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_said_to() {
    let talker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = talker.local_addr().unwrap().port();
    let talking = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = talker.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let url = StreamUrl::new(Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap()).unwrap();
    let got = Client::new(impatient()).get(&url, None).await.map(|_| ());
    assert_eq!(got, Err(FetchError::Tls("the server does not speak TLS")));
    talking.abort();
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_a_dead_one_is_replaced() {
    let server = Server::start(|seen, before| {
        let mut steps = script(&seen.path);
        if before == 2 {
            steps.push(Step::Close);
        }
        steps
    })
    .await;
    let mut client = Client::new(impatient());
    for request in 0..5 {
        let answer = client.get(&server.url("/ok"), None).await.unwrap();
        let reused = !matches!(request, 0 | 3);
        assert_eq!(answer.phases.connect.is_none(), reused, "request {request}");
        assert!(answer.phases.first_byte.is_some());
        let body = answer.collect(None, LIMIT, Duration::from_secs(2)).await;
        assert_eq!(body.unwrap(), "media");
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 1]);
}

#[tokio::test]
async fn an_answer_that_is_not_read_does_not_hold_up_the_next() {
    let server = Server::start(|seen, _| script(&seen.path)).await;
    let mut client = Client::new(impatient());
    drop(client.get(&server.url("/endless"), None).await.unwrap());
    let held = client.get(&server.url("/endless"), None).await.unwrap();
    let answer = client.get(&server.url("/ok"), None).await.unwrap();
    assert_eq!(answer.collect(None, LIMIT, Duration::from_secs(2)).await.unwrap(), "media");
    drop(held);
}

#[tokio::test]
async fn the_request_says_who_asks_and_carries_credentials_to_their_origin_alone() {
    let other = Server::start(|_, _| ok("elsewhere")).await;
    let there = format!("Location: {}\r\n", other.url("/there").reveal());
    let server = Server::start(move |seen, _| match seen.path.as_str() {
        "/away" => reply("302 Found", &there, ""),
        _ => reply("302 Found", "Location: /away\r\n", ""),
    })
    .await;
    let source = "127.0.0.9".parse().unwrap();
    let mut client = Client::new(Connector::new(Tls::default(), Some(source)));
    let url = server.url_with("us%40er:p%3Aw@", "/a%20b?token=t");
    client.get(&url, None).await.unwrap();
    let [first, second] = <[_; 2]>::try_from(server.seen()).unwrap();
    assert_eq!(first.path, "/a%20b?token=t");
    assert_eq!(first.peer.ip(), source);
    let agent = format!("user-agent: tallylight/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(first.head.contains(&agent), "{}", first.head);
    let authorization = format!("authorization: Basic {}\r\n", STANDARD.encode("us@er:p:w"));
    assert!(first.head.contains(&authorization), "{}", first.head);
    assert!(second.head.contains(&authorization), "a redirect on the same origin keeps them");
    assert!(!other.seen()[0].head.contains("authorization"), "another origin never sees them");
}

#[tokio::test]
async fn a_range_is_asked_for_and_cut_out_where_the_server_sends_everything() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/partial" => reply("206 Partial Content", "", "234"),
        "/short" => reply("206 Partial Content", "", "23"),
        _ => ok("0123456789"),
    })
    .await;
    let range = Some(ByteRange { offset: 2, length: 3 });
    for (path, expected) in [
        ("/partial", Ok(Bytes::from("234"))),
        ("/whole", Ok(Bytes::from("234"))),
        ("/short", Err(FetchError::Truncated)),
    ] {
        let answer = Client::new(impatient()).get(&server.url(path), range).await.unwrap();
        assert_eq!(answer.collect(range, LIMIT, Duration::from_secs(2)).await, expected, "{path}");
    }
    assert!(server.seen()[0].head.contains("range: bytes=2-4\r\n"));
}
