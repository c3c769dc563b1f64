//! A small load generator for HTTP/1.1: so many connections, each with one request under way.
//!
//! Parts start it through [`Load::run`] as a process of its own, so that its work is on no thread of what is measured.
//! Every answer is read whole and its status compared. Invariant: an answer with another status ends the run with an
//! error: no figure counts refusals.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Cores, Folder, can_pin, own_command};
use crate::{Failure, Outcome};

/// Where a request's number stands; nine characters, as many as the digits that replace it.
pub(crate) const NUMBER: &str = "#########";

const NO_REST: &str = "no-rest";

/// In what order a deck is walked through: by a prime stride, so that every value comes once before one comes again, and
/// neighbours in the file are far apart in time.
const STRIDE: u64 = 2_654_435_761;

/// Values of one width, one after the other in a file, of which every request has the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deck<'a> {
    pub(crate) file: &'a Path,
    pub(crate) width: usize,
}

impl Deck<'_> {
    /// Where a value stands in a request.
    pub(crate) fn place(&self) -> String {
        place(self.width)
    }
}

fn place(width: usize) -> String {
    "#".repeat(width)
}

/// One run of the generator.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    /// The whole request; [`NUMBER`] is replaced by a number that no other request has, the place of the deck by a value.
    pub(crate) request: &'a str,
    /// Where the values of the requests come from, if not from their number.
    pub(crate) deck: Option<Deck<'a>>,
    /// With what the body of every answer must begin.
    pub(crate) begins: &'a str,
    /// What every answer must have.
    pub(crate) status: u16,
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) length: Duration,
    /// The first number, and the one at which to end early.
    pub(crate) numbers: std::ops::Range<u64>,
    pub(crate) cores: Cores,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

impl<'a> Load<'a> {
    /// Reads for so long, on so many connections, each answered with 200.
    pub(crate) fn reads(request: &'a str, address: SocketAddr, connections: usize, length: Duration) -> Self {
        Self {
            request,
            deck: None,
            begins: "",
            status: 200,
            address,
            connections,
            length,
            numbers: 0..u64::MAX,
            cores: Cores::All,
        }
    }

    /// Runs the generator and waits for it.
    pub(crate) fn run(&self, folder: &Folder) -> Outcome<Answered> {
        let file = folder.path().join("request");
        std::fs::write(&file, self.request)?;
        let (deck, width) = self.deck.map_or((Path::new(""), NUMBER.len()), |deck| (deck.file, deck.width));
        let output = own_command(self.cores)?
            .arg("--load")
            .arg(&file)
            .arg(deck)
            .args([&width.to_string(), self.begins])
            .arg(self.address.to_string())
            .args([self.status.to_string(), self.connections.to_string(), self.length.as_millis().to_string()])
            .args([self.numbers.start.to_string(), self.numbers.end.to_string()])
            .arg(if self.cores == Cores::Others && can_pin() { NO_REST } else { "rest" })
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let text = String::from_utf8(output.stdout)?;
        let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [requests, seconds, p50_micros, p99_micros] = figures[..] else {
            return Err("the generator said nothing".into());
        };
        Ok(Answered { requests: requests as u64, per_second: requests / seconds, p50_micros, p99_micros })
    }
}

/// The generator's own process.
pub(crate) fn run(args: &[String]) -> Outcome {
    let [file, deck, width, begins, address, status, connections, millis, first, end, rest] = args else {
        return Err("--load needs eleven".into());
    };
    let request = std::fs::read(Path::new(file))?;
    let plan = Rc::new(Plan {
        varying: Varying::find(&request, deck, width.parse()?)?,
        request,
        begins: begins.clone().into_bytes(),
        head: format!("HTTP/1.1 {status} ").into_bytes(),
        address: address.parse()?,
        until: Cell::new(Instant::now()),
        next: Cell::new(first.parse()?),
        end: end.parse()?,
        micros: RefCell::new(Vec::with_capacity(1 << 20)),
    });
    let connections: usize = connections.parse()?;
    let length = Duration::from_millis(millis.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seconds = tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(plan.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let began = Instant::now();
        plan.until.set(began + length);
        let tasks: Vec<_> =
            streams.into_iter().map(|stream| tokio::task::spawn_local(drive(Rc::clone(&plan), stream))).collect();
        let awake = (rest == NO_REST).then(|| tokio::task::spawn_local(stay_awake()));
        for task in tasks {
            task.await??;
        }
        if let Some(awake) = awake {
            awake.abort();
        }
        Ok::<f64, Failure>(began.elapsed().as_secs_f64())
    })?;
    let mut micros = plan.micros.borrow_mut();
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 100).copied().unwrap_or(0);
    println!("{} {seconds} {} {}", micros.len(), at(50), at(99));
    Ok(())
}

