package doctor

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

const (
	noStatus = "there is no --status: give what the log line 'ready' of a server on this machine has as status, behind http://"
	// maxStatus bounds what is read of the status listener.
	maxStatus = 8 << 20
)

// status asks the status listener.
func (p *patient) status(ctx context.Context, path string) (int, []byte, *verdict) {
	at := strings.TrimSuffix(p.StatusURL, "/") + path
	code, _, body, err := p.get(ctx, at, maxStatus)
	if err != nil {
		v := failed("start the server, or take the address that its log line 'ready' has as status", "%s: %s", oauth.Shown(at), cause(err))
		return 0, nil, &v
	}
	return code, body, nil
}

func serverReady(ctx context.Context, p *patient) verdict {
	if p.StatusURL == "" {
		return notJudged(noStatus)
	}
	code, body, bad := p.status(ctx, "/readyz")
	if bad != nil {
		return *bad
	}
	var state struct {
		Ready        bool `json:"ready"`
		TrustDomains map[string]struct {
			Ready bool   `json:"ready"`
			Error string `json:"error"`
		} `json:"trust_domains"`
	}
	if json.Unmarshal(body, &state) != nil {
		return failed("check the address of the status listener", "/readyz answers %d with something else than a server's state", code)
	}
	for _, name := range slices.Sorted(maps.Keys(state.TrustDomains)) {
		if td := state.TrustDomains[name]; !td.Ready {
			return failed("mend the source of its bundle", "the trust domain %s is not ready: %s", oauth.Shown(name), oauth.Shown(td.Error))
		}
	}
	if code != http.StatusOK || !state.Ready {
		return failed("look at the server's log", "/readyz answers %d", code)
	}
	return passed("ready, with %s", spoken.Count(len(state.TrustDomains), "trust domain"))
}

const legacyUse = "svidgate_profile_legacy_use_total"

// olderForms tells what the profile latest would refuse. It is no failure: the
// profile transition is there for it.
func olderForms(ctx context.Context, p *patient) verdict {
	if p.StatusURL == "" {
		return notJudged(noStatus)
	}
	code, body, bad := p.status(ctx, "/metrics")
	if bad != nil {
		return *bad
	}
	if code != http.StatusOK {
		return failed("check the address of the status listener", "/metrics answers %d", code)
	}
	var used []string
	seen := false
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), legacyUse+`{rule="`)
		if !ok {
			continue
		}
		seen = true
		rule, value, ok := strings.Cut(rest, `"} `)
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && n > 0 {
			used = append(used, strconv.FormatFloat(n, 'f', -1, 64)+" by "+rule)
		}
	}
	switch {
	case !seen:
		return notJudged("the server has no metric %s", legacyUse)
	case len(used) == 0:
		return passed("none since the server started")
	}
	return passed("since the server started: %s; under the profile latest these requests would have been refused", oauth.Shown(strings.Join(used, ", ")))
}
