use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use rustls::pki_types::UnixTime;

use super::files::Reloadable;
use super::*;

/// A directory of its own for the keys of one test, removed at the end.
struct Keys(PathBuf);

impl Keys {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("dispatch-keys-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let output = command.current_dir(&self.0).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A key and a self-signed certificate for it.
    fn pair(&self, name: &str) -> (String, String) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
             -subj /CN={name} -keyout {name}.key -out {name}.crt"
        ));
        (self.read(&format!("{name}.key")), self.read(&format!("{name}.crt")))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn configure(key: Option<&str>, certificate: Option<&str>) -> Result<(), ParameterFault> {
    device_config(key, certificate, None, &mut SelfSigned::default()).map(|_| ())
}

fn assert_fault(result: Result<(), ParameterFault>, parameter: &str, words: &str) {
    let fault = result.unwrap_err();
    assert_eq!(fault.parameter, parameter);
    assert!(fault.message.contains(words), "{}", fault.message);
}

#[test]
fn every_kind_of_key_gets_a_certificate() {
    let keys = Keys::new("kinds");
    for (how, begins) in [
        ("genrsa -traditional -out key 2048", "-----BEGIN RSA PRIVATE KEY"),
        ("genrsa -out key 2048", "-----BEGIN PRIVATE KEY"),
        ("ecparam -genkey -name prime256v1 -out key", "-----BEGIN EC PARAMETERS"),
        ("ecparam -genkey -noout -name secp384r1 -out key", "-----BEGIN EC PRIVATE KEY"),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key", "-----BEGIN PRIVATE"),
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key", "-----BEGIN PRIVATE"),
        ("genpkey -algorithm ed25519 -out key", "-----BEGIN PRIVATE KEY"),
    ] {
        keys.openssl(how);
        let key = keys.read("key");
        assert!(key.starts_with(begins), "{how}");
        configure(Some(&key), None).expect(how);
        let made = self_signed(parse_key(key.as_bytes()).unwrap()).unwrap();
        fs::write(keys.path("made.der"), &made.cert[0]).unwrap();
        keys.openssl("x509 -inform der -in made.der -out made.crt");
        keys.openssl("verify -CAfile made.crt made.crt");
        configure(Some(&key), Some(&keys.read("made.crt"))).expect(how);
    }
}

#[test]
fn the_certificate_of_the_process_is_made_once() {
    let mut own = SelfSigned::default();
    assert!(matches!(own, SelfSigned::Unmade));
    device_config(None, None, None, &mut own).unwrap();
    let (first, second) = (own.get().unwrap(), own.get().unwrap());
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_pair_is_taken_with_its_chain() {
    let keys = Keys::new("chain");
    let (key, certificate) = keys.pair("one");
    let (_, other) = keys.pair("two");
    configure(Some(&key), Some(&certificate)).unwrap();
    configure(Some(&key), Some(&format!("{certificate}\n{other}"))).unwrap();
    let mismatch = configure(Some(&key), Some(&format!("{other}{certificate}")));
    assert_fault(mismatch, "certificate", "belongs to another key");
}

#[test]
fn what_cannot_be_used_is_named() {
    let keys = Keys::new("faults");
    let (key, certificate) = keys.pair("one");
    keys.openssl("genrsa -out small 1024");
    keys.openssl("pkcs8 -topk8 -in one.key -passout pass:secret -out locked");
    let cut = &key[..key.len() / 2];
    assert_fault(configure(None, Some(&certificate)), "private_key", "missing");
    assert_fault(configure(Some(""), None), "private_key", "no private key");
    assert_fault(configure(Some(&certificate), None), "private_key", "no private key");
    assert_fault(configure(Some(cut), None), "private_key", "damaged");
    assert_fault(configure(Some(&keys.read("small")), None), "private_key", "2048");
    assert_fault(configure(Some(&keys.read("locked")), None), "private_key", "encrypted");
    assert_fault(configure(Some(&key), Some("")), "certificate", "no certificate");
    assert_fault(configure(Some(&key), Some(&key)), "certificate", "no certificate");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_fault(configure(Some(&key), Some(junk)), "certificate", "cannot be read");
    let blanks = key.replacen("M", " +?", 1);
    assert_fault(configure(Some(&blanks), None), "private_key", "damaged");
    let bad_ca = device_config(None, None, Some(junk), &mut SelfSigned::default());
    assert_fault(bad_ca.map(|_| ()), "client_ca", "cannot be a CA");
}

#[test]
fn a_device_is_who_its_certificate_says() {
    let keys = Keys::new("identity");
    keys.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
         -subj /O=Plant/CN=pump-7 -keyout key -out crt",
    );
    keys.openssl("x509 -in crt -outform der -out der");
    let chain = parse_chain(keys.read("crt").as_bytes()).unwrap();
    let who = peer::identity(&chain[0]);
    assert_eq!(who.subject, "CN=pump-7,O=Plant");
    assert_eq!(who.fingerprint_sha256.len(), 64);
    let odd = peer::identity(&CertificateDer::from(vec![1, 2, 3]));
    assert_eq!(odd.subject, "(unreadable)");
}

