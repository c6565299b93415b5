//! Tests of the tracing settings.

use super::*;

fn raw(variables: &[(&str, &str)]) -> RawSettings {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    crate::config::load_from(variables, &[HEADERS]).unwrap()
}

fn settings(variables: &[(&str, &str)]) -> TraceSettings {
    raw(&[&[(ENDPOINT, "http://collector:4318")], variables].concat()).check("vestibule-api").unwrap().unwrap()
}

fn error(variables: &[(&str, &str)]) -> String {
    let raw = raw(&[&[(ENDPOINT, "http://collector:4318")], variables].concat());
    format!("{:#}", raw.check("vestibule-api").err().unwrap())
}

#[test]
fn tracing_is_off_without_a_collector_or_when_disabled() {
    assert!(raw(&[]).check("x").unwrap().is_none());
    let disabled = raw(&[(ENDPOINT, "http://collector:4318"), ("OTEL_SDK_DISABLED", "true")]);
    assert!(disabled.check("x").unwrap().is_none());
}

#[test]
fn endpoint_is_the_base_url_of_the_traces_path() {
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
fn invalid_settings_are_named_without_their_values() {
    for url in ["collector:4318", "canary", "ftp://canary", "http://u:canary@host", "http://host?key=canary", "http://"]
    {
        let error = error(&[(ENDPOINT, url)]);
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT must be"), "{url}: {error}");
    }
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        (HEADERS, "canary"),
        (HEADERS, "a=canary%0d%0ab:c"),
        (HEADERS, "a b=canary"),
        ("OTEL_RESOURCE_ATTRIBUTES", "canary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
    ] {
        let error = error(&[(name, value)]);
        assert!(error.starts_with(name) && !error.contains("canary"), "{error}");
    }
    let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem");
    assert!(error(&[(ENDPOINT, "https://x"), certificate]).starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE"));
    let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
    assert!(error(&sampler).starts_with("OTEL_TRACES_SAMPLER_ARG"));
}

#[test]
fn headers_are_decoded() {
    let settings = settings(&[(HEADERS, "api-key=c%20d, x-tenant=7=8")]);
    assert_eq!(settings.collector.headers.expose_secret(), "api-key: c d\r\nx-tenant: 7=8\r\n");
}

#[test]
fn headers_in_clear_text_to_another_machine_are_detected() {
    for (url, headers, is_clear_text) in [
        ("http://collector:4318", "api-key=canary", true),
        ("http://192.0.2.1:4318", "api-key=canary", true),
        ("http://collector:4318", "", false),
        ("https://collector", "api-key=canary", false),
        ("http://localhost:4318", "api-key=canary", false),
        ("http://127.0.0.1:4318", "api-key=canary", false),
        ("http://[::1]:4318", "api-key=canary", false),
    ] {
        let collector = settings(&[(ENDPOINT, url), (HEADERS, headers)]).collector;
        assert_eq!(collector.sends_headers_in_clear_text(), is_clear_text, "{url} {headers}");
    }
}

#[test]
fn resource_has_exactly_one_service_name() {
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
fn trace_id_decides_about_sampling() {
    let sampling = |sampler, argument| {
        settings(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)]).sampling
    };
    assert_eq!(
        (sampling("always_on", ""), sampling("parentbased_always_off", "")),
        (SamplingRatio::ALL, SamplingRatio::NONE)
    );
    let quarter = sampling("parentbased_traceidratio", "0.25");
    // The version and the variant of a UUID are not random; they precede the last seven bytes.
    for (random, is_sampled) in
        [(0, true), (0x003f_ffff_ffff_ffff, true), (0x0040_0000_0000_0000, false), ((1 << 56) - 1, false)]
    {
        assert_eq!(quarter.includes(0x0000_0000_0000_4000_bf00_0000_0000_0000 | random), is_sampled, "{random:x}");
        assert!(SamplingRatio::ALL.includes(random) && !SamplingRatio::NONE.includes(random));
    }
}
