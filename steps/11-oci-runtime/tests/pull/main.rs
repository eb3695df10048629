#![forbid(unsafe_code)]
//! Claims about `pull`: against a registry that answers as each claim wants it
//! to, and against Debian's.

mod debian;
mod image;
mod server;

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{Terminal, binary, eventually, skip, token};

use debian::Debian;
use image::{Image, architecture, digest, noise, sum};
use server::{Answer, Asked, Server};

testbed::main!(
    a_pull_makes_an_image_and_the_next_one_fetches_what_is_not_whole,
    the_image_of_this_machine_is_taken,
    a_token_is_asked_for_and_shown_to_the_registry_only,
    a_transfer_that_breaks_off_goes_on_where_it_was,
    a_transfer_that_keeps_breaking_off_is_told_and_leaves_nothing_half,
    what_is_not_what_its_digest_says_is_not_kept,
    what_a_registry_refuses_is_told,
    a_manifest_of_100_mb_is_not_read,
    a_registry_that_says_nothing_is_given_up,
    plain_http_is_for_this_machine_only,
    https_is_for_whom_this_machine_trusts,
    a_terminal_shows_how_much_has_come,
    a_pull_that_is_ended_leaves_nothing_half,
    what_else_is_in_the_directory_stays,
    a_name_that_is_none_is_told,
    an_image_of_debians_registry_runs,
    media_types_and_packing_stay_as_they_are,
);

/// A registry, and a directory beside which nothing is left.
struct Shop {
    server: Server,
    place: TempDir,
}

impl Shop {
    fn of(image: &Image) -> Shop {
        Shop::with(image, |_| None)
    }

    /// One that answers some questions in another way.
    fn with<F>(image: &Image, otherwise: F) -> Shop
    where
        F: Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    {
        let image = image.clone();
        let server = Server::start("127.0.0.1", move |asked| {
            otherwise(asked).unwrap_or_else(|| image.answer(asked))
        });
        Shop { server, place: tempfile::tempdir().expect("a directory") }
    }

    fn name(&self) -> String {
        format!("{}/some/box:1", self.server.address)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn pull(&self) -> Command {
        pull(&self.name(), &self.path("image"))
    }

    fn pulled(&self) {
        pulled(&mut self.pull(), &self.path("image"));
    }

    fn refused(&self, words: &[&str]) {
        refused(&mut self.pull(), &self.path("image"), words);
    }
}

fn pull(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(binary("11-oci-runtime"));
    command.arg("pull").arg(name).arg(directory).stdin(Stdio::null());
    // Nobody is there, and what is on this machine needs none.
    for proxy in PROXIES {
        command.env(proxy, "http://127.0.0.1:1");
        command.env(proxy.to_uppercase(), "http://127.0.0.1:1");
    }
    command
}

const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

fn without_proxy(pull: &mut Command) -> &mut Command {
    for proxy in PROXIES {
        pull.env_remove(proxy).env_remove(proxy.to_uppercase());
    }
    pull
}

/// It succeeds, and says nothing.
fn pulled(pull: &mut Command, directory: &Path) {
    let output = pull.output().expect("pull");
    assert!(output.status.success(), "{output:?}");
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    whole_blobs(directory);
    assert!(directory.join("oci-layout").is_file());
    let names = fs::read_dir(directory).expect("read").count();
    assert_eq!(names, 3, "in {directory:?}");
}

/// It says these words, and there is no image; what is there is whole.
fn refused(pull: &mut Command, directory: &Path, words: &[&str]) {
    let output = pull.output().expect("pull");
    assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told}");
    }
    assert!(!told.contains('\x1b'), "{told:?}");
    assert_eq!(told.lines().count(), 1, "{told}");
    no_image(directory);
}

fn no_image(directory: &Path) {
    whole_blobs(directory);
    for entry in fs::read_dir(directory).into_iter().flatten() {
        assert_eq!(entry.expect("an entry").file_name(), "blobs");
    }
}

