package config_test

import (
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

func TestTracing(t *testing.T) {
	for _, row := range []struct {
		text string
		want config.Tracing
	}{
		{"", config.Tracing{}},
		{"tracing: {endpoint: \"http://127.0.0.1:4318\"}\n", config.Tracing{Endpoint: "http://127.0.0.1:4318", Sample: 0.01}},
		{"tracing: {endpoint: \"http://[::1]:4318/\", sample: 1}\n", config.Tracing{Endpoint: "http://[::1]:4318/", Sample: 1}},
		{"tracing: {endpoint: http://localhost:4318, sample: 0.5}\n", config.Tracing{Endpoint: "http://localhost:4318", Sample: 0.5}},
		{"tracing: {endpoint: https://otel.example.com/a, sample: 0.0001}\n", config.Tracing{Endpoint: "https://otel.example.com/a", Sample: 0.0001}},
	} {
		cfg, err := config.Parse("a.yaml", []byte(server+row.text))
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if cfg.Tracing != row.want {
			t.Errorf("%s: %+v, want %+v", row.text, cfg.Tracing, row.want)
		}
	}
}

func TestWrongTracing(t *testing.T) {
	const url = `tracing.endpoint must be an https URL, or an http URL of a loopback address such as http://127.0.0.1:4318`
	const share = `tracing.sample must be a number above 0, up to 1, such as 0.01 for one request in a hundred`
	const good = "tracing: {endpoint: https://a}\n"
	check(t, server, []wrong{
		{"tracing without an endpoint", good, "tracing: {sample: 1}\n", `4:1: the required key "tracing.endpoint" is missing`},
		{"tracing a URL", good, "tracing: https://a\n", `4:10: tracing must be a table of keys, not "https://a"; write {endpoint: …}`},
		{"endpoint over http elsewhere", "tracing: {endpoint: http://127.0.0.1}\n", "tracing: {endpoint: http://a}\n", `4:21: ` + url + `, not "http://a"`},
		{"endpoint whose host begins like loopback", "tracing: {endpoint: http://127.0.0.1}\n", "tracing: {endpoint: http://127.0.0.1.example.com}\n", `4:21: ` + url + `, not "http://127.0.0.1.example.com"`},
		{"endpoint without a scheme", good, "tracing: {endpoint: \"127.0.0.1:4318\"}\n", `4:21: ` + url + `, not "127.0.0.1:4318"`},
		{"endpoint of gRPC", good, "tracing: {endpoint: grpc://a}\n", `4:21: ` + url + `, not "grpc://a"`},
		{"endpoint a number", good, "tracing: {endpoint: 4318}\n", `4:21: ` + url + `, not the number 4318`},
		{"endpoint with a password", good, "tracing: {endpoint: https://u:secret@a}\n", `4:21: tracing.endpoint must be a URL without user information before the host; what a collector wants as headers stands in OTEL_EXPORTER_OTLP_HEADERS`},
		{"endpoint with a query", good, "tracing: {endpoint: https://a/?k=v}\n", `4:21: tracing.endpoint must be a URL without query and fragment, whose path has no dot segment, no empty segment and no percent-encoding, not "https://a/?k=v"`},
		{"sample 0", "tracing: {endpoint: https://a, sample: 0.001}\n", "tracing: {endpoint: https://a, sample: 0}\n", `4:40: ` + share + `, not the number 0`},
		{"sample in percent", "tracing: {endpoint: https://a, sample: 1}\n", "tracing: {endpoint: https://a, sample: 5}\n", `4:40: ` + share + `, not the number 5`},
		{"sample a text", "tracing: {endpoint: https://a, sample: 0.1}\n", "tracing: {endpoint: https://a, sample: 10%}\n", `4:40: ` + share + `, not "10%"`},
		{"sample with an exponent", "tracing: {endpoint: https://a, sample: 0.1}\n", "tracing: {endpoint: https://a, sample: 1e-3}\n", `4:40: ` + share + `, not "1e-3"`},
		{"tracing misspelt", good, "traicng: {endpoint: https://a}\n", `4:1: unknown key "traicng"; did you mean "tracing"?`},
	})
}
