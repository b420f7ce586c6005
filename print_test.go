package svidgate_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	svidgate "github.com/svidgate/svidgate"
)

// AU-2: whoever prints or logs a presentation does not print the assertion.
func TestPresentationHidesItsAssertion(t *testing.T) {
	p := svidgate.JWTPresentation{Assertion: "canary-assertion", EndpointURL: "https://as.example.com/token"}
	held := struct{ P svidgate.JWTPresentation }{p}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", p)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&log, verb+verb, p, held)
	}
	if strings.Contains(log.String(), "canary") || strings.Contains(log.String(), fmt.Sprintf("%x", "canary")) {
		t.Error(log.String())
	}
	if !strings.Contains(log.String(), p.EndpointURL) {
		t.Errorf("nothing was printed: %s", log.String())
	}
}
