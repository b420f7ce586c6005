package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/devca"
)

const worstDay = "../docs/worst-day.md"

const worstDayHead = `# Ten broken set-ups

What goes wrong first, in the words of those to whom it happened, replayed against this server. Each section shows what the caller is told, what
the audit record has, what ` + "`svidgate explain`" + ` says to the operator, and the step it names, done. After that step there is a token.

This page is made by a test that runs the server and every command here (` + "`e2e/worstday_test.go`" + `); names, times and digests are replaced by fixed
ones. The commands run in the folder of the configuration, with ` + "`SVIDGATE_SOCKET`" + `, ` + "`SPIFFE_ENDPOINT_SOCKET`" + ` and, since the
server's certificate is by a CA of the test's own, ` + "`SSL_CERT_FILE`" + ` set. The tickets are in other projects' trackers. Rules that passed are left
out from the second section on, where there are more than three in a row.

`

// A trouble is one set-up that goes wrong.
type trouble struct {
	title, text string
	reason      string // empty: accepted
	steps       int    // until there is a token
	// credential is the SVID in a file, the request that shows it, and the flags of
	// explain.
	credential func(t *testing.T, p *patient) (file string, c call, flags []string)
	make       func(t *testing.T, document *strings.Builder) *patient // nil: newPatient
	meanwhile  func(t *testing.T, p *patient)                         // what is mended elsewhere
	after      string                                                 // what the last command did not mend
}

// jwtOf is a JWT-SVID in a file, and the request with it.
func jwtOf(path string, clientID string, audience func(p *patient) []string, mutate ...func(header, claims map[string]any)) func(*testing.T, *patient) (string, call, []string) {
	return func(t *testing.T, p *patient) (string, call, []string) {
		t.Helper()
		token, err := p.td.JWTSVID(path, audience(p), mutate...)
		if err != nil {
			t.Fatal(err)
		}
		secrets.jwt(token)
		p.replace(t, "svid.jwt", []byte(token))
		if clientID == "" {
			clientID = p.td.id(path)
		}
		return "svid.jwt", withJWT(clientID, token), []string{"--client-id", clientID}
	}
}

func theIssuer(p *patient) []string { return []string{p.issuer} }

var troubles = []trouble{
	{
		title:      "The SVID has `iss`",
		text:       "keycloak#43394 (F13): with the claim `iss` in the SVID, which SPIRE sets as soon as `jwt_issuer` is configured, the server failed. Here the claim is allowed, and nothing depends on it.",
		credential: jwtOf("/billing", "", theIssuer, func(_, claims map[string]any) { claims["iss"] = "https://oidc.example.org" }),
	},
	{
		title:      "A client that nobody registered",
		text:       "keycloak#46669 (F14): an SPIFFE ID of no client made the server fail. Here it is an `invalid_client` like any other, and the operator is told which entry is missing.",
		reason:     "client_not_found",
		steps:      1,
		credential: jwtOf("/payments", "", theIssuer),
	},
	{
		title:      "Several audiences",
		text:       "rossoctl#2482 (F17): one SVID for the server and for the API at once. Each of the two could then use it at the other.",
		reason:     "aud_multiple",
		steps:      1,
		credential: jwtOf("/billing", "", func(p *patient) []string { return []string{p.issuer, "https://api.example.com/"} }),
	},
	{
		title:      "The URL inside the cluster as audience",
		text:       "rossoctl#2482, operator#394 (F17): the workload reaches the server by its name in the cluster, and asks for an SVID for that.",
		reason:     "aud_mismatch",
		steps:      1,
		credential: jwtOf("/billing", "", func(*patient) []string { return []string{"http://svidgate.auth.svc.cluster.local:8443"} }),
	},
	{
		title:      "A trailing slash",
		text:       "rossoctl#2482 (F17): audiences are compared letter for letter, so one slash too many is another server.",
		reason:     "aud_mismatch",
		steps:      1,
		credential: jwtOf("/billing", "", func(p *patient) []string { return []string{p.issuer + "/"} }),
	},
	{
		title:  "Clocks 90 s apart",
		text:   "mcp-hangar#630, netbird#6385 (F18): for as long as two clocks differed nothing worked, and then it did again. Here the clock of the machine that issues SVIDs is 90 s ahead; 60 s are forgiven.",
		reason: "not_yet_valid",
		steps:  1,
		credential: jwtOf("/billing", "", theIssuer, func(_, claims map[string]any) {
			claims["iat"] = time.Now().Add(90 * time.Second).Unix()
			claims["exp"] = time.Now().Add(390 * time.Second).Unix()
		}),
	},
	{
		title:      "A bundle that is too old",
		text:       "jans#14505 (F2): a bundle that could not be fetched any more was trusted for ever. Here it is not after `max_stale`, 24 hours unless configured. The endpoint was down for longer than that, and the server was restarted meanwhile; then the endpoint is back.",
		reason:     "bundle_too_old",
		steps:      1,
		make:       outdated,
		meanwhile:  func(_ *testing.T, p *patient) { p.td.status.Store(nil) },
		credential: jwtOf("/billing", "", theIssuer),
	},
	{
		title:  "The wrong trust domain",
		text:   "py-spiffe#449 (F7): an SVID is judged by the bundle of the trust domain that it names, and by no other. Here the workload belongs to one that is not configured, though its name is close. That takes two steps: the trust domain, and then the client.",
		reason: "td_unknown",
		steps:  2,
		credential: func(t *testing.T, p *patient) (string, call, []string) {
			other := newFileDomain(t, "example.com", devca.Options{})
			p.replace(t, "example.com.json", other.bundle())
			token := other.jwt(t, "/billing", p.issuer)
			p.replace(t, "svid.jwt", []byte(token))
			return "svid.jwt", withJWT("", token), nil
		},
	},
	{
		title:      "Another case",
		text:       "Azure/login#517, #619 (F49): paths of SPIFFE IDs are compared letter for letter, and `/Reports` is another workload than `/reports`.",
		reason:     "client_id_mismatch",
		steps:      1,
		credential: jwtOf("/Reports", "reports", theIssuer),
	},
	{
		title:  "Two URIs in the certificate",
		text:   "bloomberg/vault-auth-spire#7 (F12): of a certificate with several URIs the first was taken for the SPIFFE ID. Here there has to be exactly one.",
		reason: "cert_uri_san_count",
		steps:  1,
		after:  "The cure is to have this leaf reissued with one URI, by whatever issued it. The command above shows only that the rest is well: the Workload API had a good SVID already, and that one got the token.",
		credential: func(t *testing.T, p *patient) (string, call, []string) {
			pair := p.td.svid(t, "/orders", func(c *x509.Certificate) {
				c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: "orders.example.org"})
			})
			var chain bytes.Buffer
			for _, der := range pair.Certificate {
				pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
			}
			p.replace(t, "chain.pem", chain.Bytes())
			id := p.td.id("/orders")
			return "chain.pem", call{cert: pair, form: form("client_id", id)}, []string{"--client-id", id}
		},
	},
}