/// The digests of all blobs in a directory, each of which is what it says.
fn whole_blobs(directory: &Path) -> Vec<String> {
    let blobs = fs::read_dir(directory.join("blobs/sha256"));
    let blobs = blobs.into_iter().flatten().map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        assert_eq!(sum(&fs::read(&path).expect("a blob")), name);
        format!("sha256:{name}")
    });
    blobs.collect()
}

fn json_in(file: &Path) -> Value {
    let text = fs::read(file).unwrap_or_else(|why| panic!("{file:?}: {why}"));
    serde_json::from_slice(&text).expect("JSON")
}

/// What the blob is that a descriptor names.
fn blob_in(directory: &Path, blob: &Value) -> PathBuf {
    let name = digest(blob).trim_start_matches("sha256:");
    directory.join("blobs/sha256").join(name)
}

/// Two layers: of a word, and of what takes several packets.
fn an_image(word: &str) -> Image {
    let noise = noise(word, 300_000);
    let layers: [&[(&str, &[u8])]; 2] =
        [&[("word", word.as_bytes())], &[("noise", &noise)]];
    Image::new(&["sh"], &layers)
}

/// What the second layer is asked for, and answered.
fn for_noise(
    image: &Image,
    answer: impl Fn(&Asked, &[u8]) -> Option<Answer> + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static {
    let layer = image.layers[1].clone();
    let bytes = image.bytes(&layer).to_owned();
    move |asked| {
        let is_it = asked.blob() == Some(digest(&layer));
        is_it.then(|| answer(asked, &bytes)).flatten()
    }
}

fn a_pull_makes_an_image_and_the_next_one_fetches_what_is_not_whole() {
    let word = token();
    let image = an_image(&word);
    let shop = Shop::of(&image);
    shop.pulled();
    let all = [&image.config, &image.layers[0], &image.layers[1]];
    assert_eq!(shop.server.blobs(), all.map(digest));
    let index = json_in(&shop.path("image/index.json"));
    let page = &index["manifests"][0];
    assert_eq!(digest(page), digest(&image.page));
    assert_eq!(page["annotations"]["io.containerd.image.name"], shop.name());
    let mut unpack = Command::new(binary("11-oci-runtime"));
    unpack.arg("unpack").arg(shop.path("image")).arg(shop.path("bundle"));
    assert!(unpack.status().expect("unpack").success());
    let file = fs::read_to_string(shop.path("bundle/layers/1/word"));
    assert_eq!(file.expect("a file of its first layer"), word);
    shop.pulled();
    assert_eq!(shop.server.blobs().len(), 3);
    let blob = blob_in(&shop.path("image"), &image.layers[1]);
    let mut bytes = fs::read(&blob).expect("a blob");
    bytes[1000] ^= 1;
    fs::write(blob, bytes).expect("write");
    shop.pulled();
    assert_eq!(shop.server.blobs()[3..], [digest(&image.layers[1])]);
}

fn the_image_of_this_machine_is_taken() {
    let (ours, other) = (an_image(&token()), an_image(&token()));
    let pages = [(&other.page, "m68k"), (&ours.page, architecture())];
    let shop = Shop::of(&ours.clone().listed(&pages).and(&other));
    shop.pulled();
    let index = json_in(&shop.path("image/index.json"));
    assert_eq!(digest(&index["manifests"][0]), digest(&ours.page));
    let asked = shop.server.blobs();
    assert!(!asked.contains(&digest(&other.config).to_owned()));
    let image = other.clone().listed(&[(&other.page, "m68k")]);
    let words = format!("there is none of it for linux/{}", architecture());
    Shop::of(&image).refused(&[&words]);
}

fn a_token_is_asked_for_and_shown_to_the_registry_only() {
    let image = an_image(&token());
    let (first, second) = (token(), token());
    // The second one is called by its other name.
    let (given, later) = (AtomicUsize::new(0), second.clone());
    let one = first.clone();
    let tokens = Server::start("127.0.0.1", move |_| {
        let token = match given.fetch_add(1, Ordering::SeqCst) {
            0 => json!({ "token": one, "access_token": one }),
            _ => json!({ "access_token": later }),
        };
        Answer::new(200, token.to_string())
    });
    let its = image.clone();
    let storage = Server::start("127.0.0.1", move |asked| its.answer(asked));
    let (token_server, behind) = (tokens.address, storage.address);
    let questions = AtomicUsize::new(0);
    let shop = Shop::with(&image, move |asked| {
        // After three answers, the first token is too old.
        let nth = questions.fetch_add(1, Ordering::SeqCst);
        let token = if nth < 4 { &first } else { &second };
        let bearer = format!("Bearer {token}");
        if asked.header("authorization") != Some(&bearer) {
            let challenge = format!(
                "Bearer realm=\"http://{token_server}/token?a=b\",\
                 service=\"the shop\",scope=\"repository:some/box:pull\""
            );
            let refusal = Answer::new(401, "");
            return Some(refusal.with("WWW-Authenticate", challenge));
        }
        let blob = asked.blob()?;
        let to = format!("http://{behind}/x/blobs/{blob}");
        Some(Answer::new(307, "").with("Location", to))
    });
    shop.pulled();
    let asked: Vec<_> = tokens.asked().into_iter().map(|it| it.path).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for word in ["a=b", "service=the%20shop", "scope=repository", "pull"] {
        assert!(asked[0].contains(word), "{word}: {asked:?}");
    }
    assert_eq!(storage.blobs().len(), 3);
    for asked in storage.asked() {
        assert_eq!(asked.header("authorization"), None);
    }
}

fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let image = an_image(&token());
    let goes_on = for_noise(&image, |asked, bytes| {
        let is_first = asked.header("range").is_none();
        is_first.then(|| Answer::new(200, bytes).cut(100_000))
    });
    let shop = Shop::with(&image, goes_on);
    shop.pulled();
    let ranges: Vec<_> = shop.server.asked();
    let ranges = ranges.iter().filter_map(|it| it.header("range"));
    assert_eq!(ranges.collect::<Vec<_>>(), ["bytes=100000-"]);
    // Not each server can do that: it begins anew.
    let times = AtomicUsize::new(0);
    let anew = for_noise(&image, move |_, bytes| {
        let is_first = times.fetch_add(1, Ordering::SeqCst) == 0;
        let answer = Answer::new(200, bytes);
        Some(if is_first { answer.cut(100_000) } else { answer })
    });
    Shop::with(&image, anew).pulled();
}

