//! How settings are parsed, and how they are listed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser};
use parlance_runtime::config::{
    CredentialConfig, LogConfig, PostgresConfig, ProcessConfig, RedisConfig, addresses, number,
    ratio, seconds,
};
use parlance_runtime::settings::describe;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

#[derive(Parser)]
enum Program {
    Serve {
        #[command(flatten)]
        log: LogConfig,
        #[command(flatten)]
        postgres: PostgresConfig,
        /// How often.
        ///
        /// Not too often.
        #[arg(long, env = "INTERVAL", hide_default_value = true, default_value = "7")]
        #[arg(value_parser = seconds)]
        interval: Duration,
    },
    Migrate {
        #[arg(long)]
        status: bool,
        #[command(flatten)]
        postgres: PostgresConfig,
    },
}

fn described() -> BTreeMap<String, Value> {
    let text = describe(&Program::command());
    let settings = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    settings.map(|setting| (setting["variable"].as_str().unwrap().to_owned(), setting)).collect()
}

#[test]
fn every_setting_is_described_once() {
    assert_eq!(describe(&Program::command()).lines().count(), 6);
    let settings = described();
    let variables: Vec<&str> = settings.keys().map(String::as_str).collect();
    assert_eq!(
        variables,
        [
            "DATABASE_MAX_CONNECTIONS",
            "DATABASE_URL",
            "INTERVAL",
            "LOG_FILTER",
            "LOG_FORMAT",
            "STANDBY_IS_SYNCHRONOUS"
        ]
    );
    assert_eq!(settings["DATABASE_URL"]["commands"], json!(["serve", "migrate"]));
    assert_eq!(settings["DATABASE_URL"]["required"], true);
    assert_eq!(
        settings["INTERVAL"],
        json!({
            "variable": "INTERVAL",
            "flag": "--interval",
            "commands": ["serve"],
            "default": null,
            "required": false,
            "allowed": "a number of seconds above 0, such as 20 or 0.5",
            "text": ["How often.", "Not too often."],
        })
    );
}

#[test]
fn the_allowed_values_are_those_that_the_value_parser_names() {
    let settings = described();
    let allowed = |variable: &str| settings[variable]["allowed"].clone();
    assert_eq!(allowed("LOG_FORMAT"), "`text` or `json`");
    assert_eq!(allowed("LOG_FILTER"), Value::Null);
    assert_eq!(allowed("DATABASE_MAX_CONNECTIONS"), "a whole number from 1 to 1000");
    assert_eq!(allowed("DATABASE_URL"), "a URL, such as postgres://host/database or redis://host");
}

#[derive(Parser)]
struct Cli<T: Args> {
    #[command(flatten)]
    settings: T,
}

const TOKEN: &str = "--internal-token=0123456789abcdef";

/// Parses flags as a program does.
fn parse<T: Args>(flags: &[&str]) -> Result<T, clap::Error> {
    Ok(Cli::<T>::try_parse_from(["program"].iter().chain(flags))?.settings)
}

/// Demands that a value is refused, with what is allowed.
#[track_caller]
fn assert_refused<T>(result: Result<T, impl ToString>, value: &str) {
    let error = result.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("must be "), "{value:?}: {error}");
}

#[test]
fn a_secret_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let flag = |name: &str| format!("--{name}=file:{}", file.display());
    let redis = || parse::<RedisConfig>(&[&flag("redis-url")]);
    assert!(redis().unwrap_err().to_string().contains("cannot be read"));
    fs::write(&file, "redis://messaging:secret@redis\n").unwrap();
    assert_eq!(redis().unwrap().redis_url.expose_secret(), "redis://messaging:secret@redis");
    fs::write(&file, "too-short\n").unwrap();
    assert_refused(parse::<CredentialConfig>(&[&flag("internal-token")]), "too-short");
}

#[test]
fn each_of_several_internal_tokens_is_long_enough() {
    let parse = |token: &str| parse::<CredentialConfig>(&[&format!("--internal-token={token}")]);
    parse("0123456789abcdef,fedcba9876543210").unwrap();
    for bad in
        ["", "0123456789abcde", "0123456789abcdef,", "0123456789abcdef,x", "0123456789 bcdef"]
    {
        assert_refused(parse(bad), bad);
    }
}

#[test]
fn the_three_tls_files_are_named_all_or_none() {
    let parse = |files: &[&str]| parse::<CredentialConfig>(&[&[TOKEN], files].concat());
    assert!(parse(&[]).unwrap().tls.grpc_tls_cert.is_none());
    let all = ["--grpc-tls-cert", "cert", "--grpc-tls-key", "key", "--grpc-tls-ca", "ca"];
    assert!(parse(&all).unwrap().tls.grpc_tls_ca.is_some());
    for some in [&all[..2], &all[..4], &all[2..], &all[4..]] {
        assert!(parse(some).is_err(), "{some:?}");
    }
}

#[test]
fn addresses_are_hosts_with_ports() {
    addresses("auth:9000, 127.0.0.1:9001,[::1]:9002").unwrap();
    for bad in ["", "auth", ":9000", "auth:port", "auth:99999", "auth:9000,"] {
        assert_refused(addresses(bad), bad);
    }
}

#[test]
fn a_collector_is_a_url_with_a_port_or_none() {
    let parse =
        |url: &str| parse::<ProcessConfig>(&[&format!("--otel-exporter-otlp-endpoint={url}")]);
    for good in ["", "http://collector:4317", "http://[::1]:4317/"] {
        parse(good).unwrap();
    }
    for bad in [
        "collector:4317",
        "http://collector",
        "https://collector:4317",
        "http://a:1,b:2",
        "http://a:1/v1",
    ] {
        assert_refused(parse(bad), bad);
    }
}

#[test]
fn a_ratio_is_from_0_to_1() {
    assert_eq!([ratio("0"), ratio("0.25"), ratio("1")], [Ok(0.0), Ok(0.25), Ok(1.0)]);
    for bad in ["", "-0.1", "1.5", "NaN", "all"] {
        assert_refused(ratio(bad), bad);
    }
}

#[test]
fn a_number_is_within_its_range() {
    let parse = number(4..=31);
    assert_eq!((parse("4"), parse("31")), (Ok(4), Ok(31)));
    for bad in ["", "3", "32", "-1", "4.5"] {
        assert_eq!(parse(bad).unwrap_err(), "must be a whole number from 4 to 31", "{bad:?}");
    }
    assert_eq!(number(1..=u32::MAX)("0").unwrap_err(), "must be a whole number from 1");
}