/// What `openssl x509 -req` made before its version 3.4, unless it was told of an extension.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBFjCBvgIUPcbT2QvarIhiYubU9sPGveBWQPswCgYIKoZIzj0EAwIwDTELMAkG
A1UEAwwCY2EwIBcNMjYxMTI0MTYxMzM1WhgPMjEyNjEwMzExNjEzMzVaMA4xDDAK
BgNVBAMMA2RldjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOKME2xQ1CDdJsi6
yAuJjrWrFL0ZMdHxGy0Goxn5yS0IHVXbo7m4+IrdUDnqzri1THxfLz8cyBrM287s
zzqLfPwwCgYIKoZIzj0EAwIDRwAwRAIgWulj/e9jBWyNDvSIO9WpC+bZTaWP9vkr
ChrmSzx0tf0CIBEmcBfLW7M+rHFXmN9OpiHos8YKkP/btLAK4+rV4qx9
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_of_an_old_version_is_refused_in_words() {
    let (_, ca) = Keys::new("version").pair("ca");
    let device = parse_chain(VERSION_1.as_bytes()).unwrap();
    let now = UnixTime::now();
    let verifier = client_verifier(&ca).unwrap();
    let error = verifier.verify_client_cert(&device[0], &[], now).unwrap_err();
    let words = peer::words(&error);
    assert!(words.contains("X.509 version 1"), "{words}");
}

#[test]
fn files_are_followed_and_a_bad_pair_leaves_the_old_one() {
    let keys = Keys::new("files");
    let (_, certificate) = keys.pair("one");
    keys.pair("two");
    let (crt, key) = (keys.path("one.crt"), keys.path("one.key"));
    let mut followed = Reloadable::open(crt.clone(), key.clone()).unwrap();
    let first = followed.config();
    assert_eq!(followed.poll_changed(), None);
    let in_9_days = UnixTime::now().as_secs() + 9 * 86_400;
    assert!(followed.expires_seconds().is_some_and(|end| end.abs_diff(in_9_days) < 3_600));

    fs::write(&crt, keys.read("two.crt") + "\n").unwrap();
    let why = followed.poll_changed().unwrap().unwrap_err();
    assert!(why.contains("one.crt: the certificate belongs to another key"), "{why}");
    assert!(Arc::ptr_eq(&first, &followed.config()));
    assert_eq!(followed.poll_changed(), None, "the same files are not tried again");

    fs::write(&key, keys.read("two.key") + "\n").unwrap();
    assert_eq!(followed.poll_changed(), Some(Ok(())));
    let second = followed.config();
    assert!(!Arc::ptr_eq(&first, &second));

    fs::remove_file(&key).unwrap();
    assert!(followed.poll_changed().unwrap().is_err());
    assert!(Arc::ptr_eq(&second, &followed.config()));
    fs::write(&crt, certificate).unwrap();
    assert!(followed.reload().is_err());
}

#[test]
fn a_file_that_is_missing_or_huge_is_named() {
    let keys = Keys::new("named");
    keys.pair("one");
    let missing = Reloadable::open("/nowhere.crt".into(), keys.path("one.key"));
    assert!(missing.err().unwrap().starts_with("/nowhere.crt: "));
    fs::write(keys.path("huge"), vec![b'x'; crate::limits::TLS_FILE_MAX_BYTES + 1]).unwrap();
    let huge = Reloadable::open(keys.path("one.crt"), keys.path("huge"));
    assert!(huge.err().unwrap().contains("is larger than"));
}

#[test]
fn a_client_judges_by_the_given_file() {
    let keys = Keys::new("client");
    keys.pair("one");
    client_config(Some(&keys.path("one.crt")), false).unwrap();
    assert!(client_config(Some(&keys.path("one.key")), false).is_err());
    client_config(None, true).unwrap();
}