fn a_transfer_that_keeps_breaking_off_is_told_and_leaves_nothing_half() {
    let image = an_image(&token());
    let layer = digest(&image.layers[1]).to_owned();
    let broken = for_noise(&image, |asked, bytes| {
        let from = asked.header("range").map_or(0, |it| {
            let it = it.trim_start_matches("bytes=").trim_end_matches('-');
            it.parse().expect("a number")
        });
        let status = if from == 0 { 200 } else { 206 };
        Some(Answer::new(status, &bytes[from..]).cut(10))
    });
    let shop = Shop::with(&image, broken);
    let length = image.bytes(&image.layers[1]).len();
    let count = format!("50 of its {length} bytes came");
    shop.refused(&[&layer, &count, "goes on from there"]);
    let mut left = whole_blobs(&shop.path("image"));
    left.sort();
    let mut whole = [&image.config, &image.layers[0]].map(digest);
    whole.sort_unstable();
    assert_eq!(left, whole);
    let good = Shop::of(&image);
    pulled(&mut pull(&good.name(), &shop.path("image")), &shop.path("image"));
    assert_eq!(good.server.blobs(), [layer]);
    // Where nothing is whole, nothing is left.
    let cut = |_: &Asked| Some(Answer::new(200, [b' '; 100]).cut(10));
    let shop = Shop::with(&image, cut);
    shop.refused(&["manifest 1"]);
    assert!(!shop.path("image").exists());
}

