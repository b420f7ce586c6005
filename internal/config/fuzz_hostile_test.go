package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

// To a configuration that is accepted nothing can be added that is not read: a
// key that nobody knows, one that is there already and a second document are
// faults, and a comment changes nothing.
func FuzzAddedLine(f *testing.F) {
	for _, name := range []string{"testdata/product.yaml", "testdata/everything.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{server, mutual, above, server + "clients: []", server + "# end", server + "...", server + "access_token:\n  alg: >-\n    ES256"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := config.Parse("testdata/fuzz.yaml", data)
		if err != nil {
			return
		}
		for _, line := range []string{"no_such_key: 1", "issuer: https://evil.example.com", "---", "- a", "Issuer: https://evil.example.com", "\"issu\\u0065r\": https://evil.example.com"} {
			if other, err := config.Parse("testdata/fuzz.yaml", []byte(string(data)+"\n"+line+"\n")); err == nil && (line != "---" || !sameConfig(other, cfg)) {
				t.Fatalf("accepted with %q at its end", line)
			}
		}
		if strings.HasSuffix(string(data), "\n") {
			other, err := config.Parse("testdata/fuzz.yaml", []byte(string(data)+"# issuer: https://evil.example.com\n"))
			if err != nil || !sameConfig(other, cfg) {
				t.Fatalf("a comment changes it: %v", err)
			}
		}
	})
}
