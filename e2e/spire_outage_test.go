//go:build spire

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	status "github.com/svidgate/svidgate/internal/server"
	"github.com/svidgate/svidgate/oauth"
)

// BE-14, BE-15, F2, F9: SPIRE is killed and stays away for longer than the hint of
// its bundle, and then for longer than the maximum age. The workloads still have
// their SVIDs from the agent. None is refused before that age, all are after it,
// and the other trust domain notices nothing. A minute is as short as max_stale can
// be.
func (f *federation) outage(t *testing.T) {
	const maxStale = 60.0
	tooOld := refusal{"invalid_client", oauth.ReasonBundleTooOld, "BE-15"}
	d := newSPIRE(t, "outage.test", spireOptions{jwtKey: "rsa-2048"})
	d.agent(t, "agent", spireEntry{path: "/a"}, spireEntry{path: "/b"})
	config := spireConfig(d.clients("/a", "/b")+f.alphaClients(), d.viaEndpoint("2s", ", max_stale: 1m")+f.alpha.viaEndpoint("2s", ", max_stale: 1m"))
	s := start(t, config)
	a, b := d.identity(t, "agent", "/a"), d.identity(t, "agent", "/b")
	elsewhere := f.alpha.identity(t, "agent", "/client/one")
	calls := map[string]call{"JWT-SVID": a.asksWith(a.jwt(t, issuer)), "X.509-SVID": a.shows(a.certificate(t))}
	others := []call{elsewhere.asksWith(elsewhere.jwt(t, issuer)), elsewhere.shows(elsewhere.certificate(t))}
	for _, c := range calls {
		s.granted(t, c)
	}
	age := func() float64 { return s.metric(t, `svidgate_bundle_age_seconds{trust_domain="outage.test"}`) }

	d.server.kill()
	refused := map[string]int{}
	oldest := 0.0
	end := time.Now().Add(2*time.Minute + patience)
	for refused["JWT-SVID"] < 3 || refused["X.509-SVID"] < 3 {
		if time.Now().After(end) {
			t.Fatalf("never refused: %v, age %v", refused, age())
		}
		for name, c := range calls {
			before := age()
			answer := s.do(t, c)
			after := age()
			switch reason := answer.audit.text("reason"); {
			case answer.status == http.StatusOK && before <= maxStale && refused[name] == 0:
				oldest = max(oldest, before)
			case answer.status == http.StatusUnauthorized && after >= maxStale && reason == string(tooOld.reason):
				refused[name]++
			default:
				t.Fatalf("%s: status %d, reason %q, at an age of %v to %v, after %d refusals", name, answer.status, reason, before, after, refused[name])
			}
		}
		for _, c := range others {
			s.granted(t, c)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if oldest < 10 {
		t.Errorf("the oldest bundle that served was %v s old, which is no outage for a hint of 2 s", oldest)
	}
	// Neither an agent that is alive nor another SVID helps.
	calls["another JWT-SVID"] = a.asksWith(a.jwt(t, issuer))
	calls["another workload"] = b.shows(b.certificate(t))
	for _, c := range calls {
		s.refused(t, c, tooOld)
	}
	readiness := func() (int, map[string]status.TrustDomain) {
		resp, body := s.status(t, "/readyz")
		var state status.Readiness
		if err := json.Unmarshal(body, &state); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, state.TrustDomains
	}
	if code, tds := readiness(); code != http.StatusOK || tds[d.name].Ready || !strings.Contains(tds[d.name].Error, "bundle_too_old") || !tds[f.alpha.name].Ready {
		t.Errorf("readiness %d: %+v", code, tds)
	}

	// F9: a server that starts now serves who it can.
	cold := start(t, config)
	cold.refused(t, calls["JWT-SVID"], refusal{"(unavailable)", oauth.ReasonTDNotReady, "GL-15"})
	cold.granted(t, others[0])

	// SPIRE comes back with the keys that it had.
	d.serve(t)
	for _, waiting := range []*server{s, cold} {
		waiting.sequence(t, &domain{name: d.name}, d.newest(t))
	}
	until(t, "readiness of "+d.name, func() bool {
		_, tds := readiness()
		return tds[d.name].Ready
	})
	for _, c := range calls {
		s.granted(t, c)
		cold.granted(t, c)
	}
	// And goes on: its agent finds it, and a new key counts at its first token.
	prepared := d.authority(t, "jwt", "prepare", "")
	d.authority(t, "jwt", "activate", prepared)
	until(t, "a JWT-SVID by the new key", func() bool {
		token, err := b.FetchJWTSVID(t.Context(), issuer)
		if err != nil || jwtKeyID(t, token) != prepared {
			return false
		}
		s.granted(t, b.asksWith(token))
		return true
	})
	for _, c := range others {
		s.granted(t, c)
	}
}