fn what_is_not_what_its_digest_says_is_not_kept() {
    let image = an_image(&token());
    let forged = |change: fn(&mut Vec<u8>)| {
        for_noise(&image, move |_, bytes| {
            let mut bytes = bytes.to_owned();
            change(&mut bytes);
            Some(Answer::new(200, bytes))
        })
    };
    let layer = digest(&image.layers[1]);
    let shop = Shop::with(&image, forged(|bytes| bytes[1000] ^= 1));
    shop.refused(&[layer, "what came is sha256:", "forged"]);
    assert!(!blob_in(&shop.path("image"), &image.layers[1]).exists());
    let shop = Shop::with(&image, forged(|bytes| bytes.push(0)));
    shop.refused(&[layer, "it has more than its"]);
    let shop = Shop::with(&image, forged(|bytes| bytes.truncate(1000)));
    shop.refused(&[layer, "1000 of its", "it was cut short"]);
    // The first page has a name, too, where a list has named it.
    let other = an_image(&token());
    let page = digest(&image.page).to_owned();
    let listed = image.clone().listed(&[(&image.page, architecture())]);
    let lie = move |asked: &Asked| {
        let is_it = asked.path.ends_with(&page);
        is_it.then(|| {
            let answer = Answer::new(200, other.bytes(&other.page));
            answer.with("Content-Type", image::MANIFEST)
        })
    };
    Shop::with(&listed, lie).refused(&["what came is sha256:", "forged"]);
}

fn what_a_registry_refuses_is_told() {
    let image = an_image(&token());
    let says = |answer: fn() -> Answer, words: &[&str]| {
        let shop = Shop::with(&image, move |asked| {
            asked.path.contains("/manifests/").then(answer)
        });
        shop.refused(words);
        assert!(!shop.path("image").exists());
    };
    let basic = || {
        let refusal = Answer::new(401, "");
        refusal.with("WWW-Authenticate", "Basic realm=\"shop\"")
    };
    says(basic, &["a name and a password", "skopeo copy"]);
    says(|| Answer::new(403, ""), &["403", "no such image, or"]);
    const MESSAGE: &str = r#"{"errors":[{"message":"\u001b[31mthe\nwords"}]}"#;
    let said = r"\u{1b}[31mthe\nwords";
    says(
        || Answer::new(404, MESSAGE),
        &["404 Not Found", said, "no such image, or none of this version"],
    );
    let later = || Answer::new(429, "").with("Retry-After", "7");
    says(later, &["429", "wait 7 s"]);
    says(|| Answer::new(429, ""), &["429", "wait a while"]);
    says(|| Answer::new(503, "<html>"), &["503", "try again later"]);
    let page = || Answer::new(200, "<html>").with("Content-Type", "text/html");
    says(page, &["\"text/html\" is no manifest of an image"]);
    let rubbish =
        || Answer::new(200, "{}").with("Content-Type", image::MANIFEST);
    says(rubbish, &["this is no application/vnd.oci.image.manifest"]);
    let around = || Answer::new(302, "").with("Location", "/v2/manifests/1");
    says(around, &["too many redirects"]);
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = nobody.local_addr().expect("its address");
    drop(nobody);
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path().join("image");
    let mut pull = pull(&format!("{address}/box"), &place);
    refused(&mut pull, &place, &["/v2/box/manifests/latest", "ECONNREFUSED"]);
}

fn a_manifest_of_100_mb_is_not_read() {
    let shop = Shop::with(&an_image(&token()), |_| {
        let answer = Answer::new(200, vec![b' '; 100 << 20]);
        Some(answer.with("Content-Type", image::MANIFEST))
    });
    shop.refused(&["manifest 1: it has more than 4194304 bytes"]);
    eventually("the end of the line", || {
        (shop.server.unheard() == 1).then_some(())
    });
    assert!(!shop.path("image").exists());
}

