//! What the environment may say about traces.

use super::*;

fn given(variables: &[(&str, &str)]) -> Given {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    crate::config::load_from(variables, &[HEADERS]).unwrap()
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    given(&[&[(ENDPOINT, "http://collector:4318")], variables].concat()).check("vestibule-api").unwrap().unwrap()
}

fn refusal(variables: &[(&str, &str)]) -> String {
    let given = given(&[&[(ENDPOINT, "http://collector:4318")], variables].concat());
    format!("{:#}", given.check("vestibule-api").err().unwrap())
}

#[test]
fn without_a_collector_there_is_nothing() {
    assert!(given(&[]).check("x").unwrap().is_none());
    let disabled = given(&[(ENDPOINT, "http://collector:4318"), ("OTEL_SDK_DISABLED", "true")]);
    assert!(disabled.check("x").unwrap().is_none());
}

#[test]
fn an_endpoint_is_what_the_path_of_traces_comes_behind() {
    for (url, name, path) in [
        ("http://collector:4318", "collector:4318", "/v1/traces"),
        ("http://collector:4318/", "collector:4318", "/v1/traces"),
        ("http://[::1]:4318/otlp/", "[::1]:4318", "/otlp/v1/traces"),
        ("https://example.com/otlp", "example.com:443", "/otlp/v1/traces"),
    ] {
        let collector = settings(&[(ENDPOINT, url)]).collector;
        assert_eq!((collector.name().as_str(), collector.path.as_str()), (name, path));
        assert_eq!(collector.tls.is_some(), url.starts_with("https:"));
    }
}

#[test]
fn what_is_wrong_is_named_and_not_repeated() {
    for url in ["collector:4318", "canary", "ftp://canary", "http://u:canary@host", "http://host?key=canary", "http://"]
    {
        let refusal = refusal(&[(ENDPOINT, url)]);
        assert!(refusal.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT must be"), "{url}: {refusal}");
    }
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        (HEADERS, "canary"),
        (HEADERS, "a=canary%0d%0ab:c"),
        (HEADERS, "a b=canary"),
        ("OTEL_RESOURCE_ATTRIBUTES", "canary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
    ] {
        let refusal = refusal(&[(name, value)]);
        assert!(refusal.starts_with(name) && !refusal.contains("canary"), "{refusal}");
    }
    let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem");
    assert!(refusal(&[(ENDPOINT, "https://x"), certificate]).starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE"));
    let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    assert!(refusal(&sampler).starts_with("OTEL_TRACES_SAMPLER_ARG"));
}

#[test]
fn headers_go_along_as_they_are_meant() {
    let settings = settings(&[(HEADERS, "api-key=c%20d, x-tenant=7=8")]);
    assert_eq!(settings.collector.headers.expose_secret(), "api-key: c d\r\nx-tenant: 7=8\r\n");
}

#[test]
fn headers_are_overheard_on_the_way_to_another_machine_without_tls() {
    for (url, headers, overheard) in [
        ("http://collector:4318", "api-key=canary", true),
        ("http://192.0.2.1:4318", "api-key=canary", true),
        ("http://collector:4318", "", false),
        ("https://collector", "api-key=canary", false),
        ("http://localhost:4318", "api-key=canary", false),
        ("http://127.0.0.1:4318", "api-key=canary", false),
        ("http://[::1]:4318", "api-key=canary", false),
    ] {
        let collector = settings(&[(ENDPOINT, url), (HEADERS, headers)]).collector;
        assert_eq!(collector.is_overheard(), overheard, "{url} {headers}");
    }
}

#[test]
fn a_service_has_one_name() {
    let named = |variables: &[_], name: &str| {
        let resource = settings(variables).resource;
        let count = |part: &[u8]| resource.windows(part.len()).filter(|window| *window == part).count();
        (count(b"service.name"), count(name.as_bytes()))
    };
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs,deployment.environment.name=st%61ging");
    assert_eq!(named(&[], "vestibule-api"), (1, 1));
    assert_eq!(named(&[attributes], "theirs"), (1, 1));
    assert_eq!(named(&[attributes], "staging"), (1, 1));
    assert_eq!(named(&[attributes, ("OTEL_SERVICE_NAME", "ours")], "ours"), (1, 1));
}

#[test]
fn a_share_of_the_traces_is_found_by_their_ids() {
    let share =
        |sampler, argument| settings(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)]).share;
    assert_eq!((share("always_on", ""), share("parentbased_always_off", "")), (Share::ALL, Share::NONE));
    let quarter = share("parentbased_traceidratio", "0.25");
    // The version and the variant of a UUID are no chance, and stand before the last seven bytes.
    for (drawn, has) in
        [(0, true), (0x003f_ffff_ffff_ffff, true), (0x0040_0000_0000_0000, false), ((1 << 56) - 1, false)]
    {
        assert_eq!(quarter.has(0x0000_0000_0000_4000_bf00_0000_0000_0000 | drawn), has, "{drawn:x}");
        assert!(Share::ALL.has(drawn) && !Share::NONE.has(drawn));
    }
}
