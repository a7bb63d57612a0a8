//! Each flow of a proxy, tested with an echo server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use parlance_chaos::network::{CloseKind, Flow, Proxies};
use parlance_chaos::topology::Route;
use parlance_devstack::Arrow;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are passed on arrive within this time.
const DELIVERY_TIME: Duration = Duration::from_millis(300);

struct ProxiedEcho {
    proxies: Proxies,
    route: Route,
    address: SocketAddr,
    _echo: JoinSet<()>,
}

async fn proxied_echo(callee: &'static str) -> ProxiedEcho {
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
    let proxies = Proxies::new(false);
    let address = proxies.interpose(&arrow).unwrap();
    ProxiedEcho { proxies, route: Route::from_arrow(&arrow, false), address, _echo: echo }
}

impl ProxiedEcho {
    fn set_flow(&self, flow: Flow) {
        self.proxies.set_flow(self.route, flow).unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn expect(stream: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    timeout(TIMEOUT, stream.read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

async fn read_to_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut bytes)).await.unwrap().map(|_| bytes)
}

#[tokio::test]
async fn passing_keeps_all_bytes_and_the_end() {
    let echo = proxied_echo("rooms").await;
    let mut stream = echo.connect().await;
    let text = "x".repeat(3 << 20);
    let (mut from, mut to) = stream.split();
    let writing = async {
        to.write_all(text.as_bytes()).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut echoed = Vec::new();
    let (_, read) = tokio::join!(writing, timeout(TIMEOUT, from.read_to_end(&mut echoed)));
    assert_eq!((read.unwrap().unwrap(), echoed.as_slice()), (text.len(), text.as_bytes()));
}

#[tokio::test]
async fn a_delay_makes_everything_later_and_keeps_its_order() {
    let echo = proxied_echo("rooms").await;
    let mut stream = echo.connect().await;
    echo.set_flow(Flow::Delay(Duration::from_millis(200)));
    let begin = Instant::now();
    write(&mut stream, "one").await;
    expect(&mut stream, "one").await;
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    write(&mut stream, "two").await;
    echo.set_flow(Flow::Pass);
    write(&mut stream, "three").await;
    expect(&mut stream, "twothree").await;
}

#[tokio::test]
async fn a_stall_holds_old_and_new_connections_without_refusing_them() {
    let echo = proxied_echo("rooms").await;
    let mut old = echo.connect().await;
    write(&mut old, "before").await;
    expect(&mut old, "before").await;
    echo.set_flow(Flow::Stall);
    let mut new = echo.connect().await;
    for stream in [&mut old, &mut new] {
        write(stream, "during").await;
        let mut byte = [0];
        assert!(timeout(DELIVERY_TIME, stream.read(&mut byte)).await.is_err());
    }
    echo.set_flow(Flow::Pass);
    expect(&mut old, "during").await;
    expect(&mut new, "during").await;
}

#[tokio::test]
async fn a_cut_ends_open_connections_and_refuses_new_ones_until_it_is_over() {
    let echo = proxied_echo("rooms").await;
    for (close, is_clean) in [(CloseKind::Fin, true), (CloseKind::Reset, false)] {
        let mut old = echo.connect().await;
        write(&mut old, "before").await;
        expect(&mut old, "before").await;
        echo.set_flow(Flow::Refuse);
        echo.proxies.cut(echo.route, close).unwrap();
        assert_eq!(read_to_end(&mut old).await.is_ok(), is_clean);
        assert!(read_to_end(&mut echo.connect().await).await.is_err());
        echo.set_flow(Flow::Pass);
        let mut new = echo.connect().await;
        write(&mut new, "after").await;
        expect(&mut new, "after").await;
    }
}

#[tokio::test]
async fn only_a_publication_is_broken_off_in_the_middle() {
    let echo = proxied_echo("redis").await;
    echo.set_flow(Flow::BreakPublications);
    let mut stream = echo.connect().await;
    write(&mut stream, "PING\r\n").await;
    expect(&mut stream, "PING\r\n").await;
    let publication = "*3\r\n$8\r\nSPUBLISH\r\n$6\r\nroom:5\r\n$5\r\nhello\r\n";
    write(&mut stream, publication).await;
    let echoed = read_to_end(&mut stream).await.unwrap_or_default();
    assert!(echoed.len() < publication.len() && publication.as_bytes().starts_with(&echoed));
    echo.set_flow(Flow::Pass);
    let mut stream = echo.connect().await;
    write(&mut stream, publication).await;
    expect(&mut stream, publication).await;
}

#[tokio::test]
async fn gateways_share_a_proxy_to_messaging_only_if_they_agree_on_owner_replicas() {
    let address = (Ipv4Addr::LOCALHOST, 1).into();
    for owners_agree in [true, false] {
        let proxies = Proxies::new(owners_agree);
        let proxy = |caller_index, callee| {
            let arrow = Arrow { caller: "gateway", caller_index, callee, callee_index: 0, address };
            proxies.interpose(&arrow).unwrap()
        };
        assert_eq!(proxy(0, "messaging") == proxy(1, "messaging"), owners_agree);
        assert_ne!(proxy(0, "auth"), proxy(1, "auth"));
    }
}