fn a_registry_that_says_nothing_is_given_up() {
    let image = an_image(&token());
    let gives_up = |shop: &Shop| {
        let directory = shop.path("image");
        let words = ["nothing came for 1 s (--timeout"];
        let mut pull = shop.pull();
        refused(pull.args(["--timeout", "1"]), &directory, &words);
    };
    gives_up(&Shop::with(&image, |_| Some(Answer::none())));
    let then_nothing = for_noise(&image, |asked, bytes| {
        Some(match asked.header("range") {
            None => Answer::new(200, bytes).cut(1000).hanging(),
            Some(_) => Answer::none(),
        })
    });
    gives_up(&Shop::with(&image, then_nothing));
}

fn plain_http_is_for_this_machine_only() {
    let image = an_image(&token());
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path().join("image");
    let server = |host| {
        let image = image.clone();
        Server::start(host, move |asked| image.answer(asked))
    };
    // All of 127.0.0.0/8 is this machine.
    let near = server("127.1.2.3").address;
    pulled(&mut pull(&format!("{near}/box:1"), &place), &place);
    fs::remove_dir_all(&place).expect("rm");
    let port = server("127.0.0.1").address.port();
    pulled(&mut pull(&format!("localhost:{port}/box:1"), &place), &place);
    fs::remove_dir_all(&place).expect("rm");
    const PLAIN: &str = "plain HTTP is for this machine only";
    let far = server("127.0.0.1");
    let mut pull = pull(&format!("{}/box:1", elsewhere(&far)), &place);
    refused(without_proxy(&mut pull), &place, &["no HTTPS", PLAIN]);
    assert!(far.asked().iter().all(|it| it.path == "not HTTP"));
    let address = elsewhere(&far);
    let leads_there = move |asked: &Asked| {
        let to = format!("http://{address}{}", asked.path);
        Some(Answer::new(307, "").with("Location", to))
    };
    Shop::with(&image, leads_there).refused(&["it leads to", PLAIN]);
    let far = server("127.0.0.1");
    let address = elsewhere(&far);
    let believes_it = move |_: &Asked| {
        let challenge = format!("Bearer realm=\"http://{address}/token\"");
        let refusal = Answer::new(401, "");
        Some(refusal.with("WWW-Authenticate", challenge))
    };
    Shop::with(&image, believes_it).refused(&["a token", PLAIN]);
    assert!(far.asked().is_empty(), "{:?}", far.asked());
}

/// By an address that leads to this machine, and that no rule knows as its own.
fn elsewhere(server: &Server) -> String {
    format!("0.0.0.0:{}", server.address.port())
}

fn https_is_for_whom_this_machine_trusts() {
    let image = an_image(&token());
    let place = tempfile::tempdir().expect("a directory");
    let [directory, ca] = ["image", "ca"].map(|it| place.path().join(it));
    let secure = |name| {
        let (tls, image) = (certified(place.path(), name), image.clone());
        let answers = move |asked: &Asked| image.answer(asked);
        Server::speaking(Some(tls), "127.0.0.1", answers)
    };
    let from = |server: &Server| {
        let name = format!("{}/box:1", elsewhere(server));
        let mut pull = pull(&name, &directory);
        without_proxy(&mut pull);
        pull
    };
    let server = secure("IP:0.0.0.0");
    refused(&mut from(&server), &directory, &["UnknownIssuer"]);
    pulled(from(&server).env("SSL_CERT_FILE", &ca), &directory);
    fs::remove_dir_all(&directory).expect("rm");
    // Its certificate is for somebody else.
    let mut pull = from(&secure("IP:192.0.2.1"));
    pull.env("SSL_CERT_FILE", &ca);
    refused(&mut pull, &directory, &["certificate not valid for name"]);
}