// outdated is a server that starts with a bundle it kept, confirmed 25 hours ago,
// and whose endpoint is down.
func outdated(t *testing.T, document *strings.Builder) *patient {
	t.Helper()
	p := &patient{td: newDomain(t, "example.org", devca.Options{}), document: document}
	p.prepare(t)
	p.run(t)
	p.stop(t)
	p.td.status.Store(&answers{503})
	path := filepath.Join(p.dir, "svidgate-bundles", "td-example.org.bundle")
	_, rest, _ := bytes.Cut(contentOf(t, path), []byte("\n"))
	header, bundle, _ := bytes.Cut(rest, []byte("\n"))
	var kept map[string]any
	if err := json.Unmarshal(header, &kept); err != nil {
		t.Fatal(err)
	}
	kept["confirmed"] = time.Now().Add(-25 * time.Hour).UTC()
	header, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	rest = append(append(header, '\n'), bundle...)
	whole := fmt.Appendf(nil, "svidgate-bundle 1 %x\n%s", sha256.Sum256(rest), rest)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Shows a: each set-up is refused as the document says, and mended by what the
// explanation says; -update writes the document.
func TestWorstDay(t *testing.T) {
	var document strings.Builder
	document.WriteString(worstDayHead)
	for i, trouble := range troubles {
		ran := t.Run(trouble.title, func(t *testing.T) { trouble.replay(t, i+1, &document) })
		if !ran {
			t.FailNow()
		}
	}
	if strings.Count(document.String(), "\n## ") != len(troubles) {
		return // only some were asked for
	}
	got := strings.TrimSuffix(document.String(), "\n")
	if *update {
		if err := os.WriteFile(worstDay, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(contentOf(t, worstDay)); got != want {
		t.Errorf("%s is not what happens now; go test ./e2e -run TestWorstDay -update writes it anew. Now:\n%s", worstDay, got)
	}
}

func (tr trouble) replay(t *testing.T, number int, document *strings.Builder) {
	if tr.make == nil {
		tr.make = newPatient
	}
	p := tr.make(t, document)
	p.run(t)
	p.adminPath = p.socket(t)
	p.section(fmt.Sprintf("%d. %s", number, tr.title), tr.text)
	file, request, flags := tr.credential(t, p)
	a := p.ask(t, request)
	if reason := a.audit.text("reason"); reason != tr.reason {
		t.Fatalf("the reason is %q, want %q", reason, tr.reason)
	}
	flags = append([]string{file}, flags...)
	if tr.reason == "" {
		p.mend(t, p.explain(t, 0, flags...))
		return
	}
	for step := range tr.steps {
		r := p.explain(t, 1, flags...)
		if step == 0 && r.Reason != tr.reason {
			t.Fatalf("explain says %s, the record %s", r.Reason, tr.reason)
		}
		if step == 0 && tr.meanwhile != nil {
			tr.meanwhile(t, p)
		}
		p.mend(t, r)
		if strings.HasPrefix(r.Next, "svidgate token") { // which has shown that it works
			if tr.after != "" {
				document.WriteString(tr.after + "\n\n")
			}
			return
		}
	}
	p.granted(t, request)
	document.WriteString("The same request as at first now gets a token.\n\n")
}
