//! Each flow does what it says, to a server that sends everything back.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;

const SOON: Duration = Duration::from_secs(5);
/// What flows at all flows within this time.
const WHILE: Duration = Duration::from_millis(300);

struct Way {
    links: Links,
    route: Route,
    address: SocketAddr,
    _echo: JoinSet<()>,
}

async fn way(callee: &'static str) -> Way {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                // A connection that is cut ends with an error.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    let arrow = Arrow { caller: "gateway", caller_index: 0, callee, callee_index: 1, address };
    let links = Links::new(false);
    let address = links.interpose(&arrow).unwrap();
    Way { links, route: Route::of(&arrow, false), address, _echo: echo }
}

impl Way {
    fn set(&self, flow: Flow) {
        self.links.set(self.route, flow).unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(SOON, stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

/// What comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap().map(|_| rest)
}

#[tokio::test]
async fn passing_keeps_bytes_and_ends() {
    let way = way("rooms").await;
    let mut stream = way.connect().await;
    let text = "x".repeat(3 << 20);
    let (mut from, mut to) = stream.split();
    let sent = async {
        to.write_all(text.as_bytes()).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (_, read) = tokio::join!(sent, timeout(SOON, from.read_to_end(&mut heard)));
    assert_eq!((read.unwrap().unwrap(), heard.as_slice()), (text.len(), text.as_bytes()));
}

#[tokio::test]
async fn a_delay_makes_everything_later_and_keeps_its_order() {
    let way = way("rooms").await;
    let mut stream = way.connect().await;
    way.set(Flow::Delay(Duration::from_millis(200)));
    let begin = Instant::now();
    say(&mut stream, "one").await;
    hear(&mut stream, "one").await;
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    say(&mut stream, "two").await;
    way.set(Flow::Pass);
    say(&mut stream, "three").await;
    hear(&mut stream, "twothree").await;
}

#[tokio::test]
async fn a_stall_holds_old_and_new_connections_without_refusing_them() {
    let way = way("rooms").await;
    let mut old = way.connect().await;
    say(&mut old, "before").await;
    hear(&mut old, "before").await;
    way.set(Flow::Stall);
    let mut new = way.connect().await;
    for stream in [&mut old, &mut new] {
        say(stream, "during").await;
        let mut byte = [0];
        assert!(timeout(WHILE, stream.read(&mut byte)).await.is_err());
    }
    way.set(Flow::Pass);
    hear(&mut old, "during").await;
    hear(&mut new, "during").await;
}

#[tokio::test]
async fn a_cut_ends_what_is_open_and_refuses_what_is_new_until_it_is_healed() {
    let way = way("rooms").await;
    for (ending, is_clean) in [(Shutdown::Close, true), (Shutdown::Reset, false)] {
        let mut old = way.connect().await;
        say(&mut old, "before").await;
        hear(&mut old, "before").await;
        way.set(Flow::Refuse);
        way.links.cut(way.route, ending).unwrap();
        assert_eq!(rest(&mut old).await.is_ok(), is_clean);
        assert!(rest(&mut way.connect().await).await.is_err());
        way.set(Flow::Pass);
        let mut new = way.connect().await;
        say(&mut new, "after").await;
        hear(&mut new, "after").await;
    }
}

#[tokio::test]
async fn a_publication_is_broken_off_in_the_middle_and_nothing_else_is() {
    let way = way("redis").await;
    way.set(Flow::BreakPublications);
    let mut stream = way.connect().await;
    say(&mut stream, "PING\r\n").await;
    hear(&mut stream, "PING\r\n").await;
    let publication = "*3\r\n$8\r\nSPUBLISH\r\n$6\r\nroom:5\r\n$5\r\nhello\r\n";
    say(&mut stream, publication).await;
    // What came back of it, if anything did, is only a part.
    let echoed = rest(&mut stream).await.unwrap_or_default();
    assert!(echoed.len() < publication.len() && publication.as_bytes().starts_with(&echoed));
    way.set(Flow::Pass);
    let mut stream = way.connect().await;
    say(&mut stream, publication).await;
    hear(&mut stream, publication).await;
}

#[tokio::test]
async fn gateways_share_the_way_to_a_replica_of_messaging_only_when_they_agree_on_homes() {
    let address = (Ipv4Addr::LOCALHOST, 1).into();
    for homes_agree in [true, false] {
        let links = Links::new(homes_agree);
        let told = |caller_index, callee| {
            let arrow = Arrow { caller: "gateway", caller_index, callee, callee_index: 0, address };
            links.interpose(&arrow).unwrap()
        };
        assert_eq!(told(0, "messaging") == told(1, "messaging"), homes_agree);
        assert_ne!(told(0, "auth"), told(1, "auth"));
    }
}