/// With a certificate for a name, by a new authority: its own is the file `ca`.
fn certified(place: &Path, name: &str) -> Arc<ServerConfig> {
    let make = |words: &str| {
        let words = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes {words}"
        );
        let mut openssl = Command::new("openssl");
        openssl.args(words.split(' ')).current_dir(place).stdin(Stdio::null());
        let output = openssl.output().unwrap_or_else(|_| skip("needs openssl"));
        assert!(output.status.success(), "{words}: {output:?}");
    };
    make("-subj /CN=ca -keyout ca-key -out ca");
    make(&format!(
        "-subj /CN=box -keyout key -out box -CA ca -CAkey ca-key \
         -addext subjectAltName={name} -addext basicConstraints=critical,CA:false"
    ));
    let [key, certificate] = ["key", "box"].map(|it| place.join(it));
    let certificate = CertificateDer::from_pem_file(certificate);
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key);
    Arc::new(config.expect("a certificate and its key"))
}

fn a_terminal_shows_how_much_has_come() {
    let image = an_image(&token());
    let shop = Shop::of(&image);
    let mut terminal = Terminal::start(shop.pull());
    terminal.shows("of 0.3 MB");
    let (status, _) = terminal.finish();
    assert_eq!(status, 0);
}

fn a_pull_that_is_ended_leaves_nothing_half() {
    let image = an_image(&token());
    let hangs = for_noise(&image, |_, bytes| {
        Some(Answer::new(200, bytes).cut(1000).hanging())
    });
    let shop = Shop::with(&image, hangs);
    let directory = shop.path("image");
    let begun = || {
        let pull = shop.pull().stderr(Stdio::null()).spawn().expect("pull");
        eventually("half a blob", || {
            let half = fs::metadata(directory.join(".pull")).ok()?;
            (half.len() == 1000).then_some(())
        });
        pull
    };
    let end = |mut pull: Child, signal: Signal| {
        kill(Pid::from_raw(pull.id() as i32), signal).expect("kill");
        let status = pull.wait().expect("its end");
        assert_eq!(status.signal(), Some(signal as i32));
    };
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        end(begun(), signal);
        no_image(&directory);
    }
    // One at a time.
    let first = begun();
    let output = shop.pull().output().expect("pull");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("another pull is at work there"), "{told}");
    assert!(directory.join(".pull").exists());
    // Nobody cleans up after this one but the next.
    end(first, Signal::SIGKILL);
    let good = Shop::of(&image);
    pulled(&mut pull(&good.name(), &directory), &directory);
}

fn what_else_is_in_the_directory_stays() {
    let shop = Shop::of(&an_image(&token()));
    let directory = shop.path("image");
    fs::create_dir(&directory).expect("mkdir");
    fs::write(directory.join("letter"), "x").expect("write");
    let output = shop.pull().output().expect("pull");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("\"letter\", which is no image's"), "{told}");
    assert_eq!(fs::read_dir(&directory).expect("read").count(), 1);
    // Nor what a link leads to.
    fs::remove_file(directory.join("letter")).expect("rm");
    let victim = shop.path("victim");
    fs::write(&victim, "x").expect("write");
    symlink(&victim, directory.join(".pull")).expect("a link");
    shop.pulled();
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "x");
    // Nor another image, whatever has made it.
    let index = fs::read(directory.join("index.json")).expect("an index");
    let name = format!("{}/other:1", shop.server.address);
    let output = pull(&name, &directory).output().expect("pull");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("has another image (\"127.0.0.1"), "{told}");
    assert_eq!(fs::read(directory.join("index.json")).ok(), Some(index));
    let others = shop.path("others");
    an_image(&token()).write(&others);
    let output = pull(&shop.name(), &others).output().expect("pull");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("has another image"), "{told}");
    File::open(others.join("oci-layout")).expect("its first file");
}