/// Keeps a generator with a core of its own from going to sleep between two answers. Waking it is work of the server's
/// core (in a virtual machine as much as the whole answer), and a server that is too fast to let it sleep never pays.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

struct Plan {
    request: Vec<u8>,
    varying: Option<Varying>,
    /// With what an answer's body must begin.
    begins: Vec<u8>,
    /// With what an answer must begin.
    head: Vec<u8>,
    address: SocketAddr,
    until: Cell<Instant>,
    next: Cell<u64>,
    end: u64,
    micros: RefCell<Vec<u32>>,
}

/// What differs from request to request.
struct Varying {
    at: usize,
    width: usize,
    /// The values of a deck; none where the number itself is the value.
    values: Option<Vec<u8>>,
}

impl Varying {
    fn find(request: &[u8], deck: &str, width: usize) -> Outcome<Option<Self>> {
        let place = place(width);
        let Some(at) = request.windows(width).position(|window| window == place.as_bytes()) else { return Ok(None) };
        let values = if deck.is_empty() { None } else { Some(std::fs::read(deck)?) };
        if values.as_ref().is_some_and(|values| values.len() < width) {
            return Err("a deck without values".into());
        }
        Ok(Some(Self { at, width, values }))
    }

    fn put(&self, number: u64, request: &mut [u8]) {
        let place = &mut request[self.at..self.at + self.width];
        match &self.values {
            None => place.copy_from_slice(format!("{number:09}").as_bytes()),
            Some(values) => {
                let count = (values.len() / self.width) as u64;
                let start = (number % count * STRIDE % count) as usize * self.width;
                place.copy_from_slice(&values[start..start + self.width]);
            }
        }
    }
}

async fn drive(plan: Rc<Plan>, mut stream: TcpStream) -> Outcome {
    let mut request = plan.request.clone();
    let mut answer = vec![0_u8; 256 * 1024];
    let mut shape = None;
    loop {
        let began = Instant::now();
        let number = plan.next.get();
        if began >= plan.until.get() || number >= plan.end {
            return Ok(());
        }
        if let Some(varying) = &plan.varying {
            plan.next.set(number + 1);
            varying.put(number, &mut request);
        }
        stream.write_all(&request).await?;
        let mut got = 0;
        let body = loop {
            let more = stream.read(&mut answer[got..]).await?;
            if more == 0 {
                return Err("the server closed the connection".into());
            }
            got += more;
            if let Some(body) = whole(&answer[..got], &mut shape)? {
                break &answer[body..got];
            }
        };
        if !answer.starts_with(&plan.head) || !body.starts_with(&plan.begins) {
            return Err(format!("another answer than expected:\n{}", String::from_utf8_lossy(&answer[..got])).into());
        }
        plan.micros.borrow_mut().push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}

/// The lengths of an answer's head and of its body.
type Shape = (usize, usize);

/// Where the body begins, if the bytes are a whole answer. Answers of one run mostly have one shape: that of the last is tried first, so
/// that the generator stays cheaper than any server.
fn whole(bytes: &[u8], shape: &mut Option<Shape>) -> Outcome<Option<usize>> {
    if let Some((head, body)) = *shape
        && bytes.len() == head + body
        && bytes[..head].ends_with(b"\r\n\r\n")
    {
        return Ok(Some(head));
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = end + 4;
    let text = std::str::from_utf8(&bytes[..head])?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body: usize = length.ok_or("an answer without content-length")?.1.trim().parse()?;
    *shape = Some((head, body));
    Ok((bytes.len() >= head + body).then_some(head))
}
