package vectors

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/svidgate/svidgate/internal/strictid"
)

// judgeSPIFFEID reads a SPIFFE ID: of a workload, or any.
func judgeSPIFFEID(t testing.TB, _ *file, input json.RawMessage) expectation {
	var in struct {
		Text string `json:"text"`
		Of   string `json:"of"` // workload or any
	}
	read(t, input, &in)
	parse := strictid.Workload
	if in.Of == "any" {
		parse = strictid.Parse
	}
	_, err := parse(in.Text)
	return byFault(t, err)
}

// judgeTrustDomain reads a trust domain as an operator writes it.
func judgeTrustDomain(t testing.TB, _ *file, input json.RawMessage) expectation {
	var in struct {
		Text string `json:"text"`
	}
	read(t, input, &in)
	_, err := strictid.TrustDomain(in.Text)
	return byFault(t, err)
}

func byFault(t testing.TB, err error) expectation {
	if err == nil {
		return expectation{Outcome: accepted}
	}
	f, ok := errors.AsType[*strictid.Fault](err)
	if !ok {
		t.Fatal(err)
	}
	return expectation{Outcome: refused, Rule: f.Rule}
}
