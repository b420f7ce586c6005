package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// remark adds what no rule says.
func (r *Report) remark(c credential.Credential, v Verdict, s Situation) {
	if audiences := audiencesOf(c); len(audiences) > 1 && slices.Contains(audiences, s.Issuer) {
		r.Notes = append(r.Notes, fmt.Sprintf("one of the %d audiences is this server; the others have to go", len(audiences)))
	}
	if n := r.Nearest.Audience; n != nil && inCluster(audiencesOf(c)[0]) {
		r.Notes = append(r.Notes, "the audience presented is a name inside a cluster: it may serve to connect, but the audience is the issuer, whatever the way there")
	}
	if _, ok := claimsOf(c).Get("iss"); ok {
		r.Notes = append(r.Notes, "the "+kindOf(r.Method)+" has iss: allowed, and nothing depends on it")
	}
	if c.WIT() && c.Proof == "" {
		r.Notes = append(r.Notes, "no proof was given, so nothing was judged of it; a request needs one: give both, the WIT-SVID in one line and its proof in the next")
	}
	for _, m := range r.Clock.Times {
		if r.Reason == string(oauth.ReasonExpired) && (m.Name == "exp" || m.Name == "notAfter") && -m.Seconds < int64(recently/time.Second) {
			r.Notes = append(r.Notes, "it expired only "+spoken.Since(-seconds(m.Seconds))+": if a fresh one is refused as well, the clock of the issuer is behind the one here by at least that")
		}
	}
	r.remarkClient(v, s)
	if s.By == ByBundle {
		r.Notes = append(r.Notes, "judged by the bundle alone: whose client it is, and whether it was used before, only the server knows")
	}
	if s.By == ByBundle && r.Reason == string(oauth.ReasonAudMismatch) {
		r.Notes = append(r.Notes, "with --bundle one audience is accepted, the one said; a server whose profile is transition accepts the URL of its token endpoint, too")
	}
	if s.By == ByConfig {
		r.Notes = append(r.Notes, "judged by what is on disk: nothing was fetched, and whether it was used before only the running server knows")
	}
}

// remarkClient says what client_id has to do with it.
func (r *Report) remarkClient(v Verdict, s Situation) {
	covering := s.covering(r.SPIFFEID)
	if n := r.Nearest.Client; n != nil && !v.ClientIDOpen && r.ClientID == "" && len(covering) > 0 {
		r.Notes = append(r.Notes, "the request names no client; without client_id only a client that has exactly this SPIFFE ID is found")
	}
	if !v.ClientIDOpen || s.By == ByBundle || r.SPIFFEID == "" {
		return
	}
	note := "which client it is depends on client_id: say it with --client-id"
	if len(covering) > 0 {
		owner, can := s.owner(subject{method: r.Method, spiffeID: r.SPIFFEID, covering: covering})
		if len(covering) == 1 {
			note += " " + quoted(owner.ID) + ", the one client that this SPIFFE ID belongs to"
		} else {
			note += fmt.Sprintf("; this SPIFFE ID belongs to %d clients, such as %s", len(covering), quoted(owner.ID))
		}
		if !can {
			note += ", which may not authenticate by " + string(r.Method)
		}
	}
	r.Notes = append(r.Notes, note)
}

// recently is for how long after its end an SVID may be a sign of clocks that
// differ, rather than of one that was kept.
const recently = 10 * time.Minute

// inCluster reports whether the host of a URL is one that only a cluster knows.
func inCluster(audience string) bool {
	host := strings.ToLower(partsOf(audience).host)
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".local") || host != "" && host != "localhost" && !strings.ContainsAny(host, ".:")
}
