package keys

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingSecretPrints(t *testing.T) {
	for _, alg := range Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			path := keyFile(t)
			ring := open(t, path, alg)
			secrets := secretsOf(t, path)
			signer := ring.Signer()
			check := func(how, shown string) {
				t.Helper()
				for _, secret := range secrets {
					if strings.Contains(shown, secret) {
						t.Errorf("%s shows the private key", how)
					}
				}
			}
			values := map[string]any{
				"Signer": signer, "*Signer": &signer, "Ring": *ring, "*Ring": ring, "Key": signer.Key,
				"Signer in an unexported field": struct{ s Signer }{signer},
				"Ring in an unexported field":   struct{ r *Ring }{ring},
				"Ring by value in one":          struct{ r Ring }{*ring},
				"Signers in a slice":            []Signer{signer},
				"Signer in a map":               map[string]any{"k": signer},
				"Key in an unexported field":    struct{ k any }{signer.Key},
			}
			for name, value := range values {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%c", "%t"} {
					check(name+" by "+verb, fmt.Sprintf(verb, value))
				}
				encoded, err := json.Marshal(value)
				if err != nil {
					t.Errorf("%s by json: %v", name, err)
				}
				check(name+" by json", string(encoded))
				var log strings.Builder
				slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value)
				slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value)
				check(name+" by slog", log.String())
			}
			// What does print is of use.
			for _, shown := range []string{signer.String(), fmt.Sprintf("%#v", signer), fmt.Sprintf("%+v", ring)} {
				if !strings.Contains(shown, signer.KeyID) || !strings.Contains(shown, string(alg)) {
					t.Errorf("it prints as %s", shown)
				}
			}
		})
	}
}