fn a_name_that_is_none_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path().join("image");
    for name in [
        "",
        "a b",
        "-box",
        "box:",
        "127.0.0.1:1/",
        "127.0.0.1:1/../box",
        "127.0.0.1:1/box?x",
        "http://127.0.0.1:1/box",
        "me@127.0.0.1:1/box",
    ] {
        let mut pull = pull("--", Path::new(name));
        refused(pull.arg(&place), &place, &["names no image"]);
    }
    let mut pull = pull("127.0.0.1:1/box@sha256:12", &place);
    refused(&mut pull, &place, &["no sha256 digest"]);
    assert!(!place.exists());
}

fn an_image_of_debians_registry_runs() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name| place.path().join(name);
    let debian = Debian::start(place.path());
    let (word, busybox) = (token(), debian.busybox());
    let layers: [&[(&str, &[u8])]; 2] = [
        &[("bin/busybox", &busybox), ("bin/sh", b"")],
        &[("word", word.as_bytes())],
    ];
    let image = Image::new(&["/bin/sh", "-c", "busybox cat /word"], &layers);
    image.write(&path("made"));
    let from = format!("oci:{}", path("made").display());
    let name = format!("{}/some/box:1", debian.address);
    debian.copy(&[], &from, &format!("docker://{name}"));
    pulled(&mut pull(&name, &path("image")), &path("image"));
    let runtime = |words: &[&Path]| {
        let mut runtime = Command::new(binary("11-oci-runtime"));
        runtime.arg("--root").arg(path("state")).args(words);
        let output = runtime.stdin(Stdio::null()).output().expect("start");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let [image, bundle] = ["image", "bundle"].map(path);
    runtime(&["unpack".as_ref(), &image, &bundle]);
    let id = token();
    let words = ["run", "--bundle"].map(Path::new);
    let said = runtime(&[words[0], words[1], &bundle, id.as_ref()]);
    assert_eq!(said, word);
}

fn media_types_and_packing_stay_as_they_are() {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    let from = |place: &str| {
        let (kind, name) = place.split_once(':').expect("a kind");
        format!("{kind}:{}", path(name).display())
    };
    let debian = Debian::start(place.path());
    let (ours, other) = (an_image(&token()), an_image(&token()));
    let pages = [(&other.page, "m68k"), (&ours.page, architecture())];
    ours.write(&path("one"));
    // skopeo packs only what is not packed.
    let unpacked = ["--dest-decompress"];
    debian.copy(&unpacked, &from("oci:one"), &from("dir:plain"));
    ours.clone().listed(&pages).and(&other).write(&path("list"));
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let oci = "application/vnd.oci.image.layer.v1.tar";
    let zstd = ["--format=oci", "--dest-compress-format=zstd"];
    let cases: [(&str, &[&str], &str, &[u8]); 5] = [
        ("oci:one", &["--format=oci"], &format!("{oci}+gzip"), &GZIP),
        ("oci:one", &["--format=v2s2"], docker, &GZIP),
        ("dir:plain", &zstd, &format!("{oci}+zstd"), &ZSTD),
        ("oci:list", &["--all", "--format=oci"], &format!("{oci}+gzip"), &GZIP),
        ("oci:list", &["--all", "--format=v2s2"], docker, &GZIP),
    ];
    for (nth, (made, options, kind, magic)) in cases.into_iter().enumerate() {
        let name = format!("{}/box:{nth}", debian.address);
        debian.copy(options, &from(made), &format!("docker://{name}"));
        let image = place.path().join(format!("image-{nth}"));
        pulled(&mut pull(&name, &image), &image);
        let index = json_in(&image.join("index.json"));
        let page = json_in(&blob_in(&image, &index["manifests"][0]));
        let layers = page["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), 2, "{options:?}");
        for layer in layers {
            assert_eq!(layer["mediaType"], kind, "{options:?}");
            let bytes = fs::read(blob_in(&image, layer)).expect("a layer");
            assert!(bytes.starts_with(magic), "{options:?}");
        }
        assert_eq!(whole_blobs(&image).len(), 4, "{options:?}");
    }
}
